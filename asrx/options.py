"""Every option with its unit, default, choices and range, by section. config.py puts a configuration together from them."""

from dataclasses import dataclass, fields

AUTO = "auto"
ARTIFACTS = "artifacts"  # of a run, as a place for checkpoints
CODECS = ("8khz", "mu-law", "a-law", "gsm", "mp3", "vorbis", "opus")  # 8khz: the telephone's band alone


@dataclass
class Data:
    """What goes into a corpus, what is left out of it, and how much of it is trained on. Bounds are inclusive."""

    source: str | None = None  # what is prepared where no --source says so: builtin, a path or a hub id
    min_seconds: float = 1.0  # s; shorter utterances are rejected
    max_seconds: float = 15.0  # s; longer utterances are rejected
    min_chars_per_second: float = 0.25  # of the normalised text; below it most of the speech is not in the transcript
    max_chars_per_second: float = 30.0  # spaces included; above it most of the transcript is not in the audio: the fastest speech has about 25
    frame_rate: float = 50.0  # output frames of the model per s, one per character and one more between equal ones; 25 with an adapter
    max_clipping: float = 0.05  # share of the samples in runs at full scale; speech driven 6 dB too high has 0.01, 12 dB 0.06
    min_level: float = -80.0  # dBFS of the peak (half of peak to peak); below it the audio is silent
    max_missing: float = 0.05  # s that decoded audio, or a span of it, may lack of what header or source promise
    min_rate: int = 4_000  # Hz of the recording; below it no speech is intelligible
    max_rate: int = 384_000  # Hz; above it a header is damaged
    antiphase: float = 1e-3  # energy of the channels' mean over their own; below it they cancel each other out
    duplicates: str = "reject"  # reject: of utterances of a split with the same audio the first is kept; or keep
    transcripts: str = "required"  # optional: utterances without one are kept, for pre-training
    split: str = AUTO  # auto: the source's own, else by speaker; or source, speaker, random
    train_share: float = 0.7  # of the utterances, where asrx splits
    shard_size: int = 10_000  # utterances in a shard
    seed: int = 0  # of the random or by-speaker split and of `fraction`
    workers: int = 0  # processes that decode; 0: one per core
    max_rejected: float = 0.5  # share of rejected utterances above which preparation stops
    fraction: float = 1.0  # share of the training utterances that are trained on
    minutes: float = 0.0  # of training audio, drawn with balanced speakers; 0: all
    sample: int = 0  # number of the draw: another number, other utterances
    exclude: str | None = None  # file whose utterances are not trained on: a CSV with a column id, such as asrx inspect writes, or one id per line
    eval_utterances: int = 1_000  # at most so many validation utterances per evaluation; 0: all


@dataclass
class Text:
    """Transcripts on their way into the corpus and the vocabulary."""

    language: str = "en"  # picks the normaliser and the words of numbers
    normalizer: str = AUTO  # auto: the language's, else basic; or en, it, ne, hi, basic
    ignore: str | None = None  # characters to strip instead of the normaliser's
    digits: str = "keep"  # keep; or words (spelled in the language), ascii (0-9), native (०-९)
    alphabet: str | None = None  # characters that may occur besides the space, or a vocab.json, model folder or hub id that has them; none: any
    case: str | None = None  # upper or lower forces it; otherwise the vocabulary decides
    vocabulary: str = AUTO  # auto: the checkpoint's, else built; or checkpoint, build (from the training text), or the model whose vocabulary it is


@dataclass
class Model:
    """The model to start from. Any other key is a field of its transformers configuration.

    SpecAugment: apply_spec_augment, mask_time_prob, mask_time_length (frames), mask_feature_prob, mask_feature_length. Dropouts as the model has
    them: hidden_dropout, attention_dropout, activation_dropout, feat_proj_dropout, final_dropout, layerdrop; of Whisper dropout, encoder_layerdrop, …
    """

    name: str = "scratch"  # hub id, folder, or scratch: a small model with random weights
    architecture: str = "wav2vec2"  # of a model from scratch
    freeze_feature_encoder: str = AUTO  # true, false; auto: frozen when starting from a checkpoint
    trainable: str = "all"  # all; decoder (the encoder is frozen), adapter (and the output layer), head (the output layer alone), lora
    lora_rank: int = 16  # of the update matrices
    lora_alpha: float = 32.0  # their scale, divided by the rank
    lora_dropout: float = 0.05
    target_lang: str | None = None  # language of an MMS adapter, ISO 639-3 with script as its checkpoint has it, e.g. ita
    task: str = "transcribe"  # of a model with task tokens: transcribe, or translate into English
    attn_implementation: str = AUTO  # auto: sdpa, or in bfloat16 on a processor, for batches whose attention scores fit into 1 GiB, eager
    timestamps: bool = False  # of a model with timestamp tokens: train on them and keep them


