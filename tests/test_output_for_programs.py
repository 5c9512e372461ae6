"""`--json` prints one JSON object on standard output and nothing else, whatever a command does on its way."""

import json
from pathlib import Path
from typing import Any

from conftest import TRAINING, run_cli

OWN_PROCESS = ("train", "compare")  # the two that make libraries talk most; what comes from below Python shows only there


def only_object(out: str) -> dict[str, Any]:
    value, end = json.JSONDecoder().raw_decode(out)
    assert isinstance(value, dict) and out[end:] == "\n"
    return value


def test_the_whole_way_speaks_json(asrx, recordings: Path, home: Path, tmp_path: Path) -> None:
    clip = next((recordings / "clips").iterdir())
    commands = {
        "prepare": ["--source", recordings, "--out", tmp_path / "corpus", "data.workers=1"],
        "train": ["--data", tmp_path / "corpus", "--max-steps", 10, *TRAINING],
        "register": ["--run", "latest", "--name", "spoken"],
        "evaluate": ["--model", "models:/spoken/1", "--csv", recordings / "test.csv"],
        "compare": ["--name", "spoken", "--csv", recordings / "test.csv", "--first", "gate.max_wer=1"],
        "transcribe": [clip, "--model", "models:/spoken@champion"],
        "recipes": [],
    }
    found = {}
    for command, arguments in commands.items():
        outcome = (run_cli if command in OWN_PROCESS else asrx)(command, "--json", *arguments)
        assert outcome.status == 0, outcome
        found[command] = only_object(outcome.out)
    assert found["prepare"]["splits"]["train"]["utterances"] == 36
    assert found["register"]["model_uri"] == found["train"]["model_uri"]
    assert found["evaluate"]["words"] == found["compare"]["words"] > 0
    assert found["compare"]["outcome"] == "promote"
    assert list(found["transcribe"]["transcripts"][0]) == ["audio", "text", "confidence", "duration", "words"]


def test_mistakes_speak_json(session_home: Path, tmp_path: Path) -> None:
    for command in (["prepare", "--source", "/nowhere.csv"], ["train", "--epochs", "abc"], ["nothing"]):
        outcome = run_cli(*command, "--json")
        assert outcome.status == 2
        assert list(only_object(outcome.out)) == ["error"]
