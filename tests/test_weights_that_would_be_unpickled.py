"""Checkpoints that have only pytorch_model.bin: their conversion on the hub is taken, and nothing is ever unpickled."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ctc_models
import huggingface_hub
import pytest
from huggingface_hub.errors import OfflineModeIsEnabled

from asrx.errors import ModelError
from asrx.models import loading

MAIN = ("config.json", "vocab.json", "preprocessor_config.json", "pytorch_model.bin", "adapter.ita.safetensors", "adapter.eng.safetensors")


class Hub:
    """What of the hub the loader talks to; a pull request has all of main's files and the converted weights."""

    def __init__(self, folder: Path, offers: list[tuple[int, str, str]], online: bool = True) -> None:
        self._folder, self._offers, self._online = folder, offers, online
        self.asked: list[tuple[str | None, str]] = []

    def download(self, name: str, revision: str | None = None, allow_patterns: list[str] | None = None, **_: Any) -> str:
        from fnmatch import fnmatch

        offered = [*MAIN, *(["model.safetensors"] if revision else [])]
        chosen = [file for file in offered if any(fnmatch(file, pattern) for pattern in allow_patterns)]
        self.asked += [(revision, file) for file in chosen]
        snapshot = self._folder / name / (revision or "main").replace("/", "-")
        snapshot.mkdir(parents=True, exist_ok=True)
        for file in chosen:
            (snapshot / file).write_bytes(b"{}")
        return str(snapshot)

    def get_repo_discussions(self, name: str, author: str, discussion_type: str, discussion_status: str) -> list[Any]:
        if not self._online:
            raise OfflineModeIsEnabled("offline")
        assert (discussion_type, discussion_status) == ("pull_request", "open")
        return [SimpleNamespace(num=number, title=title) for number, whose, title in self._offers if whose == author]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    scan = huggingface_hub.scan_cache_dir
    (tmp_path / "cache").mkdir()

    def start(*offers: tuple[int, str, str], online: bool = True) -> Hub:
        made = Hub(tmp_path, list(offers), online)
        monkeypatch.setattr(huggingface_hub, "snapshot_download", made.download)
        monkeypatch.setattr(huggingface_hub, "HfApi", lambda: made)
        monkeypatch.setattr(huggingface_hub, "scan_cache_dir", lambda: scan(tmp_path / "cache"))
        return made

    return start


def test_the_conversion_of_the_hub_is_taken(hub) -> None:
    hub((3, "somebody", "Adding `safetensors` variant of this model"), (7, "SFconvertbot", "Adding `safetensors` variant of this model"),
        (9, "SFconvertbot", "Add a table"))  # fmt: skip
    folder = loading.locate("facebook/wav2vec2-base")
    assert folder.name == "refs-pr-7" and (folder / "config.json").is_file() and not (folder / "pytorch_model.bin").exists()


def test_a_conversion_in_the_cache_serves_without_the_hub(hub, tmp_path: Path) -> None:
    repository, commit = tmp_path / "cache" / "models--facebook--wav2vec2-base", "0123456789" * 4
    for path, content in (("refs/refs/pr/7", commit), (f"snapshots/{commit}/model.safetensors", ""), (f"snapshots/{commit}/config.json", "{}")):
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text(content)
    hub(online=False)
    assert loading.locate("facebook/wav2vec2-base").name == "refs-pr-7"


@pytest.mark.parametrize(("offers", "online"), [([], True), ([], False), ([(3, "somebody", "Adding `safetensors` variant")], True)])
def test_without_one_the_remedy_is_named(offers: list[Any], online: bool, hub) -> None:
    hub(*offers, online=online)
    with pytest.raises(ModelError, match=r"facebook/wav2vec2-base holds no weights: there is no model\.safetensors.*; convert it where you trust it"):
        loading.locate("facebook/wav2vec2-base")


def test_small_files_are_had_without_weights(hub) -> None:
    asked = hub().asked
    loading.locate("facebook/wav2vec2-base", weights=False)
    assert not any(file.endswith((".safetensors", ".bin")) for _, file in asked)


def test_of_a_thousand_adapters_one_is_downloaded(hub) -> None:
    """MMS's together have 10 GB."""
    found = hub((7, "SFconvertbot", "Adding `safetensors` variant of this model"))
    folder = loading.locate("facebook/mms-1b-all")
    assert loading.adapter("facebook/mms-1b-all", folder, "ita").name == "adapter.ita.safetensors"
    assert [file for _, file in found.asked if file.startswith("adapter")] == ["adapter.ita.safetensors"]


def test_a_folder_of_pickles_is_refused(tmp_path: Path) -> None:
    folder = ctc_models.make(tmp_path / "model", "hubert")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin is not read: it would have to be unpickled"):
        loading.locate(str(folder))
