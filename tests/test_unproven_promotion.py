"""The registry: who gets which alias, and that nothing becomes champion without evidence."""

import csv
import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from conftest import Outcome, write_rows

Command = Callable[..., Outcome]
NUMBERS = count(1)


@pytest.fixture
def name() -> str:
    return f"voice{next(NUMBERS)}"


@pytest.fixture
def client(home: Path) -> Any:
    from asrx import tracking

    return tracking.connect()


@pytest.fixture
def register(asrx: Command, name: str) -> Callable[..., dict[str, Any]]:
    def call(model: Path, alias: str = "auto") -> dict[str, Any]:
        return result(asrx("register", "--json", "--model", model, "--name", name, "--alias", alias))

    return call


@pytest.fixture
def compare(asrx: Command, name: str, held_out: Path) -> Callable[..., dict[str, Any]]:
    def call(*options: object, csv: Path = held_out) -> dict[str, Any]:
        return result(asrx("compare", "--json", "--name", name, "--csv", csv, *options))

    return call


def result(outcome: Outcome) -> dict[str, Any]:
    assert outcome.status == 0, outcome
    return json.loads(outcome.out)


def aliases(client: Any, name: str) -> dict[str, str]:
    return {alias: str(version) for alias, version in client.get_registered_model(name).aliases.items()}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def artifact(client: Any, run_id: str, name: str, folder: Path) -> Path:
    return Path(client.download_artifacts(run_id, name, str(folder)))


def test_the_first_is_the_baseline_and_the_next_the_candidate(register, client, name: str, letter_model) -> None:
    first, second = register(letter_model("b")), register(letter_model("a"))
    assert (first["alias"], second["alias"]) == ("baseline", "candidate")
    assert aliases(client, name) == {"baseline": first["version"], "candidate": second["version"]}
    assert second["uri"] == f"models:/{name}/{second['version']}"


def test_registering_the_same_twice_changes_nothing(asrx: Command, trained, client, name: str) -> None:
    first = result(asrx("register", "--json", "--run", trained.run_id, "--name", name))
    again = result(asrx("register", "--json", "--run", trained.run_id, "--name", name))
    assert (first["already"], again["already"]) == (False, True)
    assert (again["version"], again["alias"]) == (first["version"], "baseline")
    assert len(client.search_model_versions(f"name = '{name}'")) == 1


def test_the_latest_training_is_found(asrx: Command, trained, corpus: Path, name: str) -> None:
    newest = result(asrx("train", "--json", "--data", corpus, "--max-steps", 2, "trainer.eval_steps=2"))
    assert newest["model_uri"] != trained.model_uri
    assert result(asrx("register", "--json", "--run", "latest", "--name", name))["model_uri"] == newest["model_uri"]


def test_a_stock_model_twice_is_one_version(register, client, name: str, letter_model) -> None:
    assert register(letter_model("a"))["version"] == register(letter_model("a"))["version"]
    assert len(client.search_model_versions(f"name = '{name}'")) == 1


def test_better_beyond_chance_becomes_champion_and_the_old_one_previous(register, compare, client, name: str, letter_model) -> None:
    nothing, b, a = (register(letter_model(letter))["version"] for letter in ("", "b", "a"))
    first = compare("--candidate", b, "gate.confidence=0.5")
    assert (first["outcome"], first["baseline"]) == ("promote", nothing)
    assert aliases(client, name)["champion"] == b and "previous" not in aliases(client, name)
    second = compare("--candidate", a, "gate.confidence=0.5")
    assert (second["outcome"], second["baseline"], second["champion"]) == ("promote", b, a)
    assert (aliases(client, name)["champion"], aliases(client, name)["previous"]) == (a, b)
    assert second["candidate_wer"] == pytest.approx(7 / 18) and second["baseline_wer"] == pytest.approx(11 / 18)
    assert second["difference"] == pytest.approx(-4 / 18) and second["high"] < 0 and second["clusters"] == 6


def test_a_repeated_compare_prints_the_standing_decision(register, compare, client, name: str, letter_model) -> None:
    register(letter_model("")), register(letter_model("a"))
    first, again = compare(), compare()
    assert (first["standing"], again["standing"]) == (False, True)
    assert {**again, "standing": False} == first


def test_a_tie_promotes_nothing(register, compare, client, name: str, letter_model) -> None:
    one, other = register(letter_model("a")), register(letter_model("a", "-again"))
    assert one["version"] != other["version"]
    decision = compare()
    assert decision["outcome"] != "promote" and decision["difference"] == 0 and decision["champion"] is None
    assert "champion" not in aliases(client, name)