@dataclass
class Batch:
    """How utterances are put together."""

    seconds: float = 0.0  # s of audio per batch instead of trainer.per_device_train_batch_size; 0: off
    group_by_length: bool = True  # similar lengths together: less padding
    cache_features: str = AUTO  # true, false; auto: log-mel features are computed once, where the model hears them and augment leaves the waveform alone
    balance: str | None = None  # column of the corpus (speaker, accent, …) of which rare values are drawn more often; an epoch stays as long
    balance_exponent: float = 0.5  # 0: as the data is; 1: each value equally often


@dataclass
class Augment:
    """Changes of the waveform while training, derived from (seed, epoch, utterance)."""

    speed: float = 0.0  # +- share of the speed, e.g. 0.1: 0.9 to 1.1
    gain: float = 0.0  # +- dB
    noise_probability: float = 0.0  # share of utterances that get noise
    noise: str | None = None  # folder of recordings that it is a stretch of; none: white to pink noise
    noise_snr: tuple[float, float] = (10.0, 40.0)  # dB, range of the signal-to-noise ratio
    reverb_probability: float = 0.0  # share of utterances that are heard in a room
    reverb: str | None = None  # folder of the rooms' impulse responses
    codec_probability: float = 0.0  # share of utterances that go through a codec
    codecs: tuple[str, ...] = CODECS  # of which each time one is drawn
    band_probability: float = 0.0  # share of utterances that lack two bands of frequencies, each up to a fifth of the mel scale
    concatenate: float = 0.0  # share of utterances that are followed by a second one of the same speaker

    @property
    def changes_audio(self) -> bool:
        """Whether an utterance may sound different from time to time."""
        chances = (self.noise_probability, self.reverb_probability, self.codec_probability, self.band_probability)
        return any((self.speed, self.gain, self.concatenate, *chances))


@dataclass
class Trainer:
    """Training options that have a default here. Any other key is a field of transformers.TrainingArguments."""

    learning_rate: float = 3e-5
    num_train_epochs: float = 10.0
    max_steps: int = -1  # optimizer steps; overrides the epochs if positive
    per_device_train_batch_size: int = 8
    per_device_eval_batch_size: int = 8
    gradient_accumulation_steps: int = 1
    weight_decay: float = 0.01
    warmup_steps: float = 0.1  # steps, or below 1 a share of all steps
    lr_scheduler_type: str = "linear"  # of transformers; or tri_stage, cyclic, which lr_scheduler_kwargs shape: see training/schedules.py
    label_smoothing_factor: float = 0.0  # share of the target that goes to all tokens alike, in the loss of an encoder-decoder
    max_grad_norm: float = 1.0
    bf16: str = AUTO  # true, false; auto: where the GPU, or for a model of 2 million parameters the processor, computes in it
    fp16: str = AUTO  # true, false; auto: on GPUs without bf16
    eval_steps: int = 0  # evaluate every so many steps; 0: ten times in a run
    save_steps: int = 0  # checkpoint every so many steps; 0: with each evaluation
    save_total_limit: int = 2
    logging_steps: int = 10
    seed: int = 42


@dataclass
class Checkpoint:
    """When to stop and what to keep."""

    patience: int = 0  # evaluations without a better WER after which training stops; 0: never
    average: float = 0.0  # decay of an exponential moving average of the weights that is evaluated and kept; 0: off
    store: str = "local"  # where checkpoints are kept: on this machine alone; or the last two in the run's artifacts, too, for another machine to go on
    average_best: int = 0  # so many of the best evaluated steps are averaged at the end, and kept if that is better than the best of them; 0: off


@dataclass
class Pretraining:
    """Self-supervised pre-training (Baevski et al. 2020): the Gumbel softmax's temperature, max(end, start · decay^step), and what follows."""

    temperature_start: float = 2.0
    temperature_end: float = 0.5
    temperature_decay: float = 0.999995  # per optimizer step
    finetune: str | None = None  # recipe with which `train` goes on from the pre-trained model


@dataclass
class Gate:
    """What a candidate must show to become the champion."""

    confidence: float = 0.95  # of the two-sided interval of the WER difference
    min_gain: float = 0.002  # WER difference worth having, absolute (0.002 is 0.2 points)
    min_gain_relative: float = 0.02  # and relative to the baseline's WER; the larger one counts
    min_speakers: int = 5  # fewer never promote by themselves
    slice_margin: float = 0.01  # loss on a slice that is put up with, absolute
    slice_margin_relative: float = 0.05  # and relative to the baseline's WER on it; the larger one counts
    slice_min_speakers: int = 5  # slices of fewer are reported, not judged
    min_speed: float = 0.9  # of the baseline's speed; a candidate that is proven slower is not promoted
    guard_confidence: float = 0.95  # one-sided, of the bounds that slices and speed are held to
    power: float = 0.8  # chance to prove a difference with as many speakers as an inconclusive result asks for
    max_wer: float = 0.3  # ceiling for a first champion that has nothing to be compared with (--first)


