"""A registered model where asrx is not: every form of audio, two versions in one process, REST, nothing pickled."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import answers, free_port, process, wait_for

WITHOUT_ASRX = """
import importlib.abc, json, logging, sys, warnings
warnings.simplefilter("ignore")
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "asrx":
            raise ModuleNotFoundError(f"No module named {name!r}")
sys.meta_path.insert(0, Absent())
import mlflow
given = json.loads(sys.argv[1])
"""


def away(program: str, **given: Any) -> Any:
    """What `program` prints as JSON: in another process, from /, isolated, where asrx cannot be imported."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", WITHOUT_ASRX + program, json.dumps(given)], cwd="/", capture_output=True, text=True, env=os.environ, timeout=180
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def clips(recordings: Path) -> list[str]:
    return [str(path) for path in sorted((recordings / "clips").iterdir())[:2]]


@pytest.fixture(scope="module")
def model_folder(trained, session_home: Path) -> Path:
    import mlflow

    return Path(mlflow.artifacts.download_artifacts(trained.model_uri))


FORMS_AND_COMPLAINTS = """
import base64, numpy as np, pandas as pd, soundfile
model = mlflow.pyfunc.load_model(given["uri"])
clip, other = given["clips"]
data = open(clip, "rb").read()
text = base64.b64encode(data).decode()
samples, rate = soundfile.read(clip, dtype="float32")
sampling = {"sampling_rate": rate}
forms = {
    "path": (clip, None), "paths": ([clip, other], None), "bytes": (data, None), "base64": (text, None), "base64s": ([text], None),
    "array": (samples, sampling), "list of arrays": ([samples, samples], sampling), "numbers": (samples.tolist(), sampling),
    "frame of paths": (pd.DataFrame({"audio": [clip, other]}), None), "frame of bytes": (pd.DataFrame({"audio": [data]}), None),
    "frame of base64": (pd.DataFrame({"audio": [text]}), None), "frame of arrays": (pd.DataFrame({"audio": [samples], "sampling_rate": [rate]}), None),
    "frame and parameter": (pd.DataFrame({"audio": [samples]}), sampling), "int16": ((samples * 32767).astype("int16"), sampling),
}
found = {name: model.predict(value, params=params).to_dict("list") for name, (value, params) in forms.items()}
complaints = []
for value in given["bad"]:
    try:
        model.predict(value)
        complaints.append("")
    except Exception as error:
        complaints.append(str(error))
found["complaints"] = complaints
found["asrx"] = [name for name in sys.modules if name.partition(".")[0] == "asrx"]
found["seconds"] = len(samples) / rate
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def heard(trained, clips: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the model says away from home to each form of audio, and to what is no audio."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "text.wav").write_text("not audio")
    (folder / "empty.wav").write_text("")
    bad = [str(folder / "text.wav"), str(folder / "empty.wav"), "/nowhere.wav", [float("nan")] * 9000]
    return away(FORMS_AND_COMPLAINTS, uri=trained.model_uri, clips=clips, bad=bad)


def test_every_form_of_audio_where_asrx_is_not_installed(heard: dict[str, Any]) -> None:
    found = {name: value for name, value in heard.items() if name != "complaints"}
    assert found.pop("asrx") == []
    seconds, path = found.pop("seconds"), found["path"]
    assert set(path) == {"text", "confidence", "duration"} and 0 < path["confidence"][0] <= 1
    assert path["duration"][0] == pytest.approx(seconds, abs=1e-3)
    for name, columns in found.items():
        assert columns["text"][0] == path["text"][0], name
        assert columns["duration"][0] == pytest.approx(seconds, abs=1e-3), name
        assert columns["confidence"][0] == pytest.approx(path["confidence"][0], abs=1e-3), name
    assert len(found["paths"]["text"]) == len(found["frame of paths"]["text"]) == len(found["list of arrays"]["text"]) == 2


TWO = """
models = [mlflow.pyfunc.load_model(uri) for uri in given["uris"]]
print(json.dumps([model.predict(given["clip"])["text"][0] for model in (*models, models[0])]))
"""


def test_two_versions_with_different_code_live_in_one_process(model_folder: Path, letter_model, copy_of, clips, home, tmp_path: Path) -> None:
    import shutil

    old, new = (copy_of(model_folder, tmp_path / name) for name in ("old", "new"))
    for folder, letter in ((old, "a"), (new, "b")):
        weights = next(folder.rglob("model.safetensors")).parent
        shutil.rmtree(weights)
        shutil.copytree(letter_model(letter), weights)
    code = next(new.rglob("ctc.py"))
    spelled = code.read_text().replace('return " ".join(', 'return "new " + " ".join(')
    assert spelled != code.read_text()
    code.write_text(spelled)
    assert away(TWO, uris=[str(old), str(new)], clip=clips[0]) == ["a", "new b", "a"]


def test_bad_audio_is_named(heard: dict[str, Any]) -> None:
    expected = (("text.wav", "not audio"), ("empty.wav", "empty"), ("/nowhere.wav", "no such file"), ("recording 1", "finite"))
    for complaint, words in zip(heard["complaints"], expected, strict=True):
        assert all(word in complaint for word in words), complaint


def test_nothing_is_pickled(model_folder: Path) -> None:
    names = [path for path in model_folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".safetensors" for path in names)
    assert not [path for path in names if path.suffix in (".pkl", ".bin", ".pt", ".pth", ".pickle", ".joblib")]
    for path in names:
        assert path.read_bytes()[:2] not in (b"\x80\x03", b"\x80\x04", b"\x80\x05"), f"{path} is a pickle"


def test_what_is_needed_to_load_it_is_written_down(model_folder: Path) -> None:
    requirements = (model_folder / "requirements.txt").read_text()
    assert "asrx" not in requirements
    for name in ("mlflow", "torch", "transformers", "soundfile", "soxr", "numpy"):
        assert f"{name}==" in requirements
    assert (model_folder / "input_example.json").exists()


@pytest.mark.slow
def test_mlflow_models_serve_answers(model_folder: Path, trained, clips: list[str], home: Path, tmp_path: Path) -> None:
    import requests

    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", trained.model_uri, "--env-manager", "local", "-h", "127.0.0.1", "-p", str(port)]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    text = base64.b64encode(Path(clips[0]).read_bytes()).decode()
    with process([*command, "-w", "1"], tmp_path / "serve.log", cwd="/", env=environment):
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/ping"), 90, "the start of mlflow models serve")
        frame = {"dataframe_split": {"columns": ["audio"], "data": [[text], [text]]}}
        forms = [frame, {"inputs": [text, text]}, {"inputs": {"audio": [text, text]}}]
        texts = []
        for form in forms:
            answer = requests.post(f"http://127.0.0.1:{port}/invocations", json=form, timeout=60)
            assert answer.status_code == 200, answer.text
            texts.append([row["text"] for row in answer.json()["predictions"]])
        bad = requests.post(f"http://127.0.0.1:{port}/invocations", json={"inputs": ["/nowhere.wav"]}, timeout=60)
    assert len(texts[0]) == 2 and texts[0] == texts[1] == texts[2]
    assert bad.status_code == 400 and "no such file" in bad.text


def test_code_outlives_the_folder_that_brought_it(letter_model, tmp_path: Path) -> None:
    """MLflow removes the copy of a model that is not used any more; the next one with the same code may need other files of it."""
    import shutil

    import numpy as np
    import whisper_models as whisper

    from asrx import recognizer
    from asrx.recognizer.pyfunc_model import import_recognizer

    first, second, folder = (tmp_path / name for name in ("first", "second", "whisper"))
    shutil.copytree(Path(recognizer.__file__).parent, first)
    (first / "unlike_any_other.py").write_text("")  # nobody has imported these files before
    shutil.copytree(first, second)
    import_recognizer(first).load(letter_model("a"), "cpu")
    shutil.rmtree(first)
    tokens = whisper.tokenizer()
    for part in (whisper.untrained(tokens), whisper.extractor(), tokens):
        part.save_pretrained(folder)
    (heard,) = import_recognizer(second).load(folder, "cpu").recognize([np.zeros(16_000, np.float32)])
    assert heard.text == ""
