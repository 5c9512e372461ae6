"""Whether pre-training helps: ten minutes of transcribed speech, on a pre-trained small wav2vec 2.0 and on the same one from scratch.

    python scripts/pretraining_helps.py            # three seeds, each with a draw of ten minutes of its own
    python scripts/pretraining_helps.py --quick    # one seed, so few steps that only the CER can differ: two minutes

Pre-training hears the built-in English training speech (31 minutes) without its transcripts. Both models then take the same steps on
the same ten minutes; each starts with the learning rate that is best for it on the validation set, on average over the seeds. The WER and CER are those of
the built-in held-out set: other speakers, other sentences. Everything is kept under ASRX_HOME, and taken up where it was interrupted.
"""

import argparse
import json
import statistics
from dataclasses import asdict, dataclass
from typing import Any

from asrx import present, workspace
from asrx.config import resolve
from asrx.models.pretraining import FINE_TUNING
from asrx.scoring.evaluate import evaluate
from asrx.training.pretrain import pretrain
from asrx.training.train import train

PRETRAINING, FINE_TUNED = "wav2vec2-pretrain-large-tiny", "pretrained-small"  # recipes
MINUTES = 10.0  # of transcribed speech
SCRATCH, PRETRAINED = "from scratch", "pre-trained"


@dataclass(frozen=True)
class Plan:
    """How much of everything."""

    seeds: tuple[int, ...] = (1, 2, 3)
    rates: tuple[float, ...] = (1.5e-3, 3e-3)  # learning rates that each start is tried with
    pretraining_steps: int = 800
    steps: int = 1_200


QUICK = Plan(seeds=(1,), rates=(3e-3,), pretraining_steps=350, steps=600)


@dataclass(frozen=True)
class Outcome:
    """A fine-tuning, and its figures on the held-out set as fractions."""

    start: str
    seed: int
    rate: float
    validation: float  # WER of the best step
    wer: float
    cer: float


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one seed and few steps")
    parser.add_argument("--json", action="store_true", help="print the figures of each training instead of the table")
    given = parser.parse_args()
    outcomes = run(QUICK if given.quick else Plan())
    print(json.dumps([asdict(outcome) for outcome in outcomes]) if given.json else report(outcomes))


def run(plan: Plan) -> list[Outcome]:
    """Every seed, start and learning rate of a plan."""
    outcomes = []
    for seed in plan.seeds:
        folder = pretrained(plan, seed)
        for start, model in ((SCRATCH, None), (PRETRAINED, folder)):
            outcomes += [fine_tuned(plan, start, model, seed, rate) for rate in plan.rates]
    return outcomes


def pretrained(plan: Plan, seed: int) -> str:
    """The folder of the model that was pre-trained with a seed."""
    options = resolve(PRETRAINING, {"trainer.seed": seed, "trainer.max_steps": plan.pretraining_steps})
    return pretrain(workspace.corpus(None, options), options, reuse=True).folder


def fine_tuned(plan: Plan, start: str, model: str | None, seed: int, rate: float) -> Outcome:
    """A model after its steps on ten minutes, scored on the held-out set."""
    same = {"trainer.seed": seed, "data.sample": seed, "data.minutes": MINUTES, "trainer.max_steps": plan.steps, "trainer.learning_rate": rate}
    options = resolve(FINE_TUNED, {**(architecture() if model is None else {"model.name": model}), **same})
    training = train(workspace.corpus(None, options), options, reuse=True)
    scores = evaluate(training.model_uri, workspace.held_out("auto", {}))
    return Outcome(start, seed, rate, training.wer, scores.wer, scores.cer)


def architecture() -> dict[str, Any]:
    """Options of the pre-trained architecture with random weights."""
    own = resolve(FINE_TUNED).extra["model"]
    given = {key: value for key, value in resolve(PRETRAINING).extra["model"].items() if key not in (*own, *FINE_TUNING)}
    return {"model.name": "scratch", **{f"model.{key}": value for key, value in given.items()}}


def best(outcomes: list[Outcome], start: str) -> list[Outcome]:
    """The outcomes of a start with the learning rate whose validation WER is lowest on average, by seed."""
    own = [item for item in outcomes if item.start == start]
    rate = min({item.rate for item in own}, key=lambda rate: statistics.fmean(item.validation for item in own if item.rate == rate))
    return sorted((item for item in own if item.rate == rate), key=lambda item: item.seed)


def report(outcomes: list[Outcome]) -> str:
    """A row per seed, the means, and what each start was tried with."""
    scratch, started = best(outcomes, SCRATCH), best(outcomes, PRETRAINED)
    rows = [("seed", f"WER {SCRATCH}", f"WER {PRETRAINED}", "difference", f"CER {SCRATCH}", f"CER {PRETRAINED}")]
    rows += [(str(one.seed), *_row(one.wer, other.wer, one.cer, other.cer)) for one, other in zip(scratch, started, strict=True)]
    rows.append(("mean", *_row(*(statistics.fmean(values) for values in zip(*((a.wer, b.wer, a.cer, b.cer) for a, b in zip(scratch, started)))))))
    tried = [f"{item.start}, rate {item.rate:g}, seed {item.seed}: WER {present.per_cent(item.wer)}, CER {present.per_cent(item.cer)}" for item in outcomes]
    chosen = f"learning rates chosen on the validation set: {scratch[0].rate:g} {SCRATCH}, {started[0].rate:g} {PRETRAINED}"
    return "\n".join([present.table(rows), chosen, "", "all runs:", *tried])


def _row(scratch_wer: float, wer: float, scratch_cer: float, cer: float) -> tuple[str, ...]:
    difference = f"{100 * (wer - scratch_wer):+.2f} points"
    return present.per_cent(scratch_wer), present.per_cent(wer), difference, present.per_cent(scratch_cer), present.per_cent(cer)


if __name__ == "__main__":
    main()
