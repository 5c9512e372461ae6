"""What a model has heard it does not hear again, and nobody can tell from the figures."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import write_rows


@pytest.fixture(scope="module")
def logged(session_home: Path, letter_model: Callable) -> list[str]:
    """URIs of logged models that hear `a`, nothing and `b`."""
    from asrx.registry import versions

    return [versions.register("frugal", model=str(letter_model(letter))).model_uri for letter in ("a", "", "b")]


@pytest.fixture
def recognitions(home: Path, monkeypatch) -> dict[str, int]:
    """Version → utterances that it was given, a warm-up included."""
    from asrx.registry import promotion

    counted: dict[str, int] = {}
    opened = promotion.open_model

    def counting(client: Any, spec: str) -> Any:
        model = opened(client, spec)
        recognize, version = model.recognizer.recognize, spec.rpartition("/")[2]
        counted.setdefault(version, 0)

        def count(utterances: Any, *rest: Any) -> Any:
            counted[version] += len(utterances)
            return recognize(utterances, *rest)

        model.recognizer.recognize = count
        return model

    monkeypatch.setattr(promotion, "open_model", counting)
    monkeypatch.setattr(promotion.speed, "measure", lambda *_, **__: None)
    return counted


def test_a_second_candidate_costs_only_the_candidate(recognitions: dict[str, int], database: str, held_out: Path, logged: list[str], request) -> None:
    from asrx import tracking
    from asrx.config import resolve
    from asrx.corpus.prepare import Source
    from asrx.registry import promotion

    name, client = f"frugal-{request.node.callspec.id}", tracking.connect()
    client.create_registered_model(name)
    for uri in logged:
        client.create_model_version(name, uri)
    client.set_registered_model_alias(name, "baseline", "1")

    def compare(candidate: str, **options: Any) -> promotion.Decision:
        return promotion.compare(name, Source(str(held_out)), resolve().gate, candidate=candidate, **options)

    tried = compare("2", dry_run=True)
    assert recognitions == {"1": 19, "2": 19}  # 18, and one to warm up
    first = compare("2")
    assert recognitions == {"1": 38, "2": 38}  # a dry run leaves nothing behind
    assert (first.candidate_wer, first.baseline_wer, first.reason) == (tried.candidate_wer, tried.baseline_wer, tried.reason)
    second = compare("3")
    assert recognitions == {"1": 38, "2": 38, "3": 19}
    assert second.baseline_wer == first.baseline_wer
    recognitions.clear()
    assert compare("2").standing and compare("3").standing and recognitions == {}  # not even opened


def test_what_is_remembered_equals_what_is_heard(database: str, held_out: Path, trained: Any, tmp_path: Path) -> None:
    from asrx.corpus.prepare import Source
    from asrx.ledger import Ledger, Transcripts
    from asrx.scoring.clips import held_out_digest, listen
    from asrx.scoring.decoding import Decoding
    from asrx.scoring.scored_models import open_model
    from asrx.scoring.transcribe import transcribe

    with held_out.open(newline="") as file:
        table = list(csv.DictReader(file))
    table[3]["path"] = "gone.wav"
    rows = Source(str(write_rows(tmp_path / "some.csv", table))).rows(siblings=False)
    model = open_model(None, trained.folder)
    memory = Transcripts(Ledger.open(), model.digest, Decoding.of(model.recognizer).digest)
    plain = transcribe(model.recognizer, rows, "heard")
    first = transcribe(model.recognizer, rows[:10], "kept", memory)
    second = transcribe(model.recognizer, listen(rows), "partly kept", memory)
    model.recognizer.recognize = lambda *_: pytest.fail("heard again")
    third = transcribe(model.recognizer, listen(rows), "kept", memory)
    assert plain.heard == second.heard == third.heard and first.heard == plain.heard[:10]
    assert plain.digest == third.digest == held_out_digest(listen(list(reversed(rows)))) and len(third.failed) == 1
    assert second.computed == pytest.approx(sum(item.seconds for item in plain.heard[10:])) and plain.rtfx and third.rtfx is None


def test_another_decoder_is_another_memory(trained: Any, home: Path) -> None:
    from asrx import tracking
    from asrx.scoring.decoding import Decoding
    from asrx.scoring.scored_models import open_model

    logged = Decoding.of(open_model(tracking.connect(), trained.model_uri).recognizer)
    own = Decoding.of(open_model(None, trained.folder).recognizer)
    assert logged.digest == own.digest  # the copy that was logged is the code that is here
    older = type("CtcRecognizer", (), {"__module__": "recognizer_0123456789ab.ctc", "device": open_model(None, trained.folder).recognizer.device})()
    assert Decoding.of(older).digest != own.digest and Decoding.of(older).settings == own.settings


def test_a_confidence_that_is_not_a_number_is_none_at_all(database: str, held_out: Path) -> None:
    from types import SimpleNamespace

    from asrx.corpus.prepare import Source
    from asrx.ledger import Ledger, Transcripts
    from asrx.scoring.transcribe import transcribe

    diverged = SimpleNamespace(device=SimpleNamespace(type="cpu"), recognize=lambda many: [SimpleNamespace(text="", confidence=float("nan")) for _ in many])
    rows = Source(str(held_out)).rows(siblings=False)
    for _ in range(2):  # heard, and remembered
        result = transcribe(diverged, rows, "diverged", Transcripts(Ledger.open(), "diverged", "decoding"))
        assert {item.confidence for item in result.heard} == {0.0}
