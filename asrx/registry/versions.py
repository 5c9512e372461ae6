"""Versions and aliases in MLflow's model registry."""

import logging
import shlex
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import packaging, tracking
from ..errors import ConfigError, RegistryError
from ..models import loading
from ..scoring.scored_models import from_folder, run_model_uri
from . import publish, settling
from .aliases import BASELINE, CANDIDATE, CHAMPION, aliases

log = logging.getLogger("asrx")

AUTO = "auto"
SOURCE_RUN, MODEL_DIGEST = "asrx.run_id", "asrx.model_digest"
HUB, HUB_COMMIT = "asrx.hub", "asrx.hub_commit"  # tags of a version that was pushed


@dataclass(frozen=True)
class Registered:
    """A registered version."""

    name: str
    version: str
    alias: str | None
    model_uri: str
    already: bool = False
    hub: publish.Published | None = None

    @property
    def uri(self) -> str:
        """As MLflow loads it."""
        return f"models:/{self.name}/{self.version}"


def register(
    name: str, run_id: str | None = None, model: str | None = None, alias: str = AUTO, parent: str | None = None, push: str | None = None
) -> Registered:
    """Register the best model of a run (`run_id`: an id or `latest`) or a stock `model` (hub id or folder) as the next version of `name`.

    A model that is a version already stays that version. `alias` auto: `baseline` while the name has neither champion nor
    baseline, else `candidate`. `push`: USER/NAME on the Hugging Face hub that the version is published as, already registered or not.
    Raises RegistryError, TrackingError or ModelError if there is no such run or model, or if it cannot be pushed.
    """
    if bool(run_id) == bool(model):
        raise ConfigError("register takes a run (--run RUN_ID or latest) or a model (--model HUB_ID or folder), one of the two")
    _check_name(name)
    if push:
        publish.check(push)
    client = tracking.connect()
    settling.settle_known(client, name)
    new = _from_run(client, run_id) if run_id else _from_stock(model)
    version = _registered(client, name, new, model, alias, parent)
    return _push(client, version, push, f"--run {new.tags[SOURCE_RUN]}" if run_id else f"--model {shlex.quote(model)}") if push else version


def _registered(client: Any, name: str, new: "_New", model: str | None, alias: str, parent: str | None) -> Registered:
    known = _version_of(client, name, *next(iter(new.tags.items())))
    if known:
        tracking.nothing_to_do(client, "register", f"This model is version {known.version} of {name} already.")
        return Registered(name, str(known.version), _give_alias(client, name, str(known.version), alias, True), known.source, True)
    with tracking.run("register", f"register {name}", client, parent=parent) as run:
        uri = new.uri or _log_stock(run, new.folder, model)
        version = _create(client, name, uri, new.tags)
        given = _give_alias(client, name, version, alias, False)
        run.params({"asrx.name": name, "asrx.version": version, "asrx.alias": given})
        run.note(f"Version {version} of {name}, alias {given}: `{uri}`")
    return Registered(name, version, given, uri)


def _push(client: Any, version: Registered, repository: str, source: str) -> Registered:
    try:
        published = publish.publish(version.model_uri, repository, f"{version.name} version {version.version}")
    except RegistryError as error:
        again = f"asrx register {source} --name {version.name} --push {repository}"
        state = f"it is registered all the same, as version {version.version} of {version.name}"
        raise RegistryError(f"the model was not pushed: {error}; {state}. To push it: {again}") from None
    for key, value in ((HUB, repository), (HUB_COMMIT, published.commit)):
        client.set_model_version_tag(version.name, version.version, key, value)
    return replace(version, hub=published)


@dataclass(frozen=True)
class _New:
    """What is to be registered; the first tag identifies it among the versions."""

    tags: dict[str, str]
    uri: str | None = None  # of a model that is logged
    folder: Path | None = None  # of a stock model


def _from_run(client: Any, run_id: str) -> _New:
    run = _training(client, run_id)
    return _New({SOURCE_RUN: run.info.run_id, **_evidence(run)}, run_model_uri(client, run.info.run_id))


def _from_stock(model: str) -> _New:
    located = tracking.user_path(model)
    folder = loading.locate(str(located) if located.exists() else model)
    from_folder(folder, model)  # a model that cannot transcribe must not get a version
    return _New({MODEL_DIGEST: packaging.model_digest(folder), "asrx.stock": model}, folder=folder)


def _check_name(name: str) -> None:
    if not name.strip() or any(character in name for character in "/:@%\"'"):
        raise ConfigError(f"'{name}' cannot be the name of a registered model: it must not be empty or hold / : @ % or quotes")


def _training(client: Any, run_id: str) -> Any:
    if run_id != "latest":
        return tracking.find_run(client, run_id)
    run = tracking.latest_run(client, f"tags.`{tracking.KIND}` = 'train' and tags.`{tracking.OUTCOME}` = 'finished'")
    if not run:
        raise RegistryError("there is no finished training to register; see asrx train")
    return run


def _version_of(client: Any, name: str, tag: str, value: str) -> Any | None:
    versions = client.search_model_versions(f"name = '{name}'")
    return next((version for version in versions if version.tags.get(tag) == value), None)


def _evidence(run: Any) -> dict[str, str]:
    """Validation figures for the version's page in the registry."""
    metrics = run.data.metrics
    return {f"asrx.validation_{key}": f"{metrics[f'best/{key}']:.4f}" for key in ("wer", "cer") if f"best/{key}" in metrics}


def _create(client: Any, name: str, uri: str, tags: dict[str, str]) -> str:
    import mlflow

    logging.getLogger("mlflow.tracking._model_registry.fluent").setLevel(logging.WARNING)
    with packaging.output_to_stderr():
        return str(mlflow.register_model(uri, name, tags=tags).version)


def _log_stock(run: tracking.Run, folder: Path, model: str) -> str:
    with tempfile.TemporaryDirectory() as temporary:
        clean = Path(temporary) / "model"
        _copy_model_files(folder, clean)
        uri = packaging.log_model(run, clean, packaging.Facts(base=model), packaging.trained_on(clean), _tone())
    run.tags({packaging.MODEL_URI: uri})
    return uri


def _copy_model_files(folder: Path, target: Path) -> None:
    """Only what the recognizer reads: a hub snapshot may hold other formats of the same weights."""
    import shutil

    target.mkdir()
    for path in folder.iterdir():
        if path.is_file() and path.suffix in (".json", ".safetensors", ".txt", ".model") and path.name != "best.json":
            shutil.copyfile(path.resolve(), target / path.name)
    if (folder / packaging.TRAINED_ON).is_file():
        shutil.copyfile(folder / packaging.TRAINED_ON, target / packaging.TRAINED_ON)


def _tone() -> np.ndarray:
    """A second of a quiet tone: an input example where no recording is at hand."""
    return (2_000 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)).astype(np.int16)


def _give_alias(client: Any, name: str, version: str, alias: str, already: bool) -> str | None:
    known = aliases(client, name)
    own = [key for key, value in known.items() if value == version]
    if alias == AUTO:
        if already and own:
            return own[0]
        alias = CANDIDATE if CHAMPION in known or BASELINE in known else BASELINE
    client.set_registered_model_alias(name, alias, version)
    return alias
