"""How a model's output becomes text: what a transcript depends on beside the model and the audio."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

LOGGED = "recognizer_"  # how the copy of the recognizer's code that came with a model is named: followed by the digest of its files
LIBRARIES = ("torch", "transformers")  # that compute


@dataclass(frozen=True)
class Decoding:
    """Code and settings of a recognizer."""

    code: str  # digest of the recognizer's files
    task: str  # transcribe or translate
    device: str  # kind: cpu, cuda
    libraries: tuple[str, ...]

    @classmethod
    def of(cls, recognizer: Any) -> "Decoding":
        """That of a recognizer of this or another version of the recognizer package."""
        package = type(recognizer).__module__.rpartition(".")[0]
        code = package.removeprefix(LOGGED) if package.startswith(LOGGED) else _own_code()
        task = getattr(getattr(getattr(recognizer, "model", None), "generation_config", None), "task", None) or "transcribe"
        return cls(code, task, recognizer.device.type, tuple(f"{name} {version(name)}" for name in LIBRARIES))

    @property
    def digest(self) -> str:
        """Equal digests decode equally."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    @property
    def settings(self) -> dict[str, str]:
        """What two sides of a comparison must have in common: the code may differ, each model brings its own."""
        return {"task": self.task, "device": self.device}


@cache
def _own_code() -> str:
    """The digest of this version's recognizer, as a copy of it that is logged with a model is named."""
    from .. import recognizer

    files = sorted(Path(recognizer.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()[:12]
