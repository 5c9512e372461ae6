"""MLflow's way into a recognizer: a models-from-code file, copied into every registered model.

It runs without asrx: the copy of the recognizer folder beside the weights is imported under a name of its own, so that
two versions of a model, each with its code, live in one process.
"""

import contextlib
import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import mlflow
import numpy as np
import pandas as pd

COLUMNS = ["text", "confidence", "duration"]


def import_recognizer(folder: Path) -> ModuleType:
    """Import the recognizer package in `folder` as `recognizer_<digest of its files>`."""
    files = sorted(folder.glob("*.py"))
    digest = hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()[:12]
    name = f"recognizer_{digest}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=[str(folder)])
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        for path in files:  # now: the folder may be gone, with the model that brought it, when another one needs more of it
            if path.stem not in ("__init__", "pyfunc_model"):
                with contextlib.suppress(ImportError):  # of a package that only some forms of audio need
                    importlib.import_module(f"{name}.{path.stem}")
    return sys.modules[name]


def as_items(model_input: Any, sampling_rate: int | None) -> list[tuple[Any, int | None]]:
    """Every accepted form of input as a list of (audio, sampling rate in Hz or None).

    Accepted: one path, bytes, base64 text or array; a list of any of them; a dict or DataFrame with a column `audio` and
    optionally `sampling_rate`. A list of numbers, or a 2-D array of floats, is one recording.
    """
    if isinstance(model_input, dict):
        model_input = _from_dict(model_input)
    if isinstance(model_input, pd.DataFrame):
        return _from_frame(model_input, sampling_rate)
    if isinstance(model_input, pd.Series) or _are_texts(model_input):
        model_input = np.ravel(model_input).tolist()
    if isinstance(model_input, (list, tuple)) and not (model_input and _is_number(model_input[0])):
        return [pair for item in model_input for pair in _one(item, sampling_rate)]
    return _one(model_input, sampling_rate)


def _one(item: Any, sampling_rate: int | None) -> list[tuple[Any, int | None]]:
    if isinstance(item, dict):
        rate = item.get("sampling_rate", sampling_rate)
        return [(item.get("audio", item.get("array", item.get("b64"))), rate)]
    return [(item, sampling_rate)]


def _from_dict(columns: dict[str, Any]) -> pd.DataFrame:
    """{"audio": [...]} of many recordings, or of one."""
    columns = {key: np.ravel(value).tolist() if _are_texts(value) else value for key, value in columns.items()}
    audio = columns.get("audio")
    many = isinstance(audio, (list, tuple)) and not (audio and _is_number(audio[0]))
    return pd.DataFrame(columns) if many else pd.DataFrame({key: [value] for key, value in columns.items()})


def _from_frame(frame: pd.DataFrame, sampling_rate: int | None) -> list[tuple[Any, int | None]]:
    column = "audio" if "audio" in frame.columns else frame.columns[0]
    if "audio" not in frame.columns and len(frame.columns) > 1:
        raise ValueError(f"the input needs a column 'audio'; it has {', '.join(map(str, frame.columns))}")
    rates = frame["sampling_rate"] if "sampling_rate" in frame.columns else [sampling_rate] * len(frame)
    return [(audio, None if pd.isna(rate) else int(rate)) for audio, rate in zip(frame[column], rates, strict=True)]


def _are_texts(value: Any) -> bool:
    """REST makes an array of base64 texts."""
    return isinstance(value, np.ndarray) and value.dtype.kind in "OSU"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) or hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0


class RecognizerModel(mlflow.pyfunc.PythonModel):
    """predict() takes audio in any form and returns one row per recording: text, confidence 0..1, duration in seconds."""

    # No type hints on the two: MLflow would take them for an input schema, which would refuse most forms of audio.
    def load_context(self, context):
        self.package = import_recognizer(Path(context.artifacts["recognizer"]))
        self.folder = context.artifacts["model"]
        self.recognizer = self.package.load(self.folder)

    def predict(self, context, model_input, params=None):
        """Transcribe. `params`: `sampling_rate` (Hz) of bare arrays, `batch_size`."""
        params = params or {}
        items = as_items(model_input, params.get("sampling_rate") or None)
        audios = [self._load(audio, rate, index) for index, (audio, rate) in enumerate(items)]
        heard = self.recognizer.recognize([audio.samples for audio in audios], params.get("batch_size") or None)
        rows = [(result.text, result.confidence, audio.seconds) for result, audio in zip(heard, audios, strict=True)]
        return pd.DataFrame(rows, columns=COLUMNS)

    def _load(self, audio: Any, rate: int | None, index: int) -> Any:
        try:
            return self.package.audio.load(audio, rate)
        except ValueError as error:
            name = audio if isinstance(audio, (str, Path)) and len(str(audio)) < 256 else f"recording {index + 1}"
            raise mlflow.MlflowException.invalid_parameter_value(f"{name}: {error}") from None


mlflow.models.set_model(RecognizerModel())
