"""A model folder as an MLflow model that loads and serves where asrx is not installed."""

import base64
import contextlib
import hashlib
import io
import logging
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Set
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from . import recognizer
from .files import read_json, write_json, write_text
from .recognizer.audio import SAMPLE_RATE
from .tracking import Run

log = logging.getLogger("asrx")

MODEL_URI = "asrx.model_uri"  # tag of the run that a model belongs to
FACTS, TRAINED_ON = "asrx.json", "trained_on.npy"
DIGEST_BYTES = 16  # of each audio digest that a model remembers
EXAMPLE_SECONDS = 2.0
REQUIREMENTS = ("mlflow", "torch", "transformers", "soundfile", "soxr", "numpy", "pandas", "safetensors")
OPTIONAL = ("av",)  # m4a, webm, wma, …
USAGE = ("Input: speech, any sampling rate. Output: text, confidence (0 to 1), duration in seconds.", "",
         "```python", "import mlflow", 'model = mlflow.pyfunc.load_model("models:/asrx@champion")', 'model.predict(["clip.mp3"])', "```", "")  # fmt: skip


@dataclass(frozen=True)
class Facts:
    """Where a model comes from; asrx.json in its folder."""

    base: str
    architecture: str | None = None  # transformers' model_type
    corpus: str | None = None
    corpus_digest: str | None = None
    language: str | None = None
    hours: float | None = None
    utterances: int | None = None
    step: int | None = None
    wer: float | None = None
    cer: float | None = None
    validation_utterances: int | None = None
    run_id: str | None = None


def log_model(run: Run, folder: Path, facts: Facts, digests: Set[str], example: np.ndarray) -> str:
    """Log the transformers folder as a pyfunc model of the run and return its URI `models:/m-…`.

    `digests`: sha256 of the audio it was trained on, or their first halves; they are written into `folder`, too.
    `example`: int16 samples at 16 kHz for the input example.
    """
    import mlflow

    with tempfile.TemporaryDirectory() as temporary:
        model, code = Path(temporary) / "model", Path(temporary) / "recognizer"
        _remember(folder, facts, digests)
        shutil.copytree(folder, model)
        source = Path(recognizer.__file__).parent
        shutil.copytree(source, code, ignore=shutil.ignore_patterns("__pycache__"))
        run.text("model_card.md", model_card(facts))
        with output_to_stderr(), mlflow.start_run(run_id=run.id, log_system_metrics=False):
            logged = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(code / "pyfunc_model.py"),
                artifacts={"model": str(model), "recognizer": str(code)},
                signature=_signature(),
                input_example=_input_example(example),
                pip_requirements=_requirements(),
                metadata={"digest": model_digest(folder), **{key: value for key, value in asdict(facts).items() if value is not None}},
            )
    return f"models:/{logged.model_id}"


def _requirements() -> list[str]:
    """What a model needs, as it is installed here."""
    optional = [name for name in OPTIONAL if find_spec(name)]
    return [f"{name}=={version(name).partition('+')[0]}" for name in (*REQUIREMENTS, *optional)]


def trained_on(folder: Path) -> set[str]:
    """Hex prefixes of the digests of the audio that a model folder was trained on; empty for a stock model."""
    path = folder / TRAINED_ON
    return {row.tobytes().hex() for row in np.load(path, allow_pickle=False)} if path.exists() else set()


def read_facts(folder: Path) -> Facts:
    """What a model folder says of where it comes from; the folder's name alone if it says nothing."""
    known = read_json(folder / FACTS) or {}
    return Facts(**{"base": folder.name, **{item.name: known[item.name] for item in fields(Facts) if item.name in known}})


def was_trained_on(digest: str, known: set[str]) -> bool:
    """Whether an audio digest is among those that a model remembers."""
    return digest[: 2 * DIGEST_BYTES] in known


def model_digest(folder: Path) -> str:
    """sha256 of weights, configuration and vocabulary: equal digests transcribe equally."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".json", ".safetensors", ".txt") and path.name not in (FACTS, "best.json"):
            digest.update(path.name.encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def model_card(facts: Facts, repository: str | None = None) -> str:
    """Markdown for the run and the model folder, or for the hub's `repository`, where it is used under that name."""
    origin = f"A small {facts.architecture} model, trained from scratch." if facts.base == "scratch" else f"Fine-tuned from `{facts.base}`."
    if not facts.corpus:
        origin = f"The stock model `{facts.base}`, as it came."
    lines = ["# Speech recogniser", "", origin, ""]
    if facts.corpus:
        lines += [
            "| | |", "|---|---|",
            f"| trained on | {facts.corpus}, {facts.utterances:,} utterances, {facts.hours:.2f} h (digest `{facts.corpus_digest[:16]}`) |",
            f"| language | {facts.language} |",
            f"| WER | {facts.wer:.2%} on {facts.validation_utterances:,} validation utterances |",
            f"| CER | {facts.cer:.2%} |",
            f"| step | {facts.step:,} |",
            f"| run | `{facts.run_id}` |", "",
            "The error rates are those of the validation set on which this step was chosen; a held-out set is the judge.", "",
        ]  # fmt: skip
    return "\n".join([*lines, *(_usage_on_hub(repository) if repository else USAGE)])


def _usage_on_hub(repository: str) -> list[str]:
    return ["Input: speech at 16 kHz. Output: text.", "",
            "```python", "from transformers import pipeline", f'recognize = pipeline("automatic-speech-recognition", model="{repository}")',
            'recognize("clip.wav")["text"]', "```", "", f"or, with asrx: `asrx transcribe --model {repository} clip.mp3`", ""]  # fmt: skip


def _remember(model: Path, facts: Facts, digests: Set[str]) -> None:
    write_json(model / FACTS, {key: value for key, value in asdict(facts).items() if value is not None})
    write_text(model / "README.md", model_card(facts))
    remember_audio(model, digests)


def remember_audio(model: Path, digests: Set[str]) -> None:
    """Write what a model was trained on into its folder, where `trained_on` finds it."""
    if digests:
        rows = sorted({bytes.fromhex(digest)[:DIGEST_BYTES] for digest in digests})
        np.save(model / TRAINED_ON, np.frombuffer(b"".join(rows), np.uint8).reshape(-1, DIGEST_BYTES))


def _signature() -> Any:
    """No input schema: a typed column would refuse some form of audio. Parameters must be declared or they are dropped."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    outputs = Schema([ColSpec("string", "text"), ColSpec("double", "confidence"), ColSpec("double", "duration")])
    params = ParamSchema([ParamSpec("sampling_rate", "long", SAMPLE_RATE), ParamSpec("batch_size", "long", 0)])
    return ModelSignature(inputs=None, outputs=outputs, params=params)


def _input_example(samples: np.ndarray) -> Any:
    import pandas as pd
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples[: int(EXAMPLE_SECONDS * SAMPLE_RATE)], SAMPLE_RATE, format="FLAC")
    return pd.DataFrame({"audio": [base64.b64encode(buffer.getvalue()).decode()]})


@contextlib.contextmanager
def output_to_stderr() -> Iterator[None]:
    """What MLflow prints to standard output goes to standard error, and its warnings about what is meant here nowhere."""
    names = ("mlflow.pyfunc", "mlflow.models.model", "mlflow.tracking.fluent", "mlflow.models.signature")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
