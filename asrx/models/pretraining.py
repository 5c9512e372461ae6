"""Self-supervised pre-training of wav2vec 2.0 (Baevski et al. 2020): masked frames are told from distractors by their quantised features."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..config import Config
from ..errors import ConfigError, ModelError
from ..recognizer.audio import SAMPLE_RATE
from . import SCRATCH, keys, loading

MASKING = {"mask_time_prob": 0.65, "mask_time_length": 10, "mask_time_min_masks": 2}  # of the paper, where the options do not say
FINE_TUNING = {"mask_time_prob": 0.05, "mask_time_length": 10, "mask_time_min_masks": 2}  # of the saved model, as of published ones: 0.65 is too much
FIXED = {"apply_spec_augment": True, "mask_feature_prob": 0.0}  # else nothing is masked, or by chance that no resume repeats
CHOICES_OF_AN_UTTERANCE = 1  # last part of a seed: augmentation draws from the seed itself
SAME = 1 - 1e-6  # cosine of two quantised features that are one


@dataclass
class PretrainingFamily:
    """A wav2vec 2.0 with its quantiser and feature extractor."""

    model: Any
    feature_extractor: Any
    longest: float  # s; longer utterances are cut at a random place

    def fits(self, labels: Sequence[Sequence[int]], samples: np.ndarray) -> np.ndarray:
        """A mask has to leave something to be guessed from."""
        return self._frames(samples) >= 2 * self.model.config.mask_time_length

    def padded_seconds(self, longest: float) -> float:
        """What is longer is cut."""
        return min(longest, self.longest)

    def features(self, waveform: np.ndarray) -> None:
        """None: the model hears samples."""
        return None

    def collate(self, waveforms: Sequence[np.ndarray], labels: Sequence[Sequence[int]], seeds: Sequence[tuple[int, ...]]) -> dict[str, Any]:
        """Padded waveforms, mask (utterances, frames) and distractors (utterances, frames, number), as indices into all frames of the batch."""
        import torch

        randoms = [np.random.default_rng((*seed, CHOICES_OF_AN_UTTERANCE)) for seed in seeds]
        pieces = [cut(waveform, int(self.longest * SAMPLE_RATE), random) for waveform, random in zip(waveforms, randoms)]
        batch = dict(self.feature_extractor(pieces, sampling_rate=SAMPLE_RATE, padding=True, return_tensors="pt"))
        frames = self._frames(np.array([len(piece) for piece in pieces]))
        options, width = self.model.config, int(self._frames(np.array([batch["input_values"].shape[1]]))[0])
        mask = np.zeros((len(pieces), width), bool)
        distractors = np.zeros((len(pieces), width, options.num_negatives), np.int64)
        for row, random in enumerate(randoms):
            mask[row, : frames[row]] = draw_mask(int(frames[row]), options.mask_time_prob, options.mask_time_length, options.mask_time_min_masks, random)
            distractors[row, mask[row]] = row * width + draw_distractors(np.flatnonzero(mask[row]), options.num_negatives, random)
        return {**batch, "mask_time_indices": torch.from_numpy(mask), "sampled_negative_indices": torch.from_numpy(distractors)}

    def select(self, batch: dict[str, Any], rows: Sequence[int]) -> dict[str, Any]:
        """Rows of every tensor, with the distractors among the frames of these rows."""
        import torch

        chosen = {name: value[list(rows)] for name, value in batch.items()}
        mask, old = chosen["mask_time_indices"], torch.tensor(list(rows), device=batch["mask_time_indices"].device)
        moved = (torch.arange(len(old), device=old.device) - old) * mask.shape[1]
        distractors = torch.where(mask[..., None], chosen["sampled_negative_indices"] + moved[:, None, None], 0)
        return {**chosen, "sampled_negative_indices": distractors}

    def weight(self, batch: dict[str, Any]) -> int:
        """Masked frames: transformers' losses are sums over them."""
        return int(batch["mask_time_indices"].sum())

    def loss(self, outputs: Any, batch: dict[str, Any]) -> Any:
        """Contrastive and weighted diversity loss per masked frame."""
        return outputs.loss / self.weight(batch)

    def details(self, outputs: Any, batch: dict[str, Any]) -> dict[str, Any]:
        """The two losses per masked frame, perplexity of the codebooks together, share of masked frames, accuracy, temperature."""
        masked = self.weight(batch)
        given = batch.get("attention_mask")
        frames = batch["mask_time_indices"].numel() if given is None else self.model._get_feat_extract_output_lengths(given.sum(-1)).sum()
        return {
            **self._measured(outputs, batch, masked),
            "masked": masked / frames,
            "temperature": self.model.quantizer.temperature,
        }

    def measure(self, waveforms: Sequence[np.ndarray], seeds: Sequence[tuple[int, ...]]) -> tuple[dict[str, float], int]:
        """Loss and its parts on a batch, without gradient, and the number of masked frames that they are the means of."""
        import torch

        batch = {name: value.to(self.model.device) for name, value in self.collate(waveforms, [], seeds).items()}
        with torch.no_grad():  # what a model keeps for its next batch must be fit for training
            outputs = self.model(**batch)
        masked = self.weight(batch)
        values = {"loss": self.loss(outputs, batch), **self._measured(outputs, batch, masked)}
        return {name: float(value) for name, value in values.items()}, masked

    def save(self, folder: Path) -> None:
        """Write what `from_pretrained` of plain transformers reads, for pre-training as well as for fine-tuning."""
        with _configured(self.model.config, FINE_TUNING):
            self.model.save_pretrained(folder)
        self.feature_extractor.save_pretrained(folder)

    def _measured(self, outputs: Any, batch: dict[str, Any], masked: int) -> dict[str, Any]:
        return {
            "contrastive": outputs.contrastive_loss.detach() / masked,
            "diversity": outputs.diversity_loss.detach() / masked,
            "perplexity": outputs.codevector_perplexity.detach(),
            "accuracy": accuracy(outputs, batch["mask_time_indices"], batch["sampled_negative_indices"]),
        }

    def _frames(self, samples: np.ndarray) -> np.ndarray:
        """Output frames for numbers of input samples."""
        import torch

        return self.model._get_feat_extract_output_lengths(torch.as_tensor(samples)).numpy()