def test_worse_promotes_nothing(register, compare, client, name: str, letter_model) -> None:
    register(letter_model("a")), register(letter_model(""))
    assert compare()["outcome"] == "keep"
    assert "champion" not in aliases(client, name)


def test_better_by_chance_promotes_nothing(register, compare, client, name: str, letter_model, held_out: Path, tmp_path: Path) -> None:
    rows = table(held_out)
    speakers = sorted({row["client_id"] for row in rows})
    letters = {speaker: "a" if index % 2 == 0 or index == 1 else "b" for index, speaker in enumerate(speakers)}  # four of six speakers say `a`
    mixed = write_rows(tmp_path / "mixed.csv", [{**row, "sentence": letters[row["client_id"]]} for row in rows])
    register(letter_model("b")), register(letter_model("a"))
    decision = compare(csv=mixed)
    assert decision["difference"] < -0.2 and decision["low"] < 0 < decision["high"]
    assert decision["outcome"] == "inconclusive"
    assert "champion" not in aliases(client, name)


@pytest.mark.parametrize(("ceiling", "outcome"), [("0.5", "promote"), ("0.3", "keep")])
def test_a_lone_model_needs_to_be_asked_for_and_a_ceiling(ceiling: str, outcome: str, register, compare, asrx, client, name, letter_model, held_out) -> None:
    register(letter_model("a"))
    refused = asrx("compare", "--name", name, "--csv", held_out)
    assert refused.status == 2 and "--first" in refused.complaint[0]
    decision = compare("--first", f"gate.max_wer={ceiling}")
    assert (decision["outcome"], decision["baseline"]) == (outcome, None)
    assert ("champion" in aliases(client, name)) == (outcome == "promote")
    if outcome == "promote":
        assert asrx("compare", "--name", name, "--csv", held_out, "--first").status == 2
        assert compare("--first", f"gate.max_wer={ceiling}")["standing"]


def test_a_champion_that_changed_meanwhile_is_not_overwritten(register, compare, asrx, client, name: str, letter_model, held_out, monkeypatch) -> None:
    from asrx.registry import promotion

    nothing, a, b = (register(letter_model(letter))["version"] for letter in ("", "a", "b"))
    score = promotion.transcribe

    def somebody_else_promotes(*arguments: Any) -> Any:
        client.set_registered_model_alias(name, "champion", b)
        return score(*arguments)

    monkeypatch.setattr(promotion, "transcribe", somebody_else_promotes)
    refused = asrx("compare", "--name", name, "--csv", held_out, "--candidate", a)
    assert refused.status == 2 and "changed while" in refused.complaint[0]
    assert aliases(client, name)["champion"] == b
    (run,) = client.search_runs([client.get_experiment_by_name("asrx").experiment_id], f"params.`asrx.name` = '{name}' and tags.`asrx.kind` = 'compare'")
    assert run.data.tags["asrx.decision"] == "refused"


def test_audio_that_was_trained_on_is_no_evidence(asrx, register, compare, client, name: str, trained, letter_model, recordings: Path) -> None:
    register(letter_model(""))
    result(asrx("register", "--json", "--run", trained.run_id, "--name", name))
    decision = compare(csv=recordings / "train.csv")
    assert decision["outcome"] == "inconclusive" and "the candidate was trained on 36 of the 36" in decision["reason"]
    assert (decision["verdict"]["leaks"]["shared_speakers"], decision["verdict"]["leaks"]["shared_sentences"]) == (6, 36)
    assert "champion" not in aliases(client, name)
    scores = result(asrx("evaluate", "--json", "--model", trained.run_id, "--csv", recordings / "train.csv"))
    assert scores["trained_on"] == 36
    by_folder = result(asrx("evaluate", "--json", "--model", trained.folder, "--csv", recordings / "train.csv"))
    assert by_folder["trained_on"] == 36  # the folder that a training names remembers as well as the logged model does
    assert result(asrx("evaluate", "--json", "--model", trained.run_id, "--csv", recordings / "test.csv"))["trained_on"] == 0


def test_sides_by_version_number(register, compare, asrx, name: str, letter_model, held_out: Path) -> None:
    nothing, a, b = (register(letter_model(letter))["version"] for letter in ("", "a", "b"))
    decision = compare("--baseline", b, "--candidate", a)
    assert (decision["baseline"], decision["candidate"]) == (b, a)
    for one, other, word in (("9", a, "no version 9"), ("chmpion", a, "no alias 'chmpion'"), (b, b, "both version")):
        refused = asrx("compare", "--name", name, "--csv", held_out, "--baseline", one, "--candidate", other)
        assert refused.status == 2 and word in refused.complaint[0], refused


