"""Replicate: the same training on several samples of so many minutes, for a WER with its spread. Goes on where it was stopped."""

import hashlib
import logging
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from . import tracking, workspace
from .config import AUTO, Config
from .corpus.plan import state_of
from .corpus.prepare import Source
from .corpus.shards import PreparedCorpus
from .error_counts import count_all, pool
from .errors import ConfigError, InputError
from .files import read_json, write_json
from .options import LARGEST_SEED
from .scoring.evaluate import evaluate
from .tables import csv_of
from .training import processes, request, sampling
from .training.replicates import CONFIDENCE, Replicate, Spread, by_sample, plot_replicates, spread
from .training.resume import KEY, training_key
from .training.train import Training, open_run, train

log = logging.getLogger("asrx")

KIND = "replicate"
EVALUATION = "asrx.evaluation_key"  # tag of an evaluation: equal ones score the same model on the same recordings
RESULTS = "replicates.json"  # of the parent's folder


@dataclass(frozen=True)
class Judge:
    """What the models are scored on."""

    name: str  # as a sentence has it
    source: Source | None  # None: the validation set, while training
    digest: str  # equal digests: the same recordings and texts


@dataclass(frozen=True)
class Replication:
    """What a replication ended with."""

    run_id: str
    minutes: float  # of training audio in each sample
    samples: int
    seeds: int
    measured_on: str
    wer: Spread
    cer: Spread
    replicates: tuple[Replicate, ...]
    standing: bool = False  # nothing was left to do


def replicate(
    data: str | None, recipe: str | None, options: dict[str, Any], overrides: list[str], samples: int, seeds: int, held_out: Source | None
) -> Replication:
    """Train on `samples` draws of `data.minutes` of audio, each with `seeds` seeds, as runs nested in one; score each on `held_out`.

    Without a held-out table the built-in corpus has its own, and another corpus's models are judged by their validation WER. Finished
    trainings and evaluations are reused. Raises ConfigError or InputError before anything is trained if this replication cannot be.
    """
    processes.only_one(KIND)
    chosen = request.configured(recipe, options, overrides)
    _check(chosen, seeds)
    request.check(chosen)
    judge = Judge(held_out.path, held_out, _digest(held_out)) if held_out else None
    corpus = workspace.corpus(data, chosen)
    sampling.chosen(corpus.split("train"), chosen.data)
    judge = judge or _judge_of(corpus)
    client = tracking.connect()
    key = hashlib.sha256(f"{training_key(corpus, chosen)} {seeds} {judge.digest}".encode()).hexdigest()[:32]
    before = tracking.latest_run(client, f"tags.`{tracking.KIND}` = '{KIND}' and tags.`{KEY}` = '{key}'")
    if before and (standing := _standing(before, samples, seeds)):
        tracking.nothing_to_do(client, KIND, f"Run {before.info.run_id} has finished this replication.")
        return _result(before.info.run_id, chosen, judge, standing, standing=True)
    with ExitStack() as stack:
        run = open_run(KIND, client, before.info.run_id if before else None, stack, f"{corpus.name}, {chosen.data.minutes:g} min", None)
        if not before:
            _describe(run, corpus, chosen, key, judge)
        try:
            found = _replicates(run, corpus, chosen, samples, seeds, judge)
        except KeyboardInterrupt:
            log.warning("the same command goes on with this replication")
            raise
        result = _result(run.id, chosen, judge, found)
        _publish(run, result, corpus)
    return result


def _check(chosen: Config, seeds: int) -> None:
    if not chosen.data.minutes:
        raise ConfigError("replicate draws samples of so many minutes: give --minutes, or a recipe with data.minutes")
    if chosen.data.sample:
        raise ConfigError(f"data.sample={chosen.data.sample}: replicate numbers the samples itself, from 1")
    if chosen.trainer.seed + seeds - 1 > LARGEST_SEED:
        raise ConfigError(f"trainer.seed={chosen.trainer.seed}: the seeds of a replication count up from it, to {LARGEST_SEED:,} at most")


def _judge_of(corpus: PreparedCorpus) -> Judge:
    """What models are scored on where nobody says: the built-in corpus has a held-out set, another one its validation set alone."""
    language = corpus.meta["language"]
    if corpus.meta["source"] != str(tracking.home() / f"{workspace.BUILTIN}-{language}"):
        return Judge("the validation set, at each training's best step", None, "validation")
    source = workspace.held_out(AUTO, {}, language)
    return Judge("the built-in held-out set", source, _digest(source))


def _digest(source: Source) -> str:
    """Of ids, texts, and the states of the audio files. InputError where there is no word to be recognised."""
    rows = source.rows(siblings=False)
    if not pool(count_all([row.text for row in rows], [""] * len(rows))).words:
        raise InputError(f"{source.path} has no reference word: there is no WER to be measured on it")
    digest = hashlib.sha256()
    for row in rows:
        file = str(getattr(row.audio, "path", row.audio))
        state = None if row.problem else state_of(file)
        digest.update(repr((row.id, row.text, row.audio, row.offset, row.seconds, row.channel, state)).encode())
    return digest.hexdigest()


