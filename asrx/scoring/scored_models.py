"""Any model that can be scored: from the registry, a run, a folder or the hub."""

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import packaging, tracking
from ..errors import AsrxError, ModelError, RegistryError
from ..files import read_json
from ..models import loading

log = logging.getLogger("asrx")


@dataclass(frozen=True)
class ScoredModel:
    """A recognizer that is ready, and what identifies it."""

    name: str
    recognizer: Any
    digest: str  # of weights, configuration and vocabulary
    folder: Path  # as transformers saved it
    trained_on: set[str]  # digest prefixes of its training audio


def open_model(client: Any, spec: str) -> ScoredModel:
    """`models:/NAME@ALIAS`, `models:/NAME/VERSION`, `models:/m-…`, `runs:/ID/model`, a run id, a folder or a hub id.

    A logged model runs the recognizer code that it was logged with. Raises ModelError or RegistryError if there is none.
    """
    if spec.startswith(("models:/", "runs:/")):
        return _from_uri(client, spec)
    folder = tracking.user_path(spec)
    if (folder / "MLmodel").is_file():
        return _from_pyfunc(str(folder), spec)
    if not folder.exists() and re.fullmatch(r"[0-9a-f]{32}", spec):
        return _from_uri(client, run_model_uri(client, spec))
    folder = loading.locate(str(folder) if folder.exists() else spec)
    return from_folder(folder, spec)


def language_of(spec: str) -> str | None:
    """The language that a model says it was trained on; `spec` as `open_model` takes it, or the name of a registered model. None where it says nothing."""
    import mlflow
    from mlflow.exceptions import MlflowException

    folder = tracking.user_path(spec)
    if folder.is_dir():
        return (read_json(folder / packaging.FACTS) or {}).get("language")
    client = tracking.connect()
    try:
        if re.fullmatch(r"[0-9a-f]{32}", spec):
            spec = run_model_uri(client, spec)
        elif not spec.startswith(("models:/", "runs:/")):
            newest = max(client.search_model_versions(f"name = '{spec}'"), key=lambda version: int(version.version))
            spec = f"models:/{spec}/{newest.version}"
        return (mlflow.models.get_model_info(spec).metadata or {}).get("language")
    except (AsrxError, MlflowException, ValueError):
        return None  # whoever opens it says what is wrong


def from_folder(folder: Path, name: str) -> ScoredModel:
    """A transformers folder, run by this version's recognizer."""
    from .. import recognizer

    loading.quiet_transformers()
    loading.tokenizer(folder, {})
    ready = loading.quietly(lambda: recognizer.load(folder), name)
    return ScoredModel(name, ready, packaging.model_digest(folder), folder, packaging.trained_on(folder))


def run_model_uri(client: Any, run_id: str) -> str:
    """The URI of the best model of a training run."""
    run = tracking.find_run(client, run_id)
    uri = run.data.tags.get(packaging.MODEL_URI)
    if run.data.tags.get(tracking.KIND) == "pretrain":
        raise ModelError(f"run {run.info.run_id} was pre-trained only and cannot transcribe; fine-tune it first: asrx train --model {run.info.run_id}")
    if not uri:
        outcome = run.data.tags.get(tracking.OUTCOME, run.info.status.lower())
        raise ModelError(f"run {run.info.run_id} has no model (it is {outcome}); continue it with: asrx train --resume {run.info.run_id}")
    return uri


def _from_uri(client: Any, uri: str) -> ScoredModel:
    from mlflow.exceptions import MlflowException

    if match := re.fullmatch(r"runs:/([0-9a-f]{32})(/.*)?", uri):
        uri = run_model_uri(client, match.group(1))
    try:
        return _from_pyfunc(uri, uri)
    except MlflowException as error:
        raise RegistryError(f"there is no model {uri}: {' '.join(str(error).split())[:200]}") from None


def _from_pyfunc(uri: str, name: str) -> ScoredModel:
    import mlflow
    from mlflow.exceptions import MlflowException

    loading.quiet_transformers()
    loaded = mlflow.pyfunc.load_model(uri)
    try:
        model = loaded.unwrap_python_model()
    except MlflowException:
        model = None
    if not hasattr(model, "recognizer"):
        raise ModelError(f"the model {name} was not logged by asrx; give its transformers folder or hub id instead")
    folder = Path(model.folder)
    return ScoredModel(name, model.recognizer, packaging.model_digest(folder), folder, packaging.trained_on(folder))
