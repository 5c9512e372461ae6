"""What a preparation holds in memory does not depend on how much there is to prepare."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
from sounds import write

PARENT, WORKER = 600, 300  # MB that are allowed; growth between the small and the large corpus is allowed far less
GROWTH = 40  # MB
PROGRAM = """
import sys
from pathlib import Path
from asrx.config import resolve
from asrx.corpus.prepare import Source, prepare
if __name__ == "__main__":
    print(prepare(Source(sys.argv[1]), Path(sys.argv[2]), resolve(overrides=["data.workers=2", *sys.argv[3:]]))[0].meta["splits"])
"""


def peaks(source: Path, out: Path, *overrides: str) -> tuple[float, float]:
    """Peak resident memory in MB of the preparing process and of its biggest worker."""
    program = out.parent / "program.py"
    program.write_text(PROGRAM)
    process = subprocess.Popen([sys.executable, str(program), str(source), str(out), *overrides], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               cwd=Path(__file__).parents[1])  # fmt: skip
    parent = worker = 0
    observed = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            parent = max(parent, observed.memory_info().rss)
            worker = max([worker, *(child.memory_info().rss for child in observed.children() if "spawn_main" in " ".join(child.cmdline()))])
        except psutil.Error:
            pass  # it ended in between
        time.sleep(0.02)
    assert process.returncode == 0, process.stderr.read()
    return parent / 1e6, worker / 1e6


def many(folder: Path, count: int) -> Path:
    """A table of `count` clips of 1 s that differ."""
    folder.mkdir()
    noise = (np.random.default_rng(0).standard_normal(16_000) * 3_000).astype(np.int16)
    lines = ["path,text,speaker"]
    for number in range(count):
        noise[0] = number % 30_000
        soundfile.write(folder / f"{number}.wav", noise, 16_000, subtype="PCM_16")
        lines.append(f"{number}.wav,what was said {number},speaker {number % 97}")
    (folder / "all.csv").write_text("\n".join(lines))
    return folder / "all.csv"


@pytest.mark.slow
def test_ten_times_the_utterances_take_no_more_memory(tmp_path: Path) -> None:
    small = peaks(many(tmp_path / "small", 600), tmp_path / "small-corpus")
    large = peaks(many(tmp_path / "large", 6_000), tmp_path / "large-corpus")
    assert large[0] < min(PARENT, small[0] + GROWTH) and large[1] < min(WORKER, small[1] + GROWTH), (small, large)


@pytest.mark.slow
def test_an_hour_cut_into_utterances_takes_no_more_memory(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).standard_normal(44_100 * 60).astype(np.float32) * 0.1
    path = tmp_path / "hour.flac"
    with soundfile.SoundFile(path, "w", 44_100, 1, "PCM_16", format="FLAC") as file:
        for _ in range(60):
            file.write(noise)
    spans = ((4 * number + number / 1e4, number) for number in range(890))
    rows = [{"audio_filepath": path.name, "offset": start, "duration": 3.5, "text": f"piece {number}", "speaker": str(number % 9)} for start, number in spans]
    (tmp_path / "manifest.json").write_text("\n".join(map(json.dumps, rows)))
    small = peaks(many(tmp_path / "small", 600), tmp_path / "small-corpus")
    long = peaks(tmp_path / "manifest.json", tmp_path / "corpus")
    assert long[0] < min(PARENT, small[0] + GROWTH) and long[1] < min(WORKER, small[1] + 2 * GROWTH), (small, long)


@pytest.mark.slow
def test_a_recording_of_an_hour_is_refused_without_being_decoded_whole(tmp_path: Path) -> None:
    with soundfile.SoundFile(tmp_path / "hour.wav", "w", 44_100, 2, "PCM_16", format="WAV") as file:
        for _ in range(60):
            file.write(np.full((44_100 * 60, 2), 0.1, np.float32))
    write(tmp_path / "good.wav")
    write(tmp_path / "good2.wav", np.sin(np.arange(20_000)))
    (tmp_path / "all.csv").write_text("path,text\nhour.wav,an hour\ngood.wav,a good one\ngood2.wav,another one\n")
    parent, worker = peaks(tmp_path / "all.csv", tmp_path / "corpus")
    assert parent < PARENT and worker < 150
    assert "hour," in (tmp_path / "corpus" / "rejected.csv").read_text()