def test_a_recording_that_is_gone_counts_as_silence_and_is_reported(register, compare, asrx, name: str, letter_model, held_out: Path, tmp_path: Path) -> None:
    rows = table(held_out)
    gone = write_rows(tmp_path / "gone.csv", [{**row, "path": "gone.wav"} if index == 0 else row for index, row in enumerate(rows)])
    register(letter_model("")), register(letter_model("a"))
    scores = result(asrx("evaluate", "--json", "--model", f"models:/{name}/2", "--csv", gone, "--out", tmp_path / "out"))
    assert (scores["utterances"], scores["words"], scores["failed"]) == (18, 18, 1)
    assert scores["wer"] == pytest.approx(8 / 18)
    written = table(tmp_path / "out" / "utterances.csv")
    assert len(written) == 18 and written[0]["hypothesis"] == "" and "no such file" in written[0]["error"]
    decision = compare("--baseline", "1", "--candidate", "2", csv=gone)
    assert (decision["utterances"], decision["candidate_wer"], decision["baseline_wer"]) == (18, pytest.approx(8 / 18), 1)


def test_no_held_out_row_is_filtered_away(asrx, name: str, letter_model, held_out: Path, tmp_path: Path) -> None:
    """Too short, too long and empty ones are data when a model is judged."""
    import numpy as np
    import soundfile

    noise = np.random.default_rng(0).normal(0, 0.05, 16_000 * 20)
    for clip, seconds in (("short", 0.2), ("long", 20)):
        soundfile.write(tmp_path / f"{clip}.wav", noise[: int(16_000 * seconds)], 16_000)
    rows = [{"path": tmp_path / "short.wav", "text": "a"}, {"path": tmp_path / "long.wav", "text": "a"}, {"path": table(held_out)[0]["path"], "text": ""}]
    scores = result(asrx("evaluate", "--json", "--model", letter_model("a"), "--csv", write_rows(tmp_path / "odd.csv", rows)))
    assert (scores["utterances"], scores["words"], scores["insertions"], scores["wer"]) == (3, 2, 1, pytest.approx(0.5))


def test_the_evidence_is_kept_with_the_run_and_the_version(register, compare, client, name: str, letter_model, tmp_path: Path) -> None:
    register(letter_model("")), register(letter_model("a"))
    decision = compare()
    stored = json.loads(artifact(client, decision["run_id"], "decision.json", tmp_path).read_text())
    assert stored["outcome"] == decision["outcome"] == "promote"
    rows = table(artifact(client, decision["run_id"], "utterances.csv", tmp_path))
    assert len(rows) == 18 and sum(int(row["candidate_errors"]) for row in rows) == 7 and sum(int(row["baseline_errors"]) for row in rows) == 18
    assert client.get_model_version(name, decision["candidate"]).tags["asrx.decision_run"] == decision["run_id"]
    assert client.get_run(decision["run_id"]).data.metrics["candidate/wer"] == pytest.approx(7 / 18)


def test_a_champion_that_was_not_compared_stays(register, compare, client, name: str, letter_model) -> None:
    nothing, b, a = (register(letter_model(letter))["version"] for letter in ("", "b", "a"))
    assert compare("--candidate", b, "gate.confidence=0.5")["champion"] == b
    against_the_baseline = compare("--baseline", nothing, "--candidate", a, "gate.confidence=0.5")
    assert against_the_baseline["outcome"] == "promote"
    assert against_the_baseline["champion"] == aliases(client, name)["champion"] == b
    assert "was not compared" in against_the_baseline["reason"]


def test_one_row_without_a_speaker_does_not_make_utterances_independent(register, compare, held_out: Path, tmp_path: Path, letter_model) -> None:
    register(letter_model(""))
    register(letter_model("a"))
    with held_out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rows[0]["client_id"] = ""
    decision = compare(csv=write_rows(tmp_path / "one_blank.csv", rows))
    assert (decision["clustered_by"], decision["clusters"]) == ("speaker", 7)


def test_the_standing_decision_is_not_said_of_another_held_out_set(
    register, compare, asrx: Command, name: str, held_out: Path, tmp_path: Path, letter_model
) -> None:
    register(letter_model(""))
    register(letter_model("a"))
    assert compare("gate.confidence=0.5")["outcome"] == "promote"
    assert compare("gate.confidence=0.5")["standing"]
    copied = tmp_path / "copied.csv"
    copied.write_text(held_out.read_text())
    assert compare("gate.confidence=0.5", csv=copied)["standing"]  # wherever it lies
    other = tmp_path / "other.csv"
    other.write_text("".join(held_out.read_text().splitlines(keepends=True)[:-1]))
    refused = asrx("compare", "--name", name, "--csv", other)
    assert refused.status == 2 and "champion already" in refused.err
