"""How fast asrx trains, beside the published CTC script of Hugging Face's transformers, on the same model, data and machine.

    python scripts/bench_train.py                                          # the small model and wav2vec2-base: minutes on two cores
    python scripts/bench_train.py --parts wer ablation features            # is it as good? what brings how much?
    python scripts/bench_train.py --parts large --data CORPUS              # on a GPU

script: HF Trainer as run_speech_recognition_ctc.py sets it up, batches of 8 utterances at random, float32. trainer: the same with grouping by length
and bfloat16 switched on. asrx: its defaults, with batches of as many seconds as 8 utterances have on average. The three take turns, each training in a
fresh process that is counted after its first steps; figures are medians over the rounds, ratios medians of each round's ratio. Audio is counted
without padding. Everything made lies in a folder under TMPDIR that is deleted at the end.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from training import models
from training.measured import WARM, Request, as_json

SYSTEMS = ("script", "trainer", "asrx")
TARGETS = {"small": (2.0, 1.3), "base": (3.5, 1.3), "large": (2.0, None)}  # times the audio of script and of trainer
STEPS = {"small": 150, "base": 30, "large": 30}  # that are counted
RATES = {"small": 2e-3, "base": 1e-4, "large": 3e-5, "wav2vec2-bert": 2e-3, "whisper": 1e-3}
PEAK = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L4": 121e12}  # FLOP/s in bfloat16, without sparsity, as NVIDIA publishes them
WITHOUT: dict[str, tuple[str, ...] | str] = {  # what a step is without each, as options of asrx, or the function that does it
    "the budget in seconds": ("batch.seconds=0", "trainer.per_device_train_batch_size=8"),
    "grouping by length": ("batch.group_by_length=false",),
    "bfloat16": ("trainer.bf16=false",),
    "the fused optimizer": ("trainer.optim=adamw_torch",),
    "eager attention": ("model.attn_implementation=sdpa",),
    "channels last": "_gains",
    "keeping freed memory": "keep_freed_memory",
}
WITH = {"a loader process": ("trainer.dataloader_num_workers=1",), "torch.compile": ("trainer.torch_compile=true",)}
COMPILED = 40  # steps of torch.compile that are not counted: it compiles for a length, and then for any


class Bench:
    """The corpus, the models, and trainings of them. A part is a method that yields lines of its table."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder, self.options = folder, options
        os.environ.update(models.environment(folder, None))
        say("preparing the corpus")
        self.corpus = models.corpus(options.data, folder)
        self.mean = self._mean_seconds()

    def _mean_seconds(self) -> float:
        from asrx.corpus.shards import PreparedCorpus

        return float(PreparedCorpus.open(self.corpus).split("train").seconds.mean())

    def model(self, kind: str) -> Path:
        """Saved when it is first asked for."""
        target = self.folder / kind
        return target if target.exists() else models.save(kind, self.corpus, target)

    def trained(self, system: str, kind: str, steps: int, overrides: tuple[str, ...] = (), warm: int = WARM, **more: Any) -> dict[str, float]:
        """What a training of so many counted steps costs. RuntimeError with the end of its error output if it fails."""
        seconds, model = 8 * self.mean, str(self.model(kind))
        request = Request(system, model, str(self.corpus), steps + warm, seconds, models.FROZEN.get(kind, False), RATES[kind],
                          overrides=overrides, warm=warm, **more)  # fmt: skip
        with tempfile.TemporaryDirectory(dir=self.folder) as own:
            command = [sys.executable, str(Path(__file__).with_name("training") / "measured.py"), as_json(request)]
            done = subprocess.run(command, capture_output=True, text=True, env=models.environment(Path(own), self.options.threads))
        if done.returncode:
            raise RuntimeError(f"{system} ended with status {done.returncode}:\n{done.stderr[-2_000:]}")
        return json.loads(done.stdout.splitlines()[-1])

    def race(self, kind: str) -> Iterator[str]:
        """Audio per second of the three systems, in turn."""
        rounds: list[dict[str, dict[str, float]]] = []
        for number in range(self.options.rounds):
            say(f"{kind}: round {number + 1} of {self.options.rounds}")
            order = SYSTEMS if number % 2 == 0 else SYSTEMS[::-1]
            rounds.append({system: self.trained(system, kind, self.options.steps or STEPS[kind]) for system in order})
        yield f"\n{kind} | audio s/s | per CPU second | MiB | waits for data | asrx over it | target\n--- | --- | --- | --- | --- | --- | ---"
        for system, target in zip(SYSTEMS, (*TARGETS[kind], None)):
            runs = [done[system] for done in rounds]
            ratio = statistics.median(speed(done["asrx"]) / speed(done[system]) for done in rounds)
            verdict = f"{target} {'met' if ratio >= target else 'MISSED'}" if target else ""
            audio, by_cpu, memory, waits = (statistics.median(values) for values in zip(*map(figures, runs)))
            yield f"{system} | {audio:.1f} | {by_cpu:.1f} | {memory:,.0f} | {waits:.1%} | {ratio:.2f} | {verdict}"
        if kind == "large" and (share := peak_share(self.model(kind), statistics.median(speed(done["asrx"]) for done in rounds))):
            yield share

    def small(self) -> Iterator[str]:
        """The model from scratch of 0.4 million parameters."""
        yield from self.race("small")

    def base(self) -> Iterator[str]:
        """wav2vec2-base."""
        yield from self.race("base")

    def large(self) -> Iterator[str]:
        """wav2vec2-large, for a GPU."""
        yield from self.race("large")

    def wer(self) -> Iterator[str]:
        """The small model after the same audio, by the same decoder."""
        yield "\nsmall, trained | steps | hours of audio | WER of the validation set | wall s\n--- | --- | --- | --- | ---"
        for system in SYSTEMS:
            say(f"wer: {system}")
            done = self.trained(system, "small", self.options.wer_steps, evaluate=1_000)
            yield f"{system} | {done['steps'] + WARM:,} | {done['trained_on'] / 3600:.2f} | {done['wer']:.1%} | {done['wall']:.0f}"

    def ablation(self) -> Iterator[str]:
        """A step of asrx without each of what makes it fast, and with what is off."""
        for kind in self.options.ablate:
            variants: dict[str, tuple[str, ...] | str] = {"asrx": ()}
            variants |= {f"without {name}": change for name, change in WITHOUT.items()} | {f"with {name}": change for name, change in WITH.items()}
            rounds = []
            for number in range(self.options.rounds):
                say(f"ablation, {kind}: round {number + 1} of {self.options.rounds}")
                steps = self.options.steps or STEPS[kind]
                rounds.append({name: self._variant(kind, steps, name, change) for name, change in variants.items()})
            yield from self._compared(kind, rounds)

    def _variant(self, kind: str, steps: int, name: str, change: tuple[str, ...] | str) -> dict[str, float]:
        say(f"  {name}")
        keys, plain = ((), change) if isinstance(change, str) else (change, "")
        return self.trained("asrx", kind, steps, keys, COMPILED if "torch_compile" in str(keys) else WARM, plain=plain)

    def features(self) -> Iterator[str]:
        """Log-mel features computed at each step and once."""
        for kind in models.OTHERS:
            say(f"features: {kind}")
            steps = self.options.steps or STEPS["small"]
            variants = {"features once": "true", "features at each step": "false"}
            rounds = [
                {name: self.trained("asrx", kind, steps, (f"batch.cache_features={value}",)) for name, value in variants.items()}
                for _ in range(self.options.rounds)
            ]
            yield from self._compared(kind, rounds)

    def _compared(self, kind: str, rounds: list[dict[str, dict[str, float]]]) -> Iterator[str]:
        """Each variant of the rounds beside the first."""
        first = next(iter(rounds[0]))
        yield f"\n{kind} | audio s/s | per CPU second | times the first's speed | MiB | waits for data\n--- | --- | --- | --- | --- | ---"
        for name in rounds[0]:
            ratio = statistics.median(speed(done[name]) / speed(done[first]) for done in rounds)
            audio, by_cpu, memory, waits = (statistics.median(values) for values in zip(*(figures(done[name]) for done in rounds)))
            yield f"{name} | {audio:.1f} | {by_cpu:.1f} | {ratio:.2f} | {memory:,.0f} | {waits:.1%}"


