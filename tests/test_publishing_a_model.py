"""What goes out to the hub cannot be taken back: exactly the model with its card, and nothing of the training or of this machine."""

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import Outcome, free_port, run_cli

MODEL_FILES = {"config.json", "model.safetensors", "preprocessor_config.json", "tokenizer_config.json", "vocab.json"}
PUBLISHED = MODEL_FILES | {"README.md", "asrx.json"}


class Hub:
    """A stand-in for huggingface.co over HTTP: repositories, commits, large files. `refuse`: the status of every answer but 200."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.visibility: dict[str, str] = {}
        self.messages: list[str] = []
        self.large: dict[str, bytes] = {}
        self.tokens: set[str | None] = set()
        self.sent = b""  # every body, as it came
        self.refuse: dict[str, int] = {}  # part of a path → status
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def create(self, given: dict[str, Any]) -> tuple[int, Any]:
        name = f"{given['organization']}/{given['name']}"
        url = {"url": f"{self.url}/{name}"}
        if name in self.repositories:
            return 409, {**url, "error": "You already created this model repo"}
        self.repositories[name] = {".gitattributes": b"*.safetensors filter=lfs"}
        self.visibility[name] = given.get("visibility", "public")
        return 200, url

    def modes(self, name: str, given: dict[str, Any]) -> tuple[int, Any]:
        def of(path: str) -> dict[str, Any]:
            large, there = path.endswith(".safetensors"), self.repositories[name].get(path)
            return {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": there and _oid(there, large)}

        return 200, {"files": [of(item["path"]) for item in given["files"]]}

    def batch(self, given: dict[str, Any]) -> tuple[int, Any]:
        actions = {item["oid"]: {"actions": {"upload": {"href": f"{self.url}/large/{item['oid']}"}}} for item in given["objects"]}
        return 200, {"transfer": "basic", "objects": [{**item, **actions[item["oid"]]} for item in given["objects"]]}

    def commit(self, name: str, lines: list[dict[str, Any]]) -> tuple[int, Any]:
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.messages.append(value["summary"])
            elif line["key"] == "file":
                self.repositories[name][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.repositories[name][value["path"]] = self.large[value["oid"]]
            else:
                del self.repositories[name][value["path"]]
        return 200, {"commitUrl": f"{self.url}/{name}/commit/{self.sha}", "commitOid": self.sha}

    @property
    def sha(self) -> str:
        return f"{len(self.messages):040x}"


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_GET(self) -> None:
        self.answer(b"")

    def do_POST(self) -> None:
        self.answer(self.rfile.read(int(self.headers["Content-Length"] or 0)))

    do_PUT = do_POST

    def answer(self, body: bytes) -> None:
        self.hub.sent += self.path.encode() + body
        refused = next((status for part, status in self.hub.refuse.items() if part in self.path), None)
        status, value = (refused, {"error": "refused"}) if refused else self.route(body)
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def route(self, body: bytes) -> tuple[int, Any]:
        hub, path = self.hub, self.path.partition("?")[0]
        if path.startswith("/large/"):
            assert hashlib.sha256(body).hexdigest() == path.removeprefix("/large/")
            hub.large[path.removeprefix("/large/")] = body
            return 200, {}
        if path != "/api/agent-harnesses":  # what the client asks on its own account
            hub.tokens.add(self.headers["Authorization"])
        name = "/".join(path.removeprefix("/api/models/").lstrip("/").split("/")[:2])
        if path == "/api/repos/create":
            return hub.create(json.loads(body))
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if "/preupload/" in path:
            return hub.modes(name, json.loads(body))
        if path.endswith("/info/lfs/objects/batch"):
            return hub.batch(json.loads(body))
        if "/commit/" in path:
            return hub.commit(name, [json.loads(line) for line in body.splitlines()])
        if "/tree/" in path:
            return 200, [{"type": "file", "path": file, "oid": "0", "size": len(content)} for file, content in hub.repositories[name].items()]
        if name in hub.repositories:
            return 200, {"id": name, "sha": hub.sha, "siblings": []}
        return 404, {"error": "not found"}

    def log_message(self, *_: Any) -> None:
        pass


def _oid(content: bytes, large: bool) -> str:
    return hashlib.sha256(content).hexdigest() if large else hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The stand-in, as if HF_ENDPOINT had named it when the hub's client was imported."""
    from huggingface_hub import constants

    stand_in = Hub()
    for name, value in (("ENDPOINT", stand_in.url), ("HF_HUB_OFFLINE", False), ("HF_HUB_DISABLE_XET", True)):
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    yield stand_in
    stand_in.close()


@pytest.fixture
def client(home: Path) -> Any:
    from asrx import tracking

    return tracking.connect()


Command = Callable[..., Outcome]


def card_of(files: dict[str, bytes]) -> Any:
    from huggingface_hub import ModelCard

    return ModelCard(files["README.md"].decode())


