"""What makes a training faster leaves its numbers what they are, and a run keeps its precision to the end."""

import copy
import platform
import resource
from pathlib import Path
from typing import Any

import pytest
import torch

from asrx.config import resolve
from asrx.errors import ConfigError
from asrx.models import load_family, processor
from asrx.training import arguments

SMALL, BIG = 400_000, 94_000_000  # parameters
TEXTS = ["one two three", "four five six seven"]
ARCHITECTURES = ("wav2vec2", "hubert", "wavlm", "whisper")


class Settings:
    """Of TrainingArguments what `speed_up` reads."""

    device = torch.device("cpu")
    activation_checkpointing = False
    bf16 = False
    torch_compile = False


@pytest.fixture
def with_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})


@pytest.fixture
def without_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True})


@pytest.mark.parametrize(("override", "parameters", "expected"), [
    ("trainer.bf16=auto", SMALL, "fp32"), ("trainer.bf16=auto", BIG, "bf16"), ("trainer.bf16=false", BIG, "fp32"),
    ("trainer.bf16=true", SMALL, "bf16"), ("trainer.fp16=true", SMALL, "fp32"),
])  # fmt: skip
def test_bfloat16_is_for_models_that_gain(with_bf16: None, override: str, parameters: int, expected: str) -> None:
    assert arguments.precision(resolve(overrides=[override]), parameters) == expected


def test_a_processor_without_bfloat16_is_not_asked_for_it(without_bf16: None) -> None:
    assert arguments.precision(resolve(), BIG) == "fp32"
    with pytest.raises(ConfigError, match="this processor does not compute in bfloat16"):
        arguments.check(resolve(overrides=["trainer.bf16=true"]))


def test_a_run_goes_on_as_it_began_on_another_machine(without_bf16: None, tmp_path: Path) -> None:
    arguments.remember_precision("bf16", tmp_path)
    assert arguments.precision(resolve(), BIG, tmp_path) == "bf16"
    settings = arguments.training_arguments(resolve(), 10, tmp_path / "checkpoints", "bf16")
    assert settings.bf16 and settings.use_cpu


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_channels_last_gives_transformers_loss_and_gradients(architecture: str) -> None:
    torch.manual_seed(0)
    options = [f"model.architecture={architecture}", *(["model.max_source_positions=100", "tokenizer.vocab_size=280"] if architecture == "whisper" else [])]
    family = load_family(resolve(overrides=options), TEXTS)
    plain, fast = family.model, copy.deepcopy(family.model)
    processor.speed_up(fast, Settings(), "auto", 100.0)
    fast = copy.deepcopy(fast)
    assert any("forward" in vars(module) for module in fast.modules()) and fast.state_dict().keys() == plain.state_dict().keys()
    waveforms = [torch.randn(samples).numpy() for samples in (16_000, 24_000)]
    batch = family.collate(waveforms, family.labels(TEXTS), [(0,), (1,)])
    losses, gradients = zip(*(learnt(model.eval(), batch) for model in (plain, fast)))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], rtol=1e-3, atol=1e-4 * float(gradient.abs().max()) + 1e-7), name


def learnt(model: Any, batch: dict[str, Any]) -> tuple[float, dict[str, torch.Tensor]]:
    loss = model(**batch).loss
    loss.backward()
    return loss.item(), {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def test_attention_is_eager_only_where_its_scores_fit() -> None:
    settings = Settings()
    settings.bf16 = True
    model = load_family(resolve(), TEXTS).model
    fits = processor.MOST_SCORES / processor.scores(model.config, 1.0)
    for widest, expected in ((fits * 1.01, "sdpa"), (None, "sdpa"), (fits * 0.99, "eager")):
        processor.speed_up(model, settings, "auto", widest)
        assert model.config._attn_implementation == expected
    processor.speed_up(model, settings, "sdpa", 1.0)
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.skipif(not torch.cpu.get_capabilities().get("avx512_bf16"), reason="this processor has no avx512_bf16")
def test_in_bfloat16_the_loss_of_ctc_is_computed_in_float32(corpus: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from asrx.training import request

    heard: list[torch.dtype] = []
    ctc_loss = torch.nn.functional.ctc_loss
    monkeypatch.setattr(torch.nn.functional, "ctc_loss", lambda scores, *rest, **more: heard.append(scores.dtype) or ctc_loss(scores, *rest, **more))
    overrides = ["trainer.bf16=true", "trainer.eval_steps=2", "data.eval_utterances=2"]
    result = request.train(str(corpus), None, {"trainer.max_steps": "2"}, overrides, None)
    assert set(heard) == {torch.float32}
    assert (Path(result.folder).parent / arguments.PRECISION).read_text().strip() == '"bf16"'


def test_a_compiled_model_keeps_transformers_layout() -> None:
    settings = Settings()
    settings.torch_compile = True
    model = load_family(resolve(), TEXTS).model
    processor.speed_up(model, settings, "auto", 1.0)
    assert not any("forward" in vars(module) for module in model.modules())


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_memory_of_large_tensors_is_used_again() -> None:
    processor.keep_freed_memory()
    torch.zeros(1 << 24)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.zeros(1 << 24)  # 64 MiB, 16,384 pages
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 4 * 16_384