OWN_SECTIONS = ("data", "text", "model", "batch", "augment", "trainer", "checkpoint", "pretraining", "gate")
OPEN_SECTIONS = ("model", "tokenizer", "feature_extractor", "trainer")
CHOICES = {
    "data.split": (AUTO, "source", "speaker", "random"),
    "data.duplicates": ("reject", "keep"),
    "data.transcripts": ("required", "optional"),
    "text.normalizer": (AUTO, "en", "it", "ne", "hi", "basic"),
    "text.digits": ("keep", "words", "ascii", "native"),
    "text.case": (None, "upper", "lower"),
    "model.architecture": ("wav2vec2", "wav2vec2-bert", "hubert", "wavlm", "whisper"),
    "model.trainable": ("all", "decoder", "adapter", "head", "lora"),
    "model.task": ("transcribe", "translate"),
    "model.attn_implementation": (AUTO, "sdpa", "eager"),
    "checkpoint.store": ("local", ARTIFACTS),
    "augment.codecs": CODECS,
}
VOCABULARIES = (AUTO, "checkpoint", "build")  # of text.vocabulary; anything else is a model
LARGEST_SEED = 2**32 - 1  # that NumPy takes
RANGES = {  # inclusive bounds
    "data.min_seconds": (0, None),
    "data.max_seconds": (0.02, None),
    "data.min_chars_per_second": (0, None),
    "data.max_chars_per_second": (0.01, None),
    "data.frame_rate": (1, None),
    "data.max_clipping": (0, 1),
    "data.min_level": (-100, 0),
    "data.max_missing": (0, None),
    "data.min_rate": (1, None),
    "data.max_rate": (1, None),
    "data.antiphase": (0, 1),
    "data.train_share": (0.01, 0.99),
    "data.shard_size": (1, None),
    "data.seed": (0, LARGEST_SEED),
    "data.workers": (0, None),
    "data.max_rejected": (0, 1),
    "data.fraction": (1e-6, 1),
    "data.minutes": (0, None),
    "data.sample": (0, LARGEST_SEED),
    "data.eval_utterances": (0, None),
    "model.lora_rank": (1, None),
    "model.lora_alpha": (1e-9, None),
    "model.lora_dropout": (0, 1),
    "batch.seconds": (0, None),
    "batch.balance_exponent": (0, 1),
    "augment.speed": (0, 0.5),
    "augment.gain": (0, 40),
    "augment.noise_probability": (0, 1),
    "augment.reverb_probability": (0, 1),
    "augment.codec_probability": (0, 1),
    "augment.band_probability": (0, 1),
    "augment.concatenate": (0, 1),
    "trainer.learning_rate": (0, None),
    "trainer.num_train_epochs": (1e-9, None),
    "trainer.max_steps": (-1, None),
    "trainer.per_device_train_batch_size": (1, None),
    "trainer.per_device_eval_batch_size": (1, None),
    "trainer.gradient_accumulation_steps": (1, None),
    "trainer.weight_decay": (0, None),
    "trainer.warmup_steps": (0, None),
    "trainer.eval_steps": (0, None),
    "trainer.save_steps": (0, None),
    "trainer.save_total_limit": (1, None),
    "trainer.max_grad_norm": (0, None),
    "trainer.label_smoothing_factor": (0, 0.9),
    "trainer.logging_steps": (1, None),
    "trainer.seed": (0, LARGEST_SEED),
    "checkpoint.patience": (0, None),
    "checkpoint.average": (0, 0.999999),
    "checkpoint.average_best": (0, None),
    "pretraining.temperature_start": (1e-9, None),
    "pretraining.temperature_end": (1e-9, None),
    "pretraining.temperature_decay": (0.5, 1),
    "gate.confidence": (0.5, 0.9999),
    "gate.min_gain": (0, 1),
    "gate.min_gain_relative": (0, 1),
    "gate.min_speakers": (2, None),
    "gate.slice_margin": (0, 1),
    "gate.slice_margin_relative": (0, 1),
    "gate.slice_min_speakers": (2, None),
    "gate.min_speed": (0, None),
    "gate.guard_confidence": (0.5, 0.9999),
    "gate.power": (0.5, 0.9999),
    "gate.max_wer": (0, None),
}

CHARACTERS = ("text.ignore", "text.alphabet")  # sets of characters: never a number or a list, whatever YAML takes them for
NAMES = ("text.vocabulary",)  # text, where other options with an `auto` are true or false
TRAINED = {"data.exclude", "data.fraction", "data.minutes", "data.sample", "data.eval_utterances", "text.vocabulary"}
SHARED = {"data.source", "data.seed", "text.case"}
HEARD = {"data.min_seconds", "data.max_seconds"}  # that pre-training asks of the utterances of a corpus once more
SUPERVISED = {"text.vocabulary", "tokenizer", "augment", "batch.cache_features"}  # options, and sections, that pre-training has no use for
PREPARED = {f"{name}.{item.name}" for name, section in (("data", Data), ("text", Text)) for item in fields(section)} - TRAINED - SHARED
SPELLED = {"trainer.num_train_epochs": "epochs", "trainer.max_steps": "max_steps"}  # as the command line has it
