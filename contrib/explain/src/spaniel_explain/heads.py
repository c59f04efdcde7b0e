"""What each attention head does for a score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from spaniel import Contribution, Corpus, Explanation
from spaniel_neural.capture import capture
from spaniel_neural.walking import walk
from torch import Tensor

from spaniel_explain.config import HeadConfig
from spaniel_explain.reading import Reading, can_read, check_score, read

if TYPE_CHECKING:
    from spaniel import Context


class HeadGradients:
    """A head's contribution is its output times the score's gradient by it, summed over tokens and dimensions.

    That is, to first order, by how much the score falls when the head gives nothing (Michel et al., 2019, section 4.1, with
    its sign). Heads act on each other, so it does not add up; the rest is the remainder.
    """

    def __init__(self, config: HeadConfig, context: Context) -> None:
        self.config = config
        self.context = context

    def accepts(self, target: Any) -> bool:
        """Return whether the stage has a transformer that can be read."""
        return can_read(self.context, target)

    def explain(self, target: Any, query: str, rows: Sequence[int], corpus: Corpus) -> Sequence[Explanation]:
        """Explain the scores of documents for a query.

        Raises:
            UsageError: the target's score cannot be differentiated, or its architecture is unknown.
        """
        made = []
        for row, document in zip(rows, corpus.documents(rows), strict=True):
            reading = read(self.context, target, query, document, self.config.side)
            score, layers = self._layers(reading)
            check_score(self.context, score, target, query, row, corpus, "head-gradients")
            self.context.count("model calls", 1)
            parts = tuple(_layer(number, heads.tolist()) for number, heads in enumerate(layers, 1))
            remainder = score - sum(part.score for part in parts)
            parameters = {"side": self.config.side}
            made.append(
                Explanation("head-gradients", "head-gradients", query, document.id, score, parts, remainder, parameters)
            )
        return made

    def _layers(self, reading: Reading) -> tuple[float, list[Tensor]]:
        """Return the score, and for each layer what its heads contribute, ``(heads,)``."""
        attentions = [block.attention for block in walk(reading.transformer.model).blocks]
        names = [attention.o.name for attention in attentions]
        embedded = reading.embedded(reading.inputs["input_ids"]).requires_grad_()
        with torch.enable_grad(), capture(reading.transformer.model, names) as taps:
            score = reading.run(embedded)
            # What goes into the projection of the outputs are the heads' outputs, side by side.
            outputs = [taps[name].call.arguments[0] for name in names]
            gradients = torch.autograd.grad(score.sum(), outputs)
        layers = []
        for attention, output, gradient in zip(attentions, outputs, gradients, strict=True):
            products = (output.double() * gradient.double()).sum(dim=(0, 1))
            layers.append(products.view(attention.heads, -1).sum(dim=1).detach().cpu())
        return float(score[0].detach()), layers


def _layer(number: int, heads: Sequence[float]) -> Contribution:
    children = tuple(Contribution(f"head {at}", value, "head") for at, value in enumerate(heads, 1))
    return Contribution(f"layer {number}", sum(heads), "layer", children)