def _standing(before: Any, samples: int, seeds: int) -> list[Replicate] | None:
    """What a run that ended well has found, if it has all that is asked for."""
    rows = read_json(tracking.home() / "runs" / before.info.run_id / RESULTS) or []
    found = [Replicate(**row) for row in rows if row["sample"] <= samples]
    return found if before.data.tags.get(tracking.OUTCOME) == "finished" and len(found) == samples * seeds else None


def _describe(run: tracking.Run, corpus: PreparedCorpus, chosen: Config, key: str, judge: Judge) -> None:
    run.tags({KEY: key, "asrx.corpus": corpus.folder, "asrx.corpus_digest": corpus.digest, "asrx.measured_on": judge.name})
    run.configuration(chosen)
    run.dataset(corpus.name, corpus.digest, str(corpus.folder), {"splits": corpus.meta["splits"]}, "training")


def _replicates(run: tracking.Run, corpus: PreparedCorpus, chosen: Config, samples: int, seeds: int, judge: Judge) -> list[Replicate]:
    """All trainings, one after another; the figures so far are logged after each sample, which is their step."""
    found: list[Replicate] = []
    for sample in range(1, samples + 1):
        for seed in range(chosen.trainer.seed, chosen.trainer.seed + seeds):
            options = replace(chosen, data=replace(chosen.data, sample=sample), trainer=replace(chosen.trainer, seed=seed))
            trained = train(corpus, options, name=f"sample {sample}, seed {seed}", parent=run.id, reuse=True)
            wer, cer = _rates(run.client, trained, judge)
            ids = _utterances(run.client, trained)
            found.append(Replicate(sample, seed, wer, cer, ids.count("\n"), trained.run_id, trained.model_uri))
            log.info("[%d/%d] sample %d, seed %d: WER %.2f %%", len(found), samples * seeds, sample, seed, 100 * wer)
        run.text(f"samples/sample-{sample}.txt", ids)
        for rate in ("wer", "cer"):
            run.metrics({f"{rate}/{name}": value for name, value in asdict(spread(by_sample(found, rate))).items()}, sample)
    return found


def _rates(client: Any, trained: Training, judge: Judge) -> tuple[float, float]:
    """WER and CER of a model, measured now if it was not before."""
    if not judge.source:
        return trained.wer, trained.cer
    key = f"{trained.model_uri} {judge.digest[:32]}"
    kind = f"tags.`{tracking.KIND}` = 'evaluate' and tags.`{tracking.OUTCOME}` = 'finished'"
    done = tracking.latest_run(client, f"{kind} and tags.`{EVALUATION}` = '{key}'")
    if done and {"wer", "cer"} <= done.data.metrics.keys():
        return done.data.metrics["wer"], done.data.metrics["cer"]
    scores = evaluate(trained.model_uri, judge.source, parent=trained.run_id)
    client.set_tag(scores.run_id, EVALUATION, key)
    return scores.wer, scores.cer


def _utterances(client: Any, trained: Training) -> str:
    """The ids of what was trained on, a line each."""
    name = "utterances.txt"
    local = tracking.home() / "runs" / trained.run_id / name
    return (local if local.is_file() else Path(client.download_artifacts(trained.run_id, name))).read_text(encoding="utf-8")


def _result(run_id: str, chosen: Config, judge: Judge, found: list[Replicate], standing: bool = False) -> Replication:
    samples = len({item.sample for item in found})
    figures = (spread(by_sample(found, rate)) for rate in ("wer", "cer"))
    return Replication(run_id, chosen.data.minutes, samples, len(found) // samples, judge.name, *figures, tuple(found), standing)


def _publish(run: tracking.Run, result: Replication, corpus: PreparedCorpus) -> None:
    run.text("replicates.csv", csv_of([asdict(item) for item in result.replicates]))
    plot = run.folder / "replicates.png"
    plot_replicates(result.replicates, result.wer, plot, f"{result.minutes:g} min of {corpus.name}, measured on {result.measured_on}")
    run.artifact(plot)
    run.note(headline(result))
    write_json(run.folder / RESULTS, [asdict(item) for item in result.replicates])


def headline(result: Replication) -> str:
    """The result in a sentence."""
    wer, drawn = result.wer, f"{result.samples} samples of {result.minutes:g} min" if result.samples > 1 else f"one sample of {result.minutes:g} min"
    text = f"WER {wer.mean:.2%}"
    if wer.std is not None:
        text += f", standard deviation {100 * wer.std:.2f} points between samples, {CONFIDENCE:.0%} interval of the mean {wer.low:.2%} to {wer.high:.2%}"
    if wer.std_seeds is not None:
        text += f"; {100 * wer.std_seeds:.2f} points between seeds"
    return f"{text}: {drawn}, {result.seeds} seed{'s' if result.seeds > 1 else ''} each, measured on {result.measured_on}."
