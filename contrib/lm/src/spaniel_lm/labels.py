"""Scores of label texts: how likely a model finds each label behind each text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError

from spaniel_lm.capabilities import require
from spaniel_lm.protocol import Prompt

Reduce = Literal["sum", "mean", "first"]
PLACE = "{text}"


class LabelScorer:
    """Texts x labels → log-scores.

    Over a language model, the log-probability of the label after the text (for a masked model: in the place of its mask
    token), by token: their sum, their mean, or the first one's. They are exact for labels of several tokens, and each text
    is read once. Over a cross-encoder or a bi-encoder, its score of text and label.

    Args:
        model: a language model, a pointwise reranker with ``score``, or an encoder of dense vectors.
        reduce: of a label's tokens, ``sum``, ``mean`` or ``first``; encoders have no tokens, and take ``sum`` alone.
        prompt: what a language model is given, a text with ``{text}`` in the text's place, or a function of the text that
            returns any prompt.
        normalise: whether the scores of a text become log-probabilities over the labels.

    Raises:
        UsageError: the model can do none of this, or the options do not suit it.
    """

    def __init__(
        self,
        model: Any,
        reduce: Reduce = "sum",
        prompt: str | Callable[[str], Prompt] = PLACE,
        normalise: bool = False,
    ) -> None:
        if reduce not in get_args(Reduce):
            raise UsageError(f"reduce={reduce!r}; there are {', '.join(get_args(Reduce))}")
        if isinstance(prompt, str) and PLACE not in prompt:
            raise UsageError(f"the prompt {prompt!r} has no {PLACE}")
        self.model, self.reduce, self.prompt, self.normalise = model, reduce, prompt, normalise
        if hasattr(model, "logprobs"):
            require(model, "logprobs")
            self._score = self._by_language_model
        elif callable(getattr(model, "score", None)):
            self._score = self._by_pairs
        elif hasattr(model, "encode"):
            self._score = self._by_vectors
        else:
            raise UsageError(f"{type(model).__name__} scores no labels: give a language model, a scorer or an encoder")
        if reduce != "sum" and not hasattr(model, "logprobs"):
            raise UsageError(f"reduce={reduce}: only language models score labels by token")

    def score(self, texts: Sequence[str], labels: Sequence[str]) -> NDArray[np.float32]:
        """Return log-scores, ``(texts, labels)`` float32."""
        if not texts or not labels:
            return np.empty((len(texts), len(labels)), np.float32)
        scores = self._score(texts, labels)
        if self.normalise:
            wide = scores.astype(np.float64)
            scores = wide - np.logaddexp.reduce(wide, axis=1, keepdims=True)
        return np.ascontiguousarray(scores, np.float32)

    def _by_language_model(self, texts: Sequence[str], labels: Sequence[str]) -> NDArray[np.floating[Any]]:
        prompts = [
            self.prompt.replace(PLACE, text) if isinstance(self.prompt, str) else self.prompt(text) for text in texts
        ]
        tokens: Sequence[Any] = labels
        can = self.model.capabilities
        if self.reduce == "first" and "tokens" in can:
            tokens = [ids[:1] for ids in self.model.tokenize(labels)]
            if "next-logits" in can and not _is_masked(self.model):
                logits = self.model.next_logits(prompts).astype(np.float64)
                logits -= np.logaddexp.reduce(logits, axis=1, keepdims=True)
                empty = next((label for label, ids in zip(labels, tokens, strict=True) if not ids), None)
                if empty is not None:
                    raise UsageError(f"the label {empty!r} has no token")
                first: NDArray[np.float64] = logits[:, [ids[0] for ids in tokens]]
                return first
        pairs = [(prompt, label) for prompt in prompts for label in tokens]
        made = self.model.logprobs([prompt for prompt, _ in pairs], [label for _, label in pairs])
        values = [self._reduced(scored.logprobs) for scored in made]
        return np.array(values, np.float64).reshape(len(texts), len(labels))

    def _reduced(self, logprobs: NDArray[np.float32]) -> float:
        wide = logprobs.astype(np.float64)
        return float(wide[0] if self.reduce == "first" else wide.mean() if self.reduce == "mean" else wide.sum())

    def _by_pairs(self, texts: Sequence[str], labels: Sequence[str]) -> NDArray[np.floating[Any]]:
        left = [text for text in texts for _ in labels]
        scores: NDArray[np.floating[Any]] = np.asarray(self.model.score(left, [*labels] * len(texts)))
        return scores.reshape(len(texts), len(labels))

    def _by_vectors(self, texts: Sequence[str], labels: Sequence[str]) -> NDArray[np.floating[Any]]:
        given = [self.model.encode(side, role) for side, role in ((texts, "query"), (labels, "document"))]
        if any("dense" not in one for one in given):
            raise UsageError(f"{type(self.model).__name__} gives no dense vectors to compare texts and labels by")
        queries, documents = (np.asarray(one["dense"].values, np.float32) for one in given)
        return queries @ documents.T


def _is_masked(model: Any) -> bool:
    return getattr(model, "task", "") == "masked-lm"
