"""Where the passages of a text stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from spaniel.data.texts.passages import cut, sentences, windows, words_of
from spaniel.observe import loaded_property
from spaniel_neural.files import model_fingerprint
from spaniel_neural.locating import download_model

from spaniel_queries.config import Passages

if TYPE_CHECKING:
    from spaniel import Context

LAYOUT = 1
"""Version of how texts are cut; part of every corpus of passages."""


class Cutter:
    """Cuts texts into passages of words, sentences, or tokens of a model.

    Words and sentences are those of :mod:`spaniel.data.texts.passages`; passages of tokens are made of whole words.
    """

    def __init__(self, config: Passages, context: Context) -> None:
        self.config = config
        self.context = context

    def description(self) -> dict[str, Any]:
        """Return JSON that decides where passages stand."""
        config = self.config
        made: dict[str, Any] = {"layout": LAYOUT, "unit": config.unit, "size": config.size, "stride": config.stride}
        if config.tokenizer is not None:
            made["tokenizer"] = dict(model_fingerprint(config.tokenizer, None, self.context.store))
        return made

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return begin and end of each passage; at least one, which is empty where the text is."""
        size, stride = self.config.size, self.config.stride or self.config.size
        if self.config.unit == "sentences":
            found = list(windows(sentences(text), size, stride))
        elif self.config.unit == "tokens":
            words = words_of(text)
            found = list(windows(words, size, stride, self._tokens(text, words)))
        elif self.config.stride is None:
            found = list(cut(text, size))
        else:
            found = list(windows(words_of(text), size, stride))
        return found or [(0, 0)]

    @loaded_property
    def tokenizer(self) -> Any:
        """The tokenizer of the model; no code of its own is run."""
        from spaniel_lm.tokenizer import load_tokenizer

        assert self.config.tokenizer is not None
        folder = download_model(self.config.tokenizer, offline=self.context.offline)
        return load_tokenizer(str(folder), offline=True).raw

    def _tokens(self, text: str, words: Sequence[tuple[int, int]]) -> list[int]:
        """Return how many tokens begin in each word."""
        made = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        counts = [0] * len(words)
        at = 0
        for begin, end in made["offset_mapping"]:
            while at + 1 < len(words) and max(begin, end - 1) >= words[at + 1][0]:
                at += 1
            if counts:
                counts[at] += 1
        return counts
