"""One training in a process of its own: `python measured.py REQUEST`, a JSON object, with another one as its last line of output.

SYSTEM is script (the published settings), trainer (grouped by length and in bfloat16 besides) or asrx. Seconds of the clock and of the processor are
counted over the steps after the first few; audio is that of the utterances themselves, without padding.
"""

import json
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

WARM = 10  # steps that are not counted, unless a request says more: until then memory is taken for the first time and kernels are chosen


@dataclass(frozen=True)
class Request:
    """What is to be trained. `seconds`: of audio in a batch, on average; `overrides`: further options of asrx."""

    system: str
    model: str
    corpus: str
    steps: int
    seconds: float
    frozen: bool
    rate: float
    evaluate: int = 0  # validation utterances that the model transcribes at the end
    overrides: tuple[str, ...] = ()
    plain: str = ""  # function of asrx.models.processor that does nothing
    warm: int = WARM  # steps that are not counted


class Watch(TrainerCallback):
    """When each step ended, by the clock and by the processor."""

    def __init__(self, warm: int) -> None:
        self.warm = warm
        self.times: list[tuple[float, float]] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Called by Trainer."""
        if args.device.type == "cuda" and state.global_step in (self.warm, state.max_steps):
            import torch

            torch.cuda.synchronize()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self.times.append((time.perf_counter(), usage.ru_utime + usage.ru_stime))


def main() -> None:
    """Train and say what it cost."""
    request = Request(**json.loads(sys.argv[1]))
    family, material, options = loaded(request)
    watch, waited = Watch(request.warm), []
    train = asrx_training if request.system == "asrx" else peer_training
    seconds, evaluate = train(request, family, material, options, watch, waited)
    (wall, cpu), (last_wall, last_cpu) = watch.times[request.warm - 1], watch.times[-1]
    audio = sum(seconds[request.warm : len(watch.times)])
    said = {"audio": audio, "wall": last_wall - wall, "cpu": last_cpu - cpu, "steps": len(watch.times) - request.warm}
    said["trained_on"] = sum(seconds[: len(watch.times)])
    said["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    said["waited"] = sum(waited[request.warm : len(watch.times)]) / (last_wall - wall)
    if request.evaluate:
        said["wer"] = evaluate(family.model).counts.wer
    print(json.dumps(said))


def loaded(request: Request) -> tuple[Any, Any, Any]:
    """Model, utterances and options: the same for all systems."""
    from asrx.config import resolve
    from asrx.corpus.shards import PreparedCorpus
    from asrx.training.material import load_material

    options = resolve(None, {"model.name": request.model, "trainer.max_steps": request.steps}, [
        f"batch.seconds={request.seconds}", f"model.freeze_feature_encoder={request.frozen}", f"trainer.learning_rate={request.rate}",
        f"data.eval_utterances={request.evaluate or 8}", f"trainer.eval_steps={request.steps}", *request.overrides,
    ])  # fmt: skip
    return *load_material(PreparedCorpus.open(Path(request.corpus)), options), options


def asrx_training(request: Request, family: Any, material: Any, options: Any, watch: Watch, waited: list[float]) -> tuple[list[float], Any]:
    """Train with asrx, in a run of its own; the seconds of each batch, and what evaluates."""
    from asrx import tracking
    from asrx.models import processor
    from asrx.training import session
    from asrx.training.evaluation import Evaluator

    if request.plain:
        setattr(processor, request.plain, lambda *_: None)
    evaluator = Evaluator(family, material.validation, request.evaluate or 8, 8)
    with tracking.run("train", "bench") as run:
        trainer, _ = session.make_trainer(run, options, family, material, evaluator, family.join, [watch])
        watch_loading(trainer, waited)
        trainer.evaluate = lambda *_, **__: {}
        trainer.train()
    seconds = [float(sum(material.seconds[item.index] for item in batch)) for batch in trainer._plan]
    return seconds, evaluator


def peer_training(request: Request, family: Any, material: Any, options: Any, watch: Watch, waited: list[float]) -> tuple[list[float], Any]:
    """The same with the peer."""
    import os

    import peer

    from asrx.training.evaluation import Evaluator

    split, labels = material.split, family.labels(material.split.column("text"))
    folder, seconds = Path(os.environ["ASRX_HOME"]), []
    data = peer.dataset(split, labels, family.feature_extractor, folder / "peer.arrow")
    trainer = peer.trainer(family, data, request.steps, folder / "peer", request.rate, request.system == "trainer", seconds, watch)
    watch_loading(trainer, waited)
    trainer.train()
    return seconds, Evaluator(family, material.validation, request.evaluate or 8, 8)


def watch_loading(trainer: Any, waited: list[float]) -> None:
    """Append the seconds that each step waits for its batch."""
    get = trainer.get_batch_samples

    def timed(*arguments: Any) -> Any:
        began = time.perf_counter()
        got = get(*arguments)
        waited.append(time.perf_counter() - began)
        return got

    trainer.get_batch_samples = timed


def as_json(request: Request) -> str:
    """What `main` reads."""
    return json.dumps(asdict(request))


if __name__ == "__main__":
    main()
