"""Audio in, text out: the code that scores a model and the code that serves it, one and the same.

Self-contained: files of this folder import each other, torch, transformers, soundfile, soxr and numpy, nothing else
of asrx, so that every registered model carries a copy and runs where asrx is not installed.
"""

from pathlib import Path
from typing import Any

WHISPER = "whisper"


def load(folder: str | Path, device: str | None = None) -> Any:
    """The recognizer for a transformers folder, by the kind of decoding its model needs.

    Raises ValueError for a model that gives no text, such as one that was only pre-trained, and for one that asrx does not know.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    if _is_whisper(config, str(folder)):
        from .seq2seq import Seq2SeqRecognizer

        return Seq2SeqRecognizer.load(folder, device)
    from .ctc import CtcRecognizer

    return CtcRecognizer.load(folder, device)


def _is_whisper(config: Any, folder: str) -> bool:
    """Whether a model is Whisper; if not, it has a CTC output layer. Raises ValueError for all others."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CTC_MAPPING_NAMES as CTC
    from transformers.models.auto.modeling_auto import MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES as SEQ2SEQ

    kind = config.model_type
    own = {name for name in (CTC.get(kind), SEQ2SEQ.get(kind)) if name}
    classes = set(config.architectures or own)  # a config without architectures was written by hand: its kind decides
    if not own:
        raise ValueError(f"the model {folder} cannot transcribe: {kind} is no kind of speech recogniser")
    if not classes & own:
        raise ValueError(f"the {' and '.join(sorted(classes))} in {folder} cannot transcribe: it has no output layer; fine-tune it first")
    if kind != WHISPER and CTC.get(kind) not in classes:
        raise ValueError(f"the model {folder} is a {kind}, which asrx cannot decode; of the encoder-decoder models it knows Whisper")
    return kind == WHISPER
