"""Labels in one language and generation in another: what a Whisper's text begins with must be the same everywhere."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from whisper_models import SPECIALS, save, tokenizer, tone, untrained

from asrx import recognizer
from asrx.config import resolve
from asrx.errors import ConfigError, ModelError
from asrx.models import load_family
from asrx.models.whisper_prompt import language_code

SCRATCH = ["model.architecture=whisper", "model.d_model=32", "model.max_source_positions=100"]


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Whisper of plain transformers that knows English, Italian and Nepali."""
    tokens = tokenizer()
    return save(tmp_path_factory.mktemp("stock"), untrained(tokens), tokens)


def loaded(folder: Path, *options: str) -> Any:
    return load_family(resolve(overrides=[f"model.name={folder}", *options]), ["perché no"])


@pytest.mark.parametrize("language, task", [("it", "transcribe"), ("ne", "translate"), ("en-US", "transcribe")])
def test_labels_begin_as_generation_does(stock: Path, tmp_path: Path, language: str, task: str) -> None:
    family = loaded(stock, f"text.language={language}", f"model.task={task}")
    wanted = [f"<|{language[:2]}|>", f"<|{task}|>", "<|notimestamps|>"]
    label = family.labels(["Perché no"])[0]
    assert family.tokenizer.convert_ids_to_tokens(label[:3]) == wanted
    assert family.tokenizer.decode(label[3:-1]) == "Perché no" and label[-1] == family.tokenizer.eos_token_id
    family.save(tmp_path)
    saved = recognizer.load(tmp_path, "cpu")
    prompt = saved._prompts(saved.model.get_encoder()(saved.feature_extractor(tone(300.0), return_tensors="pt").input_features[:, :, :200])[0])
    assert saved.tokenizer.convert_ids_to_tokens(prompt[0].tolist()) == ["<|startoftranscript|>", *wanted]


def test_a_language_that_is_not_known_is_told() -> None:
    assert [language_code(name) for name in ("it", "ne", "hi", "it-IT", "Italian")] == ["it", "ne", "hi", "it", "it"]
    with pytest.raises(ConfigError, match=r"text.language=itx: .*did you mean it\?"):
        language_code("itx")


def test_a_model_without_the_language_names_those_it_has(stock: Path) -> None:
    with pytest.raises(ConfigError, match="it has en, it, ne"):
        loaded(stock, "text.language=de")


def test_an_english_model_takes_no_other_language(tmp_path: Path) -> None:
    tokens = tokenizer()
    model = untrained(tokens)
    model.generation_config.is_multilingual = False
    for key in ("lang_to_id", "task_to_id", "language", "task"):
        delattr(model.generation_config, key)
    save(tmp_path, model, tokens)
    family = loaded(tmp_path, "text.language=en")
    assert family.tokenizer.convert_ids_to_tokens(family.prompt) == ["<|notimestamps|>"] and not family.problems()
    with pytest.raises(ConfigError, match="knows English alone"):
        loaded(tmp_path, "text.language=it")
    with pytest.raises(ConfigError, match="can only transcribe"):
        loaded(tmp_path, "text.language=en", "model.task=translate")


def test_settings_of_old_checkpoints_do_not_force_another_language(tmp_path: Path) -> None:
    tokens = tokenizer()
    english, transcribe = tokens.convert_tokens_to_ids(["<|en|>", "<|transcribe|>"])
    model = untrained(tokens)
    written = tokens("luce", add_special_tokens=False).input_ids
    specials = tokens.convert_tokens_to_ids(["<|startoftranscript|>", "<|startoflm|>"])
    model.generation_config.forced_decoder_ids = [[1, english], [2, transcribe]]
    model.generation_config.suppress_tokens = [*written, *specials]
    config = save(tmp_path / "old", model, tokens) / "config.json"
    older = {"forced_decoder_ids": [[1, english], [2, transcribe]], "suppress_tokens": [*written, *specials], "max_length": 20}
    config.write_text(json.dumps({**json.loads(config.read_text()), **older}))
    family = loaded(tmp_path / "old", "text.language=it")
    family.save(tmp_path / "new")
    generation = load_family(resolve(overrides=[f"model.name={tmp_path / 'new'}", "text.language=it"]), ["x"]).model.generation_config
    assert getattr(generation, "forced_decoder_ids", None) is None
    assert generation.suppress_tokens == sorted(specials)  # what is text may be written
    assert (generation.language, generation.task, generation.max_length) == ("it", "transcribe", 160)


def test_parts_that_do_not_belong_together_are_told(stock: Path) -> None:
    family = loaded(stock, "text.language=it")
    assert family.problems() == []
    english, italian = family.tokenizer.convert_tokens_to_ids(["<|en|>", "<|it|>"])
    family.model.generation_config.language = "en"
    assert "Labels begin with <|it|>" in family.problems()[0] and "generation with <|en|>" in family.problems()[0]
    family.model.generation_config.language = "it"
    family.model.generation_config.lang_to_id["<|it|>"] = english
    assert any(f"<|it|> is {english} in generation and {italian} in the tokenizer" in problem for problem in family.problems())


def test_a_checkpoint_whose_parts_disagree_is_refused(tmp_path: Path) -> None:
    tokens = tokenizer()
    model = untrained(tokens)
    model.generation_config.lang_to_id["<|it|>"] += 1
    with pytest.raises(ModelError, match="do not belong together"):
        loaded(save(tmp_path, model, tokens), "text.language=it")


def test_joined_utterances_have_one_prompt_and_one_end() -> None:
    for timestamps in (False, True):
        family = load_family(resolve(overrides=[*SCRATCH, "text.language=it", f"model.timestamps={timestamps}"]), ["accendi la luce", "perché no"])
        first, second = family.labels(["Accendi la luce", "perché no"])
        joined = family.collate([np.zeros(20_800, np.float32)], [family.join(first, second, 0.5)])["labels"][0].tolist()
        text = family.tokenizer.decode(joined, decode_with_timestamps=True)
        times = "<|it|><|transcribe|><|0.00|> accendi la luce<|0.50|><|0.50|> perché no<|1.30|><|endoftext|>"
        assert text == (times if timestamps else "<|it|><|transcribe|><|notimestamps|>accendi la luce perché no<|endoftext|>")
        if not timestamps:
            assert joined == family.labels(["accendi la luce perché no"])[0]


def test_letters_that_the_training_text_lacks_can_be_written() -> None:
    family = load_family(resolve(overrides=[*SCRATCH, "text.language=ne"]), ["accendi la luce"])
    label = family.labels(["बत्ती बाल्नुहोस्"])[0]
    assert family.tokenizer.decode(label, skip_special_tokens=True) == "बत्ती बाल्नुहोस्"
    assert set(SPECIALS) - set(family.tokenizer.get_vocab()) == set()


@pytest.mark.parametrize(
    "option, message",
    [("model.eos_token_id=3", "follows from the vocabulary"), ("model.dmodel=32", "did you mean d_model"), ("tokenizer.vocab_size=100", "256 or more"),
     ("feature_extractor.n_fft=512", "follows from the model"), ("model.trainable=head", "table of token embeddings")],
)  # fmt: skip
def test_options_that_cannot_be_are_refused(option: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_family(resolve(overrides=[*SCRATCH, "text.language=it", option]), ["accendi la luce"])


def test_masks_longer_than_the_input_are_refused_before_training(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(ConfigError, match="mask_time_length=500: the input is 200 long"):
        load_family(resolve(overrides=[*SCRATCH, "text.language=it", "model.apply_spec_augment=true", "model.mask_time_length=500"]), ["accendi"])
