"""Greedy decoding with a Whisper model: tokens and their probabilities, loops noticed as they close."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from .loops import Loop, ends_in_loop, find_loop
from .whisper_tokens import WhisperTokens

SHORTEST_NGRAM = 3  # tokens; what a second decoding may not repeat, at least
TOKENS_PER_SECOND = 50  # 17 characters of Devanagari in a vocabulary of bytes: faster than anybody speaks
SPARE_TOKENS = 20  # that even the shortest recording may have


@dataclass
class Decoding:
    """What one row of a batch was decoded to."""

    tokens: list[int] = field(default_factory=list)  # text and timestamps
    log_probabilities: list[float] = field(default_factory=list)  # of the tokens, parallel
    end: float | None = None  # log-probability of the end token, where it came
    no_speech: float = 0.0  # probability that nobody speaks, as the model says before anything else
    loop: Loop | None = None  # among the text tokens

    @property
    def plausible(self) -> bool:
        """Whether it came to an end by itself."""
        return self.end is not None and self.loop is None


class GreedyDecoder:
    """Most probable tokens one after the other, with what the generation config suppresses left out."""

    def __init__(self, model: Any, tokens: WhisperTokens, timestamps: bool) -> None:
        self._model, self._tokens, self._timestamps = model, tokens, timestamps
        suppressed, at_begin = (getattr(model.generation_config, f"{name}suppress_tokens", None) or () for name in ("", "begin_"))
        allowed = tokens.text - set(suppressed) | {tokens.end} | set(tokens.timestamps if timestamps else ())
        self._banned = self._mask(set(range(model.config.vocab_size)) - allowed)
        self._banned_first = self._mask(set(at_begin)) | self._banned

    def detect_languages(self, states: torch.Tensor) -> torch.Tensor:
        """The id of the most probable language of each row, shape (batch,)."""
        ids = torch.tensor(list(self._tokens.languages.values()), device=states.device)
        start = torch.full((len(states), 1), self._tokens.start, device=states.device)
        logits = self._model(encoder_outputs=(states,), decoder_input_ids=start, use_cache=False).logits[:, -1]
        return ids[logits[:, ids].argmax(-1)]

    def decode(self, states: torch.Tensor, prompts: torch.Tensor, seconds: Sequence[float]) -> list[Decoding]:
        """Decode encoder states (batch, positions, width) after `prompts` (batch, tokens); `seconds` of sound in each row.

        What loops, or is longer than speech can be, is decoded again without repeated n-grams. If that comes to no end of its
        own either, the first decoding is cut at its first repetition.
        """
        room = self._model.config.max_target_positions - prompts.shape[1]
        limits = [min(room, int(TOKENS_PER_SECOND * length) + SPARE_TOKENS) for length in seconds]
        found = self._greedy(states, prompts, limits)
        # A decoder without room for the text of a whole window cuts speech, too; only what outlasts speech is no speech.
        suspects = [row for row, item in enumerate(found) if item.loop or (item.end is None and limits[row] < room)]
        sizes = {row: max(SHORTEST_NGRAM, found[row].loop.period + 1 if found[row].loop else 0) for row in suspects}
        for size in sorted(set(sizes.values())):
            rows = [row for row in suspects if sizes[row] == size]
            again = self._greedy(states[rows], prompts[rows], [limits[row] for row in rows], size)
            for row, item in zip(rows, again, strict=True):
                found[row] = item if item.plausible else self._cut(found[row])
        return found

    def _greedy(self, states: torch.Tensor, prompts: torch.Tensor, limits: list[int], ngram: int = 0) -> list[Decoding]:
        processors = self._processors(prompts.shape[1], ngram)
        found = [Decoding() for _ in limits]
        open_rows = set(range(len(found)))
        ids, newest, cache = prompts, prompts, None
        while open_rows:
            output = self._model(encoder_outputs=(states,), decoder_input_ids=newest, past_key_values=cache, use_cache=True)
            logits, first = output.logits[:, -1].float(), cache is None
            if first:
                self._note_speech(found, output.logits[:, 0].float())
            scores = logits.masked_fill(self._banned_first if first else self._banned, -torch.inf)
            for processor in processors:
                scores = processor(ids, scores)
            newest, cache = scores.argmax(-1, keepdim=True), output.past_key_values
            ids = torch.cat([ids, newest], dim=1)
            chosen = torch.log_softmax(logits, -1).gather(1, newest)
            for row, (token, score) in enumerate(zip(newest[:, 0].tolist(), chosen[:, 0].tolist(), strict=True)):
                if row in open_rows and not self._goes_on(found[row], token, score, limits[row]):
                    open_rows.remove(row)
        return found

    def _goes_on(self, item: Decoding, token: int, log_probability: float, limit: int) -> bool:
        """Add a token; whether more are to come."""
        if token == self._tokens.end:
            item.end = log_probability
            return False
        item.tokens.append(token)
        item.log_probabilities.append(log_probability)
        said = [one for one in item.tokens if one in self._tokens.text]
        if token in self._tokens.text and ends_in_loop(said):
            item.loop = find_loop(said)
        return item.loop is None and len(item.tokens) < limit

    def _processors(self, begin: int, ngram: int) -> list[Any]:
        from transformers import GenerationConfig
        from transformers.generation import NoRepeatNGramLogitsProcessor, WhisperTimeStampLogitsProcessor

        processors: list[Any] = [NoRepeatNGramLogitsProcessor(ngram)] if ngram else []
        if self._timestamps:
            latest = getattr(self._model.generation_config, "max_initial_timestamp_index", None)
            rules = GenerationConfig(eos_token_id=self._tokens.end, no_timestamps_token_id=self._tokens.no_timestamps, max_initial_timestamp_index=latest)
            processors.append(WhisperTimeStampLogitsProcessor(rules, begin_index=begin))
        return processors

    def _note_speech(self, found: list[Decoding], logits: torch.Tensor) -> None:
        """`logits` (batch, vocabulary) are those right after the start token."""
        if self._tokens.no_speech is None:
            return
        for item, probability in zip(found, torch.softmax(logits, -1)[:, self._tokens.no_speech].tolist(), strict=True):
            item.no_speech = probability

    def _cut(self, item: Decoding) -> Decoding:
        if item.loop is None:
            return item
        said = [index for index, token in enumerate(item.tokens) if token in self._tokens.text]
        kept = said[item.loop.end - 1] + 1
        return Decoding(item.tokens[:kept], item.log_probabilities[:kept], None, item.no_speech)

    def _mask(self, ids: set[int]) -> torch.Tensor:
        size = self._model.config.vocab_size
        mask = torch.zeros(size, dtype=torch.bool)
        mask[[index for index in ids if index < size]] = True
        return mask.to(self._model.device)