def test_a_trained_model_goes_out_whole_and_alone(asrx: Command, hub: Hub, client: Any, trained: Any, session_home: Path, corpus: Path) -> None:
    from asrx import packaging

    done = asrx("register", "--json", "--run", trained.run_id, "--name", "public", "--push", "ann/digits.en")
    assert done.status == 0, done
    result, files = json.loads(done.out), hub.repositories["ann/digits.en"]
    assert set(files) - {".gitattributes"} == PUBLISHED
    best = Path(trained.folder)
    for name in MODEL_FILES:
        assert files[name] == (best / name).read_bytes(), name
    assert hub.visibility["ann/digits.en"] == "private" and hub.tokens == {"Bearer hf_secret"}
    assert hub.messages == [f"public version 1: WER {trained.wer:.2%} on 4 validation utterances"]

    card = card_of(files)
    (score,) = card.data.eval_results
    assert (card.data.language, card.data.library_name, card.data.pipeline_tag, card.data.base_model) == ("en", "transformers", score.task_type, None)
    assert (score.metric_type, score.metric_value, score.dataset_split) == ("wer", round(100 * trained.wer, 2), "validation")
    assert card.data.model_name == "digits.en" and {"asrx", "automatic-speech-recognition"} == set(card.data.tags)
    assert 'model="ann/digits.en"' in card.text and "models:/" not in card.text

    assert packaging.trained_on(best)  # there is something to keep at home
    secrets = [bytes.fromhex(digest) for digest in packaging.trained_on(best)] + [digest.encode() for digest in packaging.trained_on(best)]
    secrets += [str(folder).encode() for folder in (session_home, corpus, corpus.parent, Path.home())]
    everything = hub.sent + b"".join(files.values())
    assert not [secret for secret in secrets if secret in everything]

    tags = client.get_model_version("public", "1").tags
    assert (tags["asrx.hub"], tags["asrx.hub_commit"]) == ("ann/digits.en", result["hub"]["commit"])


@pytest.fixture
def adapted(letter_model: Callable[[str], Path], copy_of: Callable[[Path, Path], Path], tmp_path: Path) -> Path:
    """A folder as it lies on people's disks: paths of theirs in the configuration, files of other kinds beside the weights."""
    folder = copy_of(letter_model("p"), tmp_path / "of a person")
    for name, extra in (("config.json", {"_name_or_path": str(folder)}), ("tokenizer_config.json", {"special_tokens_map_file": "/opt/cache/map.json"})):
        (folder / name).write_text(json.dumps({**json.loads((folder / name).read_text()), **extra}))
    for name in ("notes.json", "best.json", "people.txt"):
        (folder / name).write_text(json.dumps({"name": "a person"}))
    return folder


def test_paths_and_notes_of_a_stock_folder_stay_at_home(asrx: Command, hub: Hub, home: Path, adapted: Path, tmp_path: Path) -> None:
    done = asrx("register", "--model", adapted, "--name", "paths", "--push", "ann/paths")
    assert done.status == 0 and f"pushed to {hub.url}/ann/paths" in done.out, done
    files = hub.repositories["ann/paths"]
    assert set(files) - {".gitattributes"} == PUBLISHED
    assert str(tmp_path).encode() not in hub.sent + b"".join(files.values()) and b"/opt/cache" not in b"".join(files.values())
    kept = json.loads((adapted / "config.json").read_text())
    assert json.loads(files["config.json"]) == {key: value for key, value in kept.items() if key != "_name_or_path"}
    assert card_of(files).data.base_model is None and "The stock model `of a person`" in card_of(files).text


def test_the_published_model_transcribes(asrx: Command, hub: Hub, home: Path, letter_model: Callable[[str], Path], recordings: Path, tmp_path: Path) -> None:
    assert asrx("register", "--model", letter_model("q"), "--name", "speaks", "--push", "ann/speaks").status == 0
    for name, content in hub.repositories["ann/speaks"].items():
        (tmp_path / name).write_bytes(content)
    heard = asrx("transcribe", "--json", "--model", tmp_path, next((recordings / "clips").iterdir()))
    assert json.loads(heard.out)["transcripts"][0]["text"] == "q"


def test_weights_of_the_version_before_do_not_stay_beside_the_new_ones(asrx: Command, hub: Hub, home: Path, letter_model: Callable[[str], Path]) -> None:
    old = {"model-00001-of-00002.safetensors": b"old", "model.safetensors.index.json": b"{}", "added_tokens.json": b"{}"}
    own = {"LICENSE": b"a person's", ".gitattributes": b"", "sample.wav": b"RIFF"}
    hub.repositories["ann/again"], hub.visibility["ann/again"] = {**old, **own}, "public"
    assert asrx("register", "--model", letter_model("r"), "--name", "again", "--push", "ann/again").status == 0
    assert set(hub.repositories["ann/again"]) == PUBLISHED | set(own)
    assert hub.visibility["ann/again"] == "public"  # what a person chose stays


