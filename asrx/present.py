"""Results as text for people."""

from collections.abc import Sequence
from typing import Any

from .findings import size_text
from .stores import tracking_uri
from .training.processes import going_on

SHARED = (("speakers", "speakers on both sides"), ("sentences", "held-out utterances with a sentence of train"))  # of corpus.json's leakage

LISTED = 10  # suspect transcripts on a terminal; the table has all
COLUMN = 40  # characters of a transcript
WORST_SLICES = 5  # on a terminal
USELESS = 0.6  # WER of a judge above which its verdict means nothing


def per_cent(rate: float | None) -> str:
    """A fraction as per cent, or a dash."""
    return "–" if rate is None else f"{100 * rate:.2f} %"


def points(difference: float | None) -> str:
    """A difference of fractions in percentage points, or a dash."""
    return "–" if difference is None else f"{100 * difference:.2f} points"


def table(rows: Sequence[Sequence[Any]]) -> str:
    """Columns side by side; the first one is the name of the row."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in texts) for column in range(len(texts[0]))]
    return "\n".join("  " + "   ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in texts)


def corpus(prepared: Any, existed: bool, recipe: str | None = None) -> str:
    """What prepare made, with `recipe` if one was given."""
    splits = prepared.meta["splits"]
    rows = [("split", "utterances", "hours", "shards")]
    rows += [(name, f"{item['utterances']:,}", f"{item['hours']:.2f}", item["shards"]) for name, item in splits.items()]
    rejected, leakage = prepared.meta["rejected"], prepared.meta.get("leakage", {})
    left_out = ", ".join(f"{rule} {count:,}" for rule, count in rejected.items()) or "none"
    lines = [f"{prepared.folder}: {'nothing to do, the corpus is up to date' if existed else 'prepared'}", table(rows), f"  rejected: {left_out}"]
    if rejected:
        lines.append(f"  each with its reason: {prepared.folder / 'rejected.csv'}")
    shared = [f"{leakage[kind]:,} {what}" for kind, what in SHARED if leakage.get(kind)]
    if shared:
        lines.append(f"  warning: held-out utterances are not independent of train: {', '.join(shared)}")
    report = prepared.folder / "report" / "report.md"
    if report.is_file():
        lines.append(f"  report: {report}")
    stage = "pretrain" if prepared.meta["config"]["data"].get("transcripts") == "optional" else "train"
    named = f" --recipe {recipe}" if recipe else ""
    return "\n".join([*lines, "", next_commands(f"asrx {stage}{named} --data {prepared.folder}")])


def training(result: Any) -> str:
    """What a training ended with, or came to in this session."""
    finished = result.model_uri is not None
    rows = [("WER", per_cent(result.wer)), ("CER", per_cent(result.cer)), ("best step", f"{result.best_step:,} of {result.steps:,}"),
            ("run", result.run_id), ("model", result.model_uri), ("folder", result.folder)]  # fmt: skip
    if not finished:
        evaluated = [("best model so far", f"WER {per_cent(result.wer)} at step {result.best_step:,}")] if result.best_step else []
        rows = [("steps", f"{result.steps:,}"), *evaluated, ("run", result.run_id)]
    title, following = "Best model, on the validation set", f"asrx register --run {result.run_id}"
    if not finished:
        title, following = "Paused: this session is over, the training is not", going_on("train", result.run_id)
    return "\n".join([title, table(rows), "", next_commands(following, ui())])


def pretraining(result: Any) -> str:
    """What a pre-training ended with, or came to in this session."""
    measured = [("loss", f"{result.loss:.3f}"), ("contrastive loss", f"{result.contrastive:.3f}"), ("perplexity", f"{result.perplexity:.1f}"),
                ("accuracy", per_cent(result.accuracy))] if result.loss is not None else []  # fmt: skip
    rows = [*measured, ("steps", f"{result.steps:,}"), ("run", result.run_id)]
    if result.folder is None:
        following = next_commands(f"{going_on('pretrain', result.run_id)}    # or the same command again", ui())
        return "\n".join([f"Paused{'; so far, on the validation set' if measured else ''}", table(rows), "", following])
    following = next_commands(f"asrx train --model {result.folder} --data CORPUS    # fine-tune it", ui())
    return "\n".join(["Pre-trained model, on the validation set", table([*rows, ("folder", result.folder)]), "", following])


def replication(result: Any) -> str:
    """Every training of a replication, and the spread of its error rates."""
    trainings = [("sample", "seed", "WER", "CER", "utterances", "run")]
    trainings += [(item.sample, item.seed, per_cent(item.wer), per_cent(item.cer), item.utterances, item.run_id) for item in result.replicates]
    figures = [("", "mean", "standard deviation", "95 % interval of the mean", *(("between seeds",) if result.seeds > 1 else ()))]
    for name, rate in (("WER", result.wer), ("CER", result.cer)):
        interval = "–" if rate.low is None else f"{per_cent(rate.low)} to {per_cent(rate.high)}"
        figures.append((name, per_cent(rate.mean), points(rate.std), interval, *((points(rate.std_seeds),) if result.seeds > 1 else ())))
    title = f"{result.samples} x {result.minutes:g} min, measured on {result.measured_on}{' (standing, nothing left to train)' if result.standing else ''}"
    return "\n".join([title, table(trainings), "", table(figures), f"  run {result.run_id}", "", next_commands(ui())])


def synced(told: Sequence[Any]) -> str:
    """What MLflow was told of each run."""
    lines = []
    for item in told:
        parts = [f"{item.points:,} points", *([f"{item.artifacts} artifacts"] if item.artifacts else []),
                 *([f"checkpoint-{item.checkpoint}"] if item.checkpoint is not None else []),
                 *([f"that it is {item.outcome}"] if item.outcome else [])]  # fmt: skip
        lines.append(f"run {item.run_id}: {item.left_alone or ', '.join(parts)}")
    following = [item.way_on for item in told if item.way_on]
    return "\n".join([*(lines or ["MLflow has heard everything of the runs on this machine"]), *(["", next_commands(*following)] if following else [])])


def search(result: Any) -> str:
    """The best trial of a search, and how many there were."""
    counts = [(result.count(state), state) for state in ("finished", "pruned", "failed", "running")]
    told = ", ".join(f"{count} {state}" for count, state in counts if count)
    title = f"Study {result.study}: {told or 'no trial yet'}, of {result.asked}{' (standing, nothing left to train)' if result.standing else ''}"
    again = [] if result.count("finished") + result.count("pruned") + result.count("failed") >= result.asked else ["the same command goes on"]
    if not result.best:
        return "\n".join([title, f"  database: {result.database}", f"  run {result.run_id}", "", next_commands(*again, ui())])
    rows = [("WER", per_cent(result.best.wer)), *result.best.options.items(), ("trial", result.best.trial), ("run", result.best.run_id),
            ("recipe", result.recipe or "best.yaml of the search's run"), ("search", f"run {result.run_id}"), ("database", result.database)]  # fmt: skip
    repeat = [f"asrx train --data {result.corpus} --recipe {result.recipe} --epochs N    # longer"] if result.recipe else []
    return "\n".join([title, table(rows), "", next_commands(*again, f"asrx register --run {result.best.run_id}", *repeat, ui())])


def inspection(result: Any) -> str:
    """The transcripts that look wrong, the worst first."""
    rows = [("id", "loss", "CER", "transcript", "the model hears")]
    rows += [(row.id, "–" if row.loss is None else f"{row.loss:.2f}", per_cent(row.cer), clipped(row.transcript), clipped(row.hypothesis))
             for row in result.suspects[:LISTED]]  # fmt: skip
    heard = f"  the model was trained on {result.trained_on:,} of these recordings and may have learned wrong transcripts by heart"
    known = [heard] if result.trained_on else []
    if result.wer is None or result.wer > USELESS:
        known.append("  a model that hears so little right cannot tell which transcripts are wrong: take a better one")
    counted = f"{len(result.suspects):,} of {result.utterances:,} transcripts of {result.split}"
    title = f"{counted} look wrong to {result.model} (its WER there: {per_cent(result.wer)})"
    listed = [table(rows)] if result.suspects else []
    following = next_commands(f"asrx train --data {result.corpus} data.exclude={result.table}    # once the rows that are right are taken out of it")
    return "\n".join([title, *listed, *known, f"  listen: {result.page}", *(["", following] if result.suspects else [])])


def clipped(text: str) -> str:
    """As much of a text as fits into a column."""
    return text if len(text) <= COLUMN else f"{text[: COLUMN - 1]}…"


def scores(result: Any, name: str) -> str:
    """The figures of an evaluation, and the slices that were heard worse than the whole."""
    speed = "–" if result.rtfx is None else f"{result.rtfx:,.0f} x real time, {result.hardware}, warmed up"
    speakers = f", {result.speakers:,} speaker{'s' * (result.speakers != 1)}" if result.speakers else ""
    rows = [
        ("WER", per_cent(result.wer) + between(result.wer_low, result.wer_high)), ("CER", per_cent(result.cer)),
        ("sentence error rate", per_cent(result.sentence_error_rate)),
        ("substitutions, deletions, insertions", f"{result.substitutions:,}, {result.deletions:,}, {result.insertions:,}"),
        *_measured(result),
        ("utterances, words", f"{result.utterances:,}, {result.words:,}{speakers}"), ("speed (RTFx)", speed),
        ("unusable recordings", f"{result.failed:,}"), ("run", result.run_id),
    ]  # fmt: skip
    warning = [f"  the model was trained on {result.trained_on} of these recordings: the figures are too good"] if result.trained_on else []
    worse = [item for item in result.slices if item.low is not None and result.wer is not None and item.low > result.wer]
    worst = sorted(worse, key=lambda item: result.wer - item.low)[:WORST_SLICES]
    listed = [f"  heard worse than the whole, each by its own interval (all {len(result.slices):,} slices are in slices.csv):", table([
        (f"{item.column}: {item.value}", f"WER {per_cent(item.wer)}{between(item.low, item.high)}", f"{item.utterances:,} utterances") for item in worst
    ])] if worst else []  # fmt: skip
    return "\n".join([name, table(rows), *warning, *listed, *(f"  {sentence}" for sentence in result.oddities)])


def _measured(result: Any) -> list[tuple[str, str]]:
    """What only some held-out sets can tell."""
    silences = f"{per_cent(result.silence_false_alarm_rate)} of {result.silences:,} recordings in which nothing was said"
    scaled = f", {points(result.calibration_error_scaled)} after temperature {result.temperature:.2f}" if result.calibration_error_scaled is not None else ""
    return [
        *([("words heard in silence", silences)] if result.silences else []),
        *([("casing errors", per_cent(result.casing_error_rate))] if result.casing_error_rate is not None else []),
        *([("punctuation errors", per_cent(result.punctuation_error_rate))] if result.punctuation_error_rate is not None else []),
        *([("hallucinations suspected", f"{result.hallucinated:,} utterances")] if result.hallucinated else []),
        *([("confidence is off by", points(result.calibration_error) + scaled)] if result.calibration_error is not None else []),
    ]


def between(low: float | None, high: float | None) -> str:
    """A 95 % interval behind a rate, nothing where there is none."""
    return "" if low is None or high is None else f" (95 % interval {100 * low:.2f} to {100 * high:.2f} %)"


def registered(result: Any) -> str:
    """A version and its alias."""
    verb = "is version" if result.already else "registered as version"
    alias = f", alias {result.alias}" if result.alias else ""
    named = f" --name {result.name}" if result.name != "asrx" else ""
    following = f"asrx compare{named}" if result.alias == "candidate" else f"asrx train    # a candidate, then asrx register{named} and asrx compare{named}"
    pushed = f"\npushed to {result.hub.url} ({result.hub.commit})" if result.hub else ""
    return f"{result.name}: {verb} {result.version}{alias} ({result.model_uri}){pushed}\n\n{next_commands(following)}"


def decision(result: Any) -> str:
    """A decision as a table, with what a reader should know about its figures."""
    if result.kind == "rollback":
        change = f"{_decided(result)}: version {result.baseline} → {result.candidate}"
        return table([("decision", change), ("because", result.reason), ("champion", _champion(result))])
    sides = [(f"candidate (version {result.candidate})", per_cent(result.candidate_wer))]
    if result.baseline:
        sides.insert(0, (f"baseline (version {result.baseline})", per_cent(result.baseline_wer)))
    rows = [("", "WER"), *sides]
    if result.low is not None:
        interval = f"{100 * result.low:+.2f} to {100 * result.high:+.2f} points"
        rows += [(f"difference, {result.confidence:.0%} interval", f"{100 * result.difference:+.2f} points, {interval}")]
    speakers = f"{result.clusters:,} speaker{'s' * (result.clusters != 1)}" if result.clustered_by == "speaker" else "speakers unknown"
    rows += [("held-out set", f"{result.utterances:,} utterances, {result.words:,} words, {speakers}"),
             ("decision", _decided(result)), ("because", result.reason), ("champion", _champion(result))]  # fmt: skip
    return "\n".join([table(rows), *(f"  note: {note}" for note in result.verdict.get("notes", ()))])


def _decided(result: Any) -> str:
    remark = " (standing, nothing new to compare)" if result.standing else " (dry run, nothing was recorded)" if result.id is None else ""
    return result.outcome.upper() + remark


def _champion(result: Any) -> str:
    if result.id is None:
        before = f"stays version {result.champion_before}" if result.champion_before else "stays unnamed"
        return before if result.champion == result.champion_before else f"{before}; it would be version {result.champion}"
    return f"models:/{result.name}@champion is version {result.champion}" if result.champion else "none yet"


def history(name: str, decisions: Sequence[Any]) -> str:
    """Decisions, the newest first."""
    rows = [("", "decided", "by", "candidate", "against", "outcome", "WER", "champion", "because")]
    rows += [(item.sequence, item.decided_at[:16].replace("T", " "), item.decided_by, item.candidate, item.baseline or "–", item.outcome,
              per_cent(item.candidate_wer), item.champion or "–", item.reason) for item in decisions]  # fmt: skip
    return table(rows) if decisions else f"nothing was decided about {name} yet; see asrx compare"


def repaired(result: Any) -> str:
    """What a repair did."""
    done = [f"decision {sequence} reached the registry" for sequence in result.finished]
    done += [f"the alias {item.alias} was moved back: version {item.registry or 'none'} → {item.ledger or 'none'}" for item in result.moved_back]
    return f"{result.name}: {'; '.join(done) or 'nothing to repair, the registry says what the ledger says'}"


def pruned(items: Sequence[Any], dry_run: bool) -> str:
    """What was deleted, or would be."""
    cells = [(item.run_id or "-", item.what, item.outcome or "-", item.days, size_text(item.bytes)) for item in items]
    rows = [("run", "what", "outcome", "days ago", "size"), *cells]
    total = f"{size_text(sum(item.bytes for item in items))} {'would be freed (dry run, nothing was deleted)' if dry_run else 'freed'}"
    return "\n".join([*([table(rows)] if items else []), f"  {total}"])


def ui() -> str:
    """The command that shows the runs in a browser."""
    return f"mlflow ui --backend-store-uri {tracking_uri()}" if not tracking_uri().startswith("http") else f"open {tracking_uri()}"


def next_commands(*commands: str) -> str:
    """What to type next."""
    return "\n".join(["next:", *(f"  {command}" for command in commands)])
