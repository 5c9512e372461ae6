"""Preflight: what would make a training fail, or come to nothing, is said before its first step."""

import logging
import shutil
import textwrap
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import packaging
from ..config import Config
from ..error_counts import count_all, pool
from ..errors import ConfigError
from ..findings import OK, REFUSED, WARNING, Finding
from ..hallucination import explain
from ..models import SCRATCH, Family, Transcriber, loading, processor
from ..recognizer.audio import to_float
from ..tracking import Run
from . import arguments
from .material import Material
from .resources import disk, free_disk, resources

log = logging.getLogger("asrx")

TAG = "asrx.preflight"  # of a run
MOST_SHARED_AUDIO = 0.1  # share of the validation utterances that may be trained on
BASELINE = 48  # utterances that the untouched model transcribes at most
BASELINE_SECONDS = 5.0  # after which it takes no further one
POOR = 0.9  # WER of a trained model that has another language, or other letters
WIDTH = 140  # columns of the table where there is no terminal


@dataclass(frozen=True)
class Preflight:
    """All findings about a training."""

    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> str:
        """`ok`, `2 warnings`, `1 refused, 2 warnings`."""
        counts = Counter(finding.verdict for finding in self.findings)
        parts = [f"{counts[REFUSED]} refused"] if counts[REFUSED] else []
        parts += [f"{counts[WARNING]} warning{'s' if counts[WARNING] > 1 else ''}"] if counts[WARNING] else []
        return ", ".join(parts) or OK

    @property
    def refused(self) -> Finding | None:
        """The first finding that makes the training senseless."""
        return next((finding for finding in self.findings if finding.verdict == REFUSED), None)

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {"verdict": self.verdict, "findings": [asdict(finding) for finding in self.findings]}

    def text(self) -> str:
        """The table, for people, as wide as the terminal."""
        columns = shutil.get_terminal_size((WIDTH, 24)).columns
        widths = [max((len(getattr(finding, name)) for finding in self.findings), default=0) for name in ("verdict", "check")]
        margin = " " * (2 + widths[0] + 3 + widths[1] + 3)
        lines = []
        for finding in self.findings:
            begin = f"  {finding.verdict.ljust(widths[0])}   {finding.check.ljust(widths[1])}   "
            lines += _wrapped(finding.measured, begin, margin, columns)
            lines += _wrapped(finding.advice, f"{margin}→ ", f"{margin}  ", columns)
        return "\n".join([f"preflight: {self.verdict}", *lines])

    def markdown(self) -> str:
        """The table as an artifact of the run."""
        rows = [(item.check, item.verdict, item.measured, item.advice) for item in self.findings]
        escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
        lines = [f"| {' | '.join(row)} |" for row in (["check", "verdict", "measured", "what to do"], ["---"] * 4, *escaped)]
        return "\n".join([f"# Preflight: {self.verdict}", "", *lines, ""])

    def announce(self, whole: bool = True) -> None:
        """Log the table, or of a training among many what is not ok. Raises ConfigError, with its fix, for the first refusal."""
        shown = self if whole or self.refused else Preflight(tuple(finding for finding in self.findings if finding.verdict != OK))
        if shown.findings:
            log.log(logging.INFO if self.verdict == OK else logging.WARNING, "%s", shown.text())
        if refused := self.refused:
            raise ConfigError(f"{refused.check}: {refused.measured}; {refused.advice}")

    def keep(self, run: Run) -> None:
        """The table as an artifact, the verdict as a tag."""
        run.text("preflight.md", self.markdown())
        run.tags({TAG: self.verdict})


def _wrapped(text: str, begin: str, margin: str, columns: int) -> list[str]:
    width = max(columns, len(margin) + 40)
    return textwrap.wrap(text, width, initial_indent=begin, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False)


def of_training(options: Config, family: Transcriber, material: Material) -> Preflight:
    """What speaks for and against training `family` on `material`; the options have the language of the corpus."""
    found = [*material.findings, *overlap(material, options)]
    if any(finding.verdict == REFUSED for finding in found):
        return Preflight(tuple([*found, disk(family.model, options, free_disk())]))
    settings = _settings(options, family)
    return Preflight(tuple([*found, baseline(family, material, options), *resources(options, family, material, family.join, settings)]))


