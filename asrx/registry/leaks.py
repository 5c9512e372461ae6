"""What the held-out recordings have in common with what the models were trained on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import packaging
from ..corpus.shards import PreparedCorpus
from ..corpus.splits import SPLITS, TRAIN
from ..errors import AsrxError
from ..scoring.scored_models import ScoredModel
from ..scoring.transcribe import Heard, Transcription
from ..text import score_text
from .verdict import Leaks
from .versions import SOURCE_RUN


def found(client: Any, name: str, candidate: str, new: ScoredModel, old: ScoredModel | None, result: Transcription) -> Leaks:
    """Held-out audio that a side was trained on; speakers and sentences of the candidate's corpus, where that is still on this machine."""
    of_candidate, of_baseline = _heard_before(new, result.heard), _heard_before(old, result.heard) if old else ()
    corpus = _corpus(client, name, candidate)
    return Leaks(of_candidate, of_baseline, *(_shared(corpus, result.heard) if corpus else (None, None)))


def _heard_before(model: ScoredModel, heard: Sequence[Heard]) -> tuple[str, ...]:
    """Ids of the utterances whose audio a model was trained on."""
    return tuple(item.row.id for item in heard if packaging.was_trained_on(item.audio_digest, model.trained_on))


def _corpus(client: Any, name: str, version: str) -> PreparedCorpus | None:
    """The prepared corpus that a version was trained on, if it is there unchanged."""
    from mlflow.exceptions import MlflowException

    try:
        run_id = client.get_model_version(name, version).tags.get(SOURCE_RUN)
        tags = client.get_run(run_id).data.tags if run_id else {}
        corpus = PreparedCorpus.open(Path(tags["asrx.corpus"])) if "asrx.corpus" in tags else None
    except (MlflowException, AsrxError):
        return None
    return corpus if corpus and corpus.digest == tags.get("asrx.corpus_digest") else None


def _shared(corpus: PreparedCorpus, heard: Sequence[Heard]) -> tuple[int, int]:
    """Held-out speakers that are in the training data, and held-out utterances whose sentence is."""
    train = corpus.split(SPLITS[TRAIN])
    speakers, spoken = set(train.each("speaker")), {item.row.speaker for item in heard if item.row.speaker}
    wanted = {score_text(item.row.text) for item in heard} - {""}
    trained = {text for raw in train.each("text") if (text := score_text(raw)) in wanted}
    return len(spoken & speakers), sum(score_text(item.row.text) in trained for item in heard)