def test_a_registered_version_can_be_pushed_later_and_twice(asrx: Command, hub: Hub, client: Any, letter_model: Callable[[str], Path]) -> None:
    model = ("--model", letter_model("s"), "--name", "later")
    assert asrx("register", *model).status == 0 and not hub.sent
    for _ in range(2):
        done = asrx("register", *model, "--push", "ann/later")
        assert done.status == 0 and "is version 1" in done.out and "pushed to" in done.out, done
    assert hub.messages == ["later version 1"]  # nothing new: no second commit
    assert [str(version.version) for version in client.search_model_versions("name = 'later'")] == ["1"]
    assert client.get_model_version("later", "1").tags["asrx.hub_commit"].endswith(hub.sha)


@pytest.mark.parametrize("given", ["digits", "ann/a/b", "ann/di gits", "https://huggingface.co/ann/digits", "ann/.git"])
def test_a_bad_name_is_refused_before_anything_is_registered(asrx: Command, hub: Hub, client: Any, letter_model, given: str) -> None:
    done = asrx("register", "--model", letter_model("t"), "--name", "bad", "--push", given)
    assert done.status == 2 and given in done.complaint[0] and "USER/NAME" in done.complaint[0]
    assert not client.search_registered_models("name = 'bad'") and not hub.sent


@pytest.mark.parametrize("lacking", ["token", "network"])
def test_what_cannot_be_pushed_is_refused_before_anything_is_registered(asrx, hub: Hub, client, letter_model, monkeypatch, tmp_path, lacking: str) -> None:
    from huggingface_hub import constants

    if lacking == "token":
        monkeypatch.delenv("HF_TOKEN")
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    else:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    done = asrx("register", "--model", letter_model("t"), "--name", "bad", "--push", "ann/bad")
    assert done.status == 2 and {"token": "HF_TOKEN", "network": "HF_HUB_OFFLINE"}[lacking] in done.complaint[0]
    assert not client.search_registered_models("name = 'bad'") and not hub.sent


@pytest.mark.parametrize(("where", "status", "said"), [
    ("/api/repos/create", 401, "does not accept the token (401)"), ("/commit/", 403, "may not write to ann/refused"),
    ("/large/", 400, "refused ann/refused (400"), ("", None, "cannot be used"),
])  # fmt: skip
def test_a_push_that_fails_leaves_the_version_and_says_how_to_go_on(asrx, hub: Hub, client, letter_model, monkeypatch, where, status, said: str) -> None:
    from huggingface_hub import constants

    model, name = ("--model", letter_model("u")), f"refused-{status}"
    if status:
        hub.refuse[where] = status
    else:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{free_port()}")
    refused = asrx("register", *model, "--name", name, "--push", "ann/refused")
    assert refused.status == 2 and said in refused.complaint[-1] and "version 1" in refused.complaint[-1], refused
    assert "asrx.hub" not in client.get_model_version(name, "1").tags
    assert "config.json" not in hub.repositories.get("ann/refused", {})

    hub.refuse.clear()
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    again = refused.complaint[-1].partition("To push it: asrx ")[2].split()
    done = asrx(*again)
    assert done.status == 0 and "is version 1" in done.out and set(hub.repositories["ann/refused"]) - {".gitattributes"} == PUBLISHED, done


@pytest.mark.slow
def test_the_environment_names_hub_and_token(hub: Hub, home: Path, letter_model: Callable[[str], Path]) -> None:
    environment = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_other", "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    done = run_cli("register", "--model", letter_model("v"), "--name", "environment", "--push", "ann/environment", **environment)
    assert done.status == 0, done
    assert set(hub.repositories["ann/environment"]) - {".gitattributes"} == PUBLISHED and hub.tokens == {"Bearer hf_other"}


@pytest.mark.parametrize(("base", "language", "expected"), [
    ("facebook/wav2vec2-xls-r-300m", "ne", ("facebook/wav2vec2-xls-r-300m", "ne")), ("scratch", "it-IT", (None, "it")),
    ("/data/models/mine", "no", (None, "no")), ("models:/asrx@champion", "unknown", (None, None)),
])  # fmt: skip
def test_the_card_names_the_base_that_the_hub_knows(base: str, language: str, expected: tuple[str | None, str | None]) -> None:
    from huggingface_hub import ModelCard

    from asrx.packaging import Facts
    from asrx.registry.publish import front_matter

    data = ModelCard(f"---\n{front_matter(Facts(base, corpus='Common Voice 17: it', language=language, wer=0.123), 'ann/digits')}\n---\n").data
    assert (data.base_model, data.language) == expected
    assert (data.eval_results[0].dataset_name, data.eval_results[0].dataset_type) == ("Common Voice 17: it", "common-voice-17-it")
