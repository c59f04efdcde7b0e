"""Views of passages, anchors of lists, and their scores."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from spaniel_neural.capture import eager_attention
from torch import Tensor, nn
from torch.nn import functional

from spaniel_mvp.settings import Settings


class Decoded(NamedTuple):
    """What one decoding step says of lists.

    Attributes:
        anchors: ``(lists, views, dimensions)`` float32.
        attention: ``(lists, views, passages)`` float32, what each anchor attends to, the mean over heads and layers;
            ``None`` where it was not asked for.
    """

    anchors: Tensor
    attention: Tensor | None = None


class ViewModel(nn.Module):
    """An encoder of pairs and a decoder of lists (Na et al., 2025, section 3).

    It holds models of transformers and changes none of their classes, so that each part loads and saves as it does there.

    Args:
        base: an encoder and decoder together, or an encoder alone.
        head: with an encoder alone, the model whose decoder is used.
        settings: of the model.
    """

    def __init__(self, base: Any, head: Any | None, settings: Settings) -> None:
        super().__init__()
        self.base = base
        self.head = head
        self.settings = settings

    @property
    def encoder(self) -> Any:
        """What reads a pair."""
        return self.base.get_encoder() if self.head is None else self.base

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self._start.device

    @property
    def _start(self) -> Tensor:
        """The embedding that the decoder begins with, ``(dimensions,)``."""
        whole = self.base if self.head is None else self.head
        start = whole.config.decoder_start_token_id
        weight: Tensor = whole.get_input_embeddings().weight
        return weight[whole.config.pad_token_id if start is None else start]

    def relevance(self, output: Any) -> Tensor:
        """Return the relevance vectors in the encoder's output, equation 3: ``(pairs, views, dimensions)`` float32.

        They are what the last layer says at the tokens of the views, which come first in every prompt.
        """
        states: Tensor = output.last_hidden_state[:, : self.settings.views]
        return states.float()

    def decode(self, relevance: Tensor, filled: Tensor | None = None, attention: bool = False) -> Decoded:
        """Take one decoding step over the relevance vectors of each view.

        Views do not see each other. The decoder knows no order, so anchors do not depend on the passages' order beyond
        rounding.

        Args:
            relevance: ``(lists, passages, views, dimensions)``.
            filled: ``(lists, passages)`` bool, which passages are there; by default all. Each list must have one.
            attention: whether the weights of the attention are returned, too.
        """
        lists, passages, views, width = relevance.shape
        decoder = (self.base if self.head is None else self.head).get_decoder()
        memory = relevance.transpose(1, 2).reshape(lists * views, passages, width).to(self._start.dtype)
        given: dict[str, Any] = {}
        if filled is not None and not bool(filled.all()):
            given["encoder_attention_mask"] = filled.repeat_interleave(views, dim=0).to(torch.long)
        given["inputs_embeds"] = self._start.expand(lists * views, 1, width)
        given["encoder_hidden_states"] = memory
        if not attention:
            output = decoder(**given, use_cache=False)
            return Decoded(output.last_hidden_state[:, 0].float().reshape(lists, views, width))
        with eager_attention(self.base if self.head is None else self.head):
            output = decoder(**given, use_cache=False, output_attentions=True)
        weights = torch.stack([layer[:, :, 0].float().mean(dim=1) for layer in output.cross_attentions]).mean(dim=0)
        anchors = output.last_hidden_state[:, 0].float().reshape(lists, views, width)
        return Decoded(anchors, weights.reshape(lists, views, passages))

    def compare(self, relevance: Tensor, anchors: Tensor) -> Tensor:
        """Return the score of each passage in each view, ``(lists, views, passages)`` float32: anchor times vector."""
        vectors = relevance.float()
        if self.settings.score == "cosine":
            vectors, anchors = functional.normalize(vectors, dim=-1), functional.normalize(anchors, dim=-1)
        return self.settings.scale * torch.einsum("lnvd,lvd->lvn", vectors, anchors)


def aggregate(scores: Tensor, how: str | int) -> Tensor:
    """Return one score a passage, ``(lists, passages)``, of ``(lists, views, passages)``.

    ``"mean"`` is the paper's; ``"logsumexp"`` a smooth maximum, less the logarithm of the number of views, so that views
    that agree give their score; a number takes one view.
    """
    if isinstance(how, int):
        return scores[:, how]
    if how == "max":
        return scores.amax(dim=1)
    if how == "logsumexp":
        views = torch.tensor(float(scores.shape[1]), device=scores.device)
        return scores.logsumexp(dim=1) - views.log()
    return scores.mean(dim=1)
