"""A registered version on the Hugging Face hub: the plain transformers folder, with a card that the hub understands."""

import json
import os
import re
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from .. import packaging, tracking
from ..errors import ConfigError, RegistryError
from ..files import read_json
from ..numerals import base_language
from ..packaging import Facts

TASK = "automatic-speech-recognition"
CARD = "README.md"
FILES = (  # of a transformers folder; what else lies in it, as digests of the training audio, stays at home
    "config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json", "tokenizer_config.json", "tokenizer.json",
    "special_tokens_map.json", "added_tokens.json", "normalizer.json", "vocab.json", "vocab.txt", "merges.txt", "*.model", "*.safetensors",
    "*.safetensors.index.json",
)  # fmt: skip
LOCAL = re.compile(r"_(path|file)$")  # keys under which configurations keep where they were loaded from


@dataclass(frozen=True)
class Published:
    """Where a version is on the hub."""

    repository: str  # USER/NAME
    url: str
    commit: str  # URL


def check(repository: str) -> None:
    """Refuse, before anything is registered, what cannot be pushed. ConfigError for the name, RegistryError without token or network."""
    from huggingface_hub import get_token, is_offline_mode
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise ConfigError(f"--push {repository}: no name that the hub takes; give USER/NAME. {error}") from None
    if repository.count("/") != 1:
        raise ConfigError(f"--push {repository}: the hub needs the owner, too; give USER/NAME")
    if is_offline_mode():
        raise RegistryError(f"--push {repository}: HF_HUB_OFFLINE is set; unset it to push. Nothing was registered")
    if not get_token():
        raise RegistryError(f"--push {repository}: there is no token for the hub; type `hf auth login`, or set HF_TOKEN. Nothing was registered")


def publish(model_uri: str, repository: str, version: str) -> Published:
    """Push a logged model as one commit to `repository`, made private if it is not there. RegistryError if it cannot be.

    Files of another version's model that this one lacks are deleted there; whatever else a person keeps there stays.
    `version`: what the commit message calls it.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    enable_progress_bars() if os.isatty(2) else disable_progress_bars()
    folder = _model_folder(model_uri)
    facts = _public(packaging.read_facts(folder))
    contents = _contents(folder, facts, repository)
    api = HfApi(token=get_token())
    try:
        url = api.create_repo(repository, private=True, exist_ok=True)
        commit = api.create_commit(repository, _operations(contents, api.list_repo_files(repository)), commit_message=_message(version, facts))
    except Exception as error:  # the hub client raises a dozen types; each means that the model is not there
        raise RegistryError(_reason(error, repository, api.endpoint)) from None
    return Published(repository, str(url), commit.commit_url)


def front_matter(facts: Facts, repository: str) -> str:
    """The card's metadata as YAML (huggingface/hub-docs, modelcard.md). The WER is in per cent, as leaderboards read it."""
    from huggingface_hub import EvalResult, ModelCardData

    results = None
    if facts.wer is not None:
        corpus = facts.corpus or "validation set"
        slug = re.sub(r"\W+", "-", corpus.lower()).strip("-")
        where = {"dataset_type": slug, "dataset_name": corpus, "dataset_split": "validation"}
        results = [EvalResult(task_type=TASK, **where, metric_type="wer", metric_name="WER, per cent", metric_value=round(100 * facts.wer, 2))]
    language = base_language(facts.language or "")
    return ModelCardData(
        language=language if re.fullmatch("[a-z]{2,3}", language) else None,
        library_name="transformers",
        pipeline_tag=TASK,
        tags=["asrx", TASK],
        base_model=facts.base if _is_hub_id(facts.base) else None,
        metrics=["wer"] if results else None,
        model_name=repository.partition("/")[2],
        eval_results=results,
    ).to_yaml()


def _model_folder(model_uri: str) -> Path:
    import mlflow

    with packaging.output_to_stderr():
        folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=model_uri)) / "artifacts" / "model"
    if not folder.is_dir():
        raise RegistryError(f"the model {model_uri} was not logged by asrx, so there is no transformers folder to push")
    return folder


def _public(facts: Facts) -> Facts:
    """A base model that lies in a folder goes by its name alone."""
    return facts if facts.base == "scratch" or _is_hub_id(facts.base) else replace(facts, base=Path(facts.base).name)


def _is_hub_id(base: str) -> bool:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(base)
    except HFValidationError:
        return False
    return "/" in base and not tracking.user_path(base).exists()


def _contents(folder: Path, facts: Facts, repository: str) -> dict[str, Path | bytes]:
    """What is published, by name: files as they are, or their content."""
    contents: dict[str, Path | bytes] = {path.name: path for path in sorted(folder.iterdir()) if _is_published(path.name)}
    for name in [name for name in contents if name.endswith("config.json")]:
        contents[name] = _without_local_paths(folder / name)
    known = {key: value for key, value in asdict(facts).items() if value is not None}
    card = f"---\n{front_matter(facts, repository)}\n---\n\n{packaging.model_card(facts, repository)}"
    return {**contents, packaging.FACTS: _json(known), CARD: card.encode()}


def _is_published(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in FILES)


def _without_local_paths(path: Path) -> Path | bytes:
    options = read_json(path)
    local = [key for key, value in options.items() if LOCAL.search(key) and isinstance(value, str) and Path(value).expanduser().is_absolute()]
    return _json({key: value for key, value in options.items() if key not in local}) if local else path


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _operations(contents: dict[str, Path | bytes], there: list[str]) -> list[Any]:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    gone = [name for name in there if _is_published(name) and name not in contents]
    return [*(CommitOperationAdd(name, content) for name, content in contents.items()), *(CommitOperationDelete(name) for name in gone)]


def _message(version: str, facts: Facts) -> str:
    return version if facts.wer is None else f"{version}: WER {facts.wer:.2%} on {facts.validation_utterances:,} validation utterances"


def _reason(error: Exception, repository: str, endpoint: str) -> str:
    answers = [getattr(each, "response", None) for each in (error, error.__cause__)]  # what a thread met is the cause of what is raised
    status = next((answer.status_code for answer in answers if answer is not None), None)
    detail = " ".join(str(error).split())[:160]
    if status == 401:
        return f"{endpoint} does not accept the token (401); type `hf auth login`, or set HF_TOKEN"
    if status == 403:
        return f"the token may not write to {repository} on {endpoint} (403); take one with the right to write there"
    if status is None:
        return f"{endpoint} cannot be used ({type(error).__name__}: {detail})"
    return f"{endpoint} refused {repository} ({status}: {detail})"