def cut(waveform: np.ndarray, longest: int, random: np.random.Generator) -> np.ndarray:
    """`longest` samples from a random place, or the whole where it is not longer."""
    start = int(random.integers(max(0, len(waveform) - longest) + 1))
    return waveform[start : start + longest]


def draw_mask(frames: int, share: float, length: int, least: int, random: np.random.Generator) -> np.ndarray:
    """Which of `frames` are masked: spans of `length` that may overlap, `share` of the frames would they not, `least` spans or more."""
    spans = max(int(share * frames / length + random.random()), least)
    starts = random.choice(frames - length + 1, min(spans, frames // length), replace=False)
    mask = np.zeros(frames, bool)
    mask[(starts[:, None] + np.arange(length)).ravel()] = True
    return mask


def draw_distractors(masked: np.ndarray, number: int, random: np.random.Generator) -> np.ndarray:
    """For each of the `masked` frames of an utterance `number` other ones, uniformly: shape (masked, number)."""
    others = random.integers(len(masked) - 1, size=(len(masked), number))
    return masked[others + (others >= np.arange(len(masked))[:, None])]


def accuracy(outputs: Any, mask: Any, distractors: Any) -> Any:
    """Share of masked frames that are nearer to their own quantised feature than to all distractors.

    Distractors that equal the true one do not count; a frame that has no other is a miss, so that a collapsed codebook has 0.
    """
    import torch

    with torch.no_grad():
        states = torch.nn.functional.normalize(outputs.projected_states.float(), dim=-1)
        codes = torch.nn.functional.normalize(outputs.projected_quantized_states.float(), dim=-1)
        width = mask.shape[1]
        local = distractors - width * torch.arange(len(mask), device=mask.device)[:, None, None]
        local = local.clamp(min=0)  # of frames that are not masked
        nearness = states @ codes.transpose(1, 2)
        others = nearness.gather(2, local)
        others = others.masked_fill((codes @ codes.transpose(1, 2)).gather(2, local) > SAME, -torch.inf).amax(-1)
        right = (nearness.diagonal(dim1=1, dim2=2) > others) & others.isfinite()
        return right[mask].float().mean()


def load_family(options: Config) -> PretrainingFamily:
    """The wav2vec 2.0 of `model.name`; from scratch it has the sizes that the options give, else those of wav2vec2-base.

    Raises ConfigError for keys that Wav2Vec2Config lacks or that fit no pre-training, ModelError for another kind of model.
    """
    loading.quiet_transformers()
    _check(options)
    folder = None if options.model.name == SCRATCH else loading.locate(options.model.name)
    return PretrainingFamily(_model(folder, options), _feature_extractor(folder, options), options.data.max_seconds)


def _check(options: Config) -> None:
    from transformers import Wav2Vec2Config

    given = options.extra["model"]
    keys.check_model_keys(given, set(Wav2Vec2Config().to_dict()))
    for key, value in FIXED.items():
        if given.get(key, value) != value:
            raise ConfigError(f"model.{key}={given[key]}: pre-training masks frames by itself; leave it at {value}")
    share, length, least = (given.get(key, value) for key, value in MASKING.items())
    if not (isinstance(share, (int, float)) and 0 < share <= 1 and all(isinstance(number, int) and number > 0 for number in (length, least))):
        raise ConfigError(
            f"model.mask_time_prob={share}, mask_time_length={length}, mask_time_min_masks={least}: "
            "pre-training needs a share above 0 up to 1, and whole numbers of 1 or more"
        )
    if length * least < 2:
        raise ConfigError("model.mask_time_length=1 with mask_time_min_masks=1: a masked frame needs another one to be told from")


def _model(folder: Path | None, options: Config) -> Any:
    from transformers import Wav2Vec2Config, Wav2Vec2ForPreTraining

    settings = {**MASKING, **options.extra["model"], **FIXED}
    if folder is None:
        if options.model.architecture != "wav2vec2":
            raise ConfigError(f"model.architecture={options.model.architecture}: asrx pre-trains wav2vec2")
        if "conv_dim" in settings:
            settings["num_feat_extract_layers"] = len(settings["conv_dim"])
        return keys.built(lambda: Wav2Vec2ForPreTraining(Wav2Vec2Config(**settings)))
    kind = loading.config(folder).model_type
    if kind != "wav2vec2":
        raise ModelError(f"the model {options.model.name} is a {kind}; asrx pre-trains wav2vec2")
    load = Wav2Vec2ForPreTraining.from_pretrained
    return loading.quietly(lambda: load(folder, use_safetensors=True, trust_remote_code=False, **settings), options.model.name)


def _feature_extractor(folder: Path | None, options: Config) -> Any:
    from transformers import Wav2Vec2FeatureExtractor

    extractor = loading.feature_extractor(folder) if folder else Wav2Vec2FeatureExtractor(return_attention_mask=True)
    extractor = keys.set_extractor_keys(extractor, options.extra["feature_extractor"])
    if extractor.feature_size != 1:
        raise ConfigError(f"feature_extractor.feature_size={extractor.feature_size}: a waveform has 1 value per sample")
    return extractor


@contextmanager
def _configured(config: Any, values: dict[str, Any]) -> Iterator[None]:
    """A configuration with other values, for the length of the block."""
    before = {key: getattr(config, key) for key in values}
    config.update(values)
    try:
        yield
    finally:
        config.update(before)
