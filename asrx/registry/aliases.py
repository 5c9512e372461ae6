"""The aliases of a registered model in MLflow."""

from datetime import UTC, datetime
from typing import Any

from ..errors import RegistryError, nearest

CHAMPION, CANDIDATE, BASELINE, PREVIOUS = "champion", "candidate", "baseline", "previous"


def aliases(client: Any, name: str) -> dict[str, str]:
    """Alias → version number of a registered model. RegistryError, naming what there is, if the model is not there."""
    return {key: str(value) for key, value in registered_model(client, name).aliases.items()}


def registered_model(client: Any, name: str) -> Any:
    """A registered model as MLflow has it. RegistryError, naming what there is, if it is not there."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(name)
    except MlflowException:
        known = [model.name for model in client.search_registered_models()]
        names = f"registered: {', '.join(known)}" if known else "nothing is registered yet; see asrx register"
        raise RegistryError(f"there is no registered model '{name}'{nearest(name, known)}; {names}") from None


def version_number(client: Any, name: str, wanted: str) -> str:
    """The version that an alias or number names. RegistryError if there is none."""
    from mlflow.exceptions import MlflowException

    known = aliases(client, name)
    if wanted in known:
        return known[wanted]
    if wanted.isdigit():
        try:
            return str(client.get_model_version(name, wanted).version)
        except MlflowException:
            numbers = sorted(int(item.version) for item in client.search_model_versions(f"name = '{name}'"))
            raise RegistryError(f"{name} has no version {wanted}; it has {', '.join(map(str, numbers)) or 'none'}") from None
    shown = ", ".join(f"{alias} (version {number})" for alias, number in sorted(known.items())) or "no aliases"
    raise RegistryError(f"{name} has no alias '{wanted}'{nearest(wanted, known)}; it has {shown}")


def made_at(client: Any, name: str, version: str) -> datetime:
    """When a version was registered, to the second: MLflow gives the number of a deleted one again."""
    return datetime.fromtimestamp(client.get_model_version(name, version).creation_timestamp // 1000, UTC)


def point(client: Any, name: str, alias: str, version: str | None) -> None:
    """Let an alias name a version, or none."""
    if version is not None:
        client.set_registered_model_alias(name, alias, version)
    elif alias in aliases(client, name):
        client.delete_registered_model_alias(name, alias)