def of_pretraining(options: Config, family: Family, material: Material, join: Callable[..., list[int]]) -> Preflight:
    """The same of a training without texts."""
    settings = _settings(options, family)
    return Preflight(tuple([*overlap(material, options, texts=False), *resources(options, family, material, join, settings)]))


def _settings(options: Config, family: Family) -> Any:
    """The arguments of the training, with the model on its device."""
    kind = arguments.precision(options, family.model.num_parameters())
    settings = arguments.training_arguments(options, arguments.EVALUATIONS, Path("unused"), kind)
    family.model.to(settings.device)
    processor.speed_up(family.model, settings, options.model.attn_implementation)
    return settings


def overlap(material: Material, options: Config, texts: bool = True) -> list[Finding]:
    """What validation shares with training: audio, speakers, sentences."""
    validation = material.validation
    digests, speakers = validation.column("audio_digest"), validation.column("speaker")
    known = set() if options.model.name == SCRATCH else packaging.trained_on(loading.locate(options.model.name))
    heard = sum(digest in material.digests for digest in digests)
    earlier = sum(packaging.was_trained_on(digest, known) and digest not in material.digests for digest in digests)
    measured = f"{heard:,} of {len(digests):,} validation utterances are trained on"
    if earlier:
        measured += f", {earlier:,} were in an earlier training of the model"
    verdict = REFUSED if heard > MOST_SHARED_AUDIO * len(digests) else WARNING if heard or earlier else OK
    advice = "the validation WER would be too good: prepare the corpus from a validation table of its own, or with data.split=speaker"
    found = [Finding("shared audio", verdict, measured, advice), _shared_speakers(Counter(filter(None, speakers)), set(filter(None, material.speakers)))]
    return [*found, _shared_sentences(material)] if texts else found


def _shared_speakers(validation: Counter[str], train: set[str]) -> Finding:
    if not validation or not train:
        return Finding("shared speakers", OK, "not known")
    both = [name for name in validation if name in train]
    utterances = sum(validation[name] for name in both)
    measured = f"{len(both):,} of {len(validation):,} validation speakers are trained on, with {utterances:,} validation utterances"
    return Finding("shared speakers", WARNING if both else OK, measured, "the validation WER is that of known voices; prepare with data.split=speaker")


def _shared_sentences(material: Material) -> Finding:
    column = material.split.column("text")
    trained = {column[index].casefold() for index in material.indices}
    spoken = [text for text in material.validation.each("text") if text]
    shared = sum(text.casefold() in trained for text in spoken)
    return Finding("shared sentences", OK, f"{shared:,} of {len(spoken):,} validation utterances have a sentence of the training")


def baseline(family: Transcriber, material: Material, options: Config) -> Finding:
    """The WER of the model as it is, on a few validation utterances."""
    if not family.writes:
        nothing = "the model starts from nothing" if options.model.name == SCRATCH else "the output layer is new: it starts from nothing"
        return Finding("baseline WER", OK, nothing)
    references, hypotheses = _transcribed(family, material)
    counts = pool(count_all(references, hypotheses))
    if counts.wer is None:
        return Finding("baseline WER", WARNING, f"{len(references):,} validation utterances have no word to compare with", "look at the transcripts")
    measured = f"{counts.wer:.1%} on {len(references):,} validation utterances"
    if counts.wer <= POOR:
        return Finding("baseline WER", OK, measured)
    reasons = explain(references, hypotheses, options.text.language, counts).sentences()
    shown = f"'{hypotheses[0]}' for '{references[0]}'"
    advice = " ".join(reasons) or "next to nothing is right before training: does the checkpoint know this language, and these letters?"
    return Finding("baseline WER", WARNING, f"{measured}, {shown}", advice)


def _transcribed(family: Transcriber, material: Material) -> tuple[list[str], list[str]]:
    """References and hypotheses of some validation utterances, spread over all, one by one for as long as there is time."""
    from .evaluation import spread
    from .probe import untouched

    texts = material.validation.column("text")
    told = np.array([index for index, text in enumerate(texts) if text], np.int64)
    order = np.random.default_rng(0).permutation(told[spread(told, BASELINE)])
    references, hypotheses, began = [], [], time.monotonic()
    with untouched(family.model):
        family.model.eval()
        for index in order.tolist():
            _, heard = family.evaluate([to_float(material.validation.audio(index))], family.labels([texts[index]]))
            references.append(texts[index])
            hypotheses += heard
            if time.monotonic() - began > BASELINE_SECONDS:
                break
    return references, hypotheses
