"""A recording that kills its decoder is left out; it does not stop the preparation each time anew."""

import csv
import os
import subprocess
import sys
from pathlib import Path

from sounds import corpus, sound, table, write

# Read by every Python process that has its folder on PYTHONPATH: workers too.
DEADLY = """
import os
import sys
if "spawn_main" in " ".join(sys.orig_argv):
    import asrx.recognizer.audio as audio
    load = audio.load
    def kill(source, *arguments, **options):
        if "deadly" in os.path.basename(str(source)):
            os.kill(os.getpid(), 9)
        return load(source, *arguments, **options)
    audio.load = kill
"""
PROGRAM = """
import sys
from pathlib import Path
from asrx.config import resolve
from asrx.corpus.prepare import Source, prepare
if __name__ == "__main__":
    prepare(Source(sys.argv[1]), Path(sys.argv[2]), resolve(overrides=["data.workers=2", "data.shard_size=4", "data.split=random"]))
"""


def test_two_deadly_recordings_are_rejected_and_all_others_stay(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "source", count=20).parent
    with (folder / "all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for place in (3, 11):
        write(folder / "clips" / f"deadly{place}.wav", sound(1.2, pitch=300 + place))
        rows.insert(place, {"path": f"deadly{place}.wav", "sentence": "the last words", "client_id": "s"})
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(DEADLY)
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{Path(__file__).parents[1]}"}
    command = [sys.executable, str(tmp_path / "program.py"), str(table(folder / "all.csv", rows)), str(tmp_path / "out")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "out" / "rejected.csv").open(newline="") as file:
        rejected = {row["id"]: (row["rule"], row["reason"]) for row in csv.DictReader(file)}
    assert rejected == {f"deadly{place}": ("bad_audio", "the audio kills the process that decodes it") for place in (3, 11)}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "program.py", "site", "source"]
