"""The peer: preparation as Hugging Face's published run_speech_recognition_ctc.py does it, on a table of files.

Its steps in its order: load the table, remove special characters (one process, as there), build the vocabulary, cast the audio
column to 16 kHz, map every example to normalised float32 `input_values` and `labels`, filter by duration. Only the decoder is
open: `datasets` 5 decodes with torchcodec, which needs FFmpeg; where that is missing people keep the path and decode in the map.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

SAMPLE_RATE = 16_000  # Hz
LONGEST, SHORTEST = 15.0, 1.0  # s, exclusive; the bounds asrx has by default, so that both keep the same clips
IGNORED = '[,?.!;:"“%‘”�-]'  # what the script's README gives as --chars_to_ignore
DECODERS = ("torchcodec", "soundfile", "librosa")


def decoder() -> str:
    """The decoder that this environment has: torchcodec where it and its FFmpeg load, else soundfile with soxr."""
    try:
        from torchcodec.decoders import AudioDecoder  # noqa: F401
    except (ImportError, RuntimeError, OSError):  # what torchcodec raises without FFmpeg differs between its versions
        return "soundfile"
    return "torchcodec"


def preparation(table: Path, out: Path, workers: int, decode_with: str) -> Callable[[], int]:
    """A function that prepares the CSV `table` (columns path, sentence) into `out` and returns the number of utterances kept.

    Everything is imported before it is returned, so that a call does nothing but prepare. `out` gets all of the cache.
    """
    import datasets
    import transformers

    datasets.disable_progress_bars()
    out.mkdir(parents=True)
    extractor = transformers.Wav2Vec2FeatureExtractor(sampling_rate=SAMPLE_RATE)
    read = _reader(decode_with)

    def prepare() -> int:
        columns = datasets.Features(dict.fromkeys(("path", "sentence", "client_id"), datasets.Value("string")))
        data = datasets.load_dataset("csv", data_files={"train": str(table)}, features=columns, cache_dir=str(out))
        if decode_with == "torchcodec":
            data = data.cast_column("path", datasets.Audio(sampling_rate=SAMPLE_RATE))
        data = data.map(_without_special_characters, remove_columns=["sentence"])
        tokenizer = transformers.Wav2Vec2CTCTokenizer(_vocabulary(data["train"], out / "vocab.json"), word_delimiter_token="|")

        def prepare_example(example: dict[str, Any]) -> dict[str, Any]:
            example["input_values"] = extractor(read(example["path"]), sampling_rate=SAMPLE_RATE).input_values[0]
            example["input_length"] = len(example["input_values"])
            example["labels"] = tokenizer(example["target_text"]).input_ids
            return example

        data = data.map(prepare_example, remove_columns=data["train"].column_names, num_proc=workers)
        return len(data.filter(_in_range, num_proc=workers, input_columns=["input_length"])["train"])

    return prepare


def _reader(decode_with: str) -> Callable[[Any], Any]:
    """What turns an example's audio, or its path, into float samples at 16 kHz."""
    if decode_with == "torchcodec":
        return lambda audio: audio["array"]
    if decode_with == "librosa":
        import librosa

        return lambda path: librosa.load(path, sr=SAMPLE_RATE)[0]
    import soundfile
    import soxr

    def read(path: str) -> Any:
        samples, rate = soundfile.read(path, dtype="float32")
        return samples if rate == SAMPLE_RATE else soxr.resample(samples, rate, SAMPLE_RATE)

    return read


def _without_special_characters(example: dict[str, Any]) -> dict[str, Any]:
    example["target_text"] = re.sub(IGNORED, "", example["sentence"]).lower() + " "
    return example


def _vocabulary(data: Any, path: Path) -> str:
    def characters(batch: dict[str, list[str]]) -> dict[str, list[list[str]]]:
        return {"characters": [sorted(set(" ".join(batch["target_text"])))]}

    found = data.map(characters, batched=True, batch_size=-1, keep_in_memory=True, remove_columns=data.column_names)["characters"][0]
    tokens = ["[PAD]", "[UNK]", "|", *(character for character in found if character != " ")]
    path.write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    return str(path)


def _in_range(length: int) -> bool:
    return SHORTEST * SAMPLE_RATE < length < LONGEST * SAMPLE_RATE