def speed(done: dict[str, float]) -> float:
    """Seconds of audio per second."""
    return done["audio"] / done["wall"]


def figures(done: dict[str, float]) -> tuple[float, ...]:
    """Those of the table."""
    return speed(done), done["audio"] / done["cpu"], done["memory"], done["waited"]


def peak_share(model: Path, audio: float) -> str | None:
    """The share of the GPU's peak that the model's products take, at so many seconds of audio per second."""
    import torch

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    peak = next((value for key, value in PEAK.items() if key in name), None)
    if not peak:
        return None
    work = audio * training_work(json.loads((model / "config.json").read_text()))
    return f"\n{name}: {work / 1e12:.0f} TFLOP/s in products and convolutions, {work / peak:.0%} of its {peak / 1e12:.0f} in bfloat16"


def training_work(config: dict[str, Any]) -> float:
    """FLOP of a second of audio: forward through frozen convolutions, forward and backward (three times the forward) behind them; attention scores apart."""
    rate, channels, convolutions = 16_000.0, 1, 0.0
    for width, kernel, stride in zip(config["conv_dim"], config["conv_kernel"], config["conv_stride"]):
        rate /= stride
        convolutions += 2 * rate * channels * width * kernel
        channels = width
    hidden = config["hidden_size"]
    layers = config["num_hidden_layers"] * (4 * hidden**2 + 2 * hidden * config["intermediate_size"])
    position = hidden * (hidden // config["num_conv_pos_embedding_groups"]) * config["num_conv_pos_embeddings"]
    return convolutions + 3 * 2 * rate * (layers + position + channels * hidden)


def say(what: str) -> None:
    """Progress, on standard error."""
    print(f"{time.strftime('%H:%M:%S')}  {what}", file=sys.stderr, flush=True)


def main() -> int:
    """Run the parts asked for; lines are shown as they are known."""
    options = _options()
    print(", ".join(f"{name} {value}" for name, value in _settings(options).items()))
    with tempfile.TemporaryDirectory(prefix="bench-train-") as folder:
        bench = Bench(Path(folder), options)
        print(f"{bench.corpus.name}: utterances of {bench.mean:.1f} s on average, batches of {8 * bench.mean:.0f} s")
        for part in options.parts:
            for line in getattr(bench, part)():
                print(line, flush=True)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("small", "base", "large", "wer", "ablation", "features")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts[:2], help="default: small base")
    parser.add_argument("--data", help="a prepared corpus, or what asrx prepare takes as --source (default: the built-in speech)")
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of each training (default %(default)s)")
    parser.add_argument("--steps", type=int, default=0, help=f"that are counted (default: {STEPS})")
    parser.add_argument("--wer-steps", type=int, default=900, help="optimizer steps of each system for the WER (default %(default)s)")
    parser.add_argument("--ablate", nargs="+", choices=("small", "base", "large"), default=("small",), help="models of the ablation (default: small)")
    parser.add_argument("--threads", type=int, default=None, help="OMP_NUM_THREADS of the trainings (default: as it is)")
    return parser.parse_args()


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """What the figures hold for."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    libraries = {name: version(name) for name in ("torch", "transformers", "accelerate", "datasets")}
    return {"processor": processor, "cores": os.cpu_count(), "load at the start": round(os.getloadavg()[0], 1), "rounds": options.rounds, **libraries}


if __name__ == "__main__":
    sys.exit(main())
