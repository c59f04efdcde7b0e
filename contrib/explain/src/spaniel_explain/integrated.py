"""Gradients of a score by the vectors of its tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from spaniel import Contribution, Corpus, Document, Explanation, UsageError
from torch import Tensor

from spaniel_explain.config import GradientConfig
from spaniel_explain.pooling import pooled
from spaniel_explain.quadrature import nodes
from spaniel_explain.reading import Reading, can_read, check_score, read

if TYPE_CHECKING:
    from spaniel import Context

TOKENS = 2048
"""Tokens of a batch of points on the path."""


class Gradients(ABC):
    """Explains by gradients; subclasses say what they make of them."""

    name = ""

    def __init__(self, config: GradientConfig, context: Context) -> None:
        self.config: Any = config
        self.context = context

    def accepts(self, target: Any) -> bool:
        """Return whether the stage has a transformer that can be read."""
        return can_read(self.context, target)

    def explain(self, target: Any, query: str, rows: Sequence[int], corpus: Corpus) -> Sequence[Explanation]:
        """Explain the scores of documents for a query.

        Raises:
            UsageError: the target's score cannot be differentiated, or its model is read otherwise than it scores.
        """
        made = []
        for row, document in zip(rows, corpus.documents(rows), strict=True):
            side = self.config.side
            reading = read(self.context, target, query, document, side)
            score, values, baseline = self.attribute(reading)
            check_score(self.context, score, target, query, row, corpus, self.name)
            made.append(self._explained(query, document, reading, score, values, baseline))
        return made

    @abstractmethod
    def attribute(self, reading: Reading) -> tuple[float, NDArray[np.float64], float]:
        """Return the score, what each token contributes, ``(tokens,)``, and the score that is none's."""

    def _explained(
        self,
        query: str,
        document: Document,
        reading: Reading,
        score: float,
        values: NDArray[np.float64],
        baseline: float,
    ) -> Explanation:
        side = self.config.side
        text = query if side == "query" else document.contents
        parts = pooled(text, side, reading.spots, values, self.config.pieces)
        named = sum(part.score for part in parts)
        rest = float(values.sum()) - named
        if abs(rest) > 1e-9:
            parts.append(Contribution("(special tokens)", rest, "token"))
        if baseline:
            parts.append(Contribution("(baseline)", baseline, "baseline", note="the score of the text of empty tokens"))
        remainder = score - sum(part.score for part in parts)
        parameters = self.config.model_dump()
        return Explanation(self.name, self.name, query, document.id, score, tuple(parts), remainder, parameters)

    def gradient(self, reading: Reading, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores, ``(points,)``, and their gradients, as ``points``, ``(points, tokens, dimensions)``."""
        size = max(1, TOKENS // points.shape[1])
        scores, gradients = [], []
        for start in range(0, len(points), size):
            part = points[start : start + size].detach().requires_grad_()
            with torch.enable_grad():
                made = reading.run(part)
                (found,) = torch.autograd.grad(made.sum(), part)
            scores.append(made.detach())
            gradients.append(found)
            self.context.count("model calls", 1)
        return torch.cat(scores), torch.cat(gradients)


class GradientInput(Gradients):
    """The gradient at the input times the input, summed over dimensions (Shrikumar et al., 2017, section 1).

    It explains a score that is linear in the token vectors exactly; of others it leaves a remainder. Special tokens and
    those of the other text keep theirs in it.
    """

    name = "gradient-input"

    def attribute(self, reading: Reading) -> tuple[float, NDArray[np.float64], float]:
        """Return score and contributions."""
        embedded = reading.embedded(reading.inputs["input_ids"])
        scores, gradients = self.gradient(reading, embedded)
        values = (gradients[0].double() * embedded[0].double()).sum(dim=1).cpu().numpy()
        return float(scores[0]), np.where(_on_side(reading, self.config.side), values, 0.0), 0.0


class IntegratedGradients(Gradients):
    """(x - b) times the gradient's mean on the way from b to x, summed over dimensions (Sundararajan et al., 2017, eq. 1).

    On the way only tokens of the explained text change: special tokens, prompts and the other text stay, so that they
    contribute nothing. The contributions and the score of b add up to the score (proposition 1), but for what the finite
    number of steps misses: the remainder.
    """

    name = "integrated-gradients"

    def attribute(self, reading: Reading) -> tuple[float, NDArray[np.float64], float]:
        """Return score, contributions, and the baseline's score."""
        ids = reading.inputs["input_ids"]
        embedded = reading.embedded(ids)
        empty = self._empty(reading, ids, embedded)
        mine = torch.from_numpy(_on_side(reading, self.config.side)).to(embedded.device)
        base = torch.where(mine[None, :, None], empty, embedded)
        places, weights = nodes(self.config.rule, self.config.steps)
        way = torch.from_numpy(places).to(embedded.device, embedded.dtype)[:, None, None]
        _, gradients = self.gradient(reading, base + way * (embedded - base))
        mean = torch.einsum("s,std->td", torch.from_numpy(weights).to(gradients.device), gradients.double())
        values = (mean * (embedded - base)[0].double()).sum(dim=1).cpu().numpy()
        with torch.no_grad():
            ends = reading.run(torch.cat([embedded, base]))
        self.context.count("model calls", 1)
        return float(ends[0]), values, float(ends[1])

    def _empty(self, reading: Reading, ids: Tensor, embedded: Tensor) -> Tensor:
        if self.config.baseline == "zero":
            return torch.zeros_like(embedded)
        tokenizer = reading.transformer.tokenizer
        number = tokenizer.pad_token_id if self.config.baseline == "pad" else tokenizer.mask_token_id
        if number is None:
            raise UsageError(
                f"baseline={self.config.baseline}: the tokenizer in {reading.transformer.folder} has no such token; "
                "choose another one: pad, mask, zero"
            )
        return reading.embedded(torch.full_like(ids, number))


def _on_side(reading: Reading, side: str) -> NDArray[np.bool_]:
    return np.array([spot is not None and spot.side == side for spot in reading.spots])
