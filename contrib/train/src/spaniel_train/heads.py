"""The vocabulary's scores of sparse encoders, pooled as they are made, with a gradient that touches what was kept alone.

A masked language model gives a score for each token of a text and each term, and a sparse encoder keeps the greatest of each
term. Those scores are the largest thing by far: 40 texts of 256 tokens over 30,522 terms are 1.25 GB in float32, and as much
again for their gradients. Here they are made for a part of the vocabulary at a time, and of each text and term the greatest
score and its place are kept. It is exact: the gradient of a maximum is that of its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

SCORES = 2**22
"""Scores made at once: 16 MiB in float32."""
_PAIRS = 2**22
"""Numbers that are gathered at once on the way back."""
DEAD = -1e4
"""A bias from which on a term is off: no score comes above 0 from there, so that none is made."""


class GreatestScores(torch.autograd.Function):
    """Hidden states → the greatest score of each term over the tokens of each text."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, mask: Tensor) -> Tensor:
        """Return relu of the greatest scores, ``(texts, terms)`` float32.

        Args:
            ctx: of autograd.
            hidden: ``(texts, tokens, hidden)``, what the matrix of the vocabulary reads.
            weight: ``(terms, hidden)``.
            bias: ``(terms,)``.
            mask: ``(texts, tokens)`` bool, which tokens count; each text has one that does.
        """
        texts, length, size = hidden.shape
        # A repeated token changes no maximum.
        first = mask.int().argmax(dim=1)
        own = torch.where(mask, torch.arange(length, device=mask.device), first[:, None])
        flat = hidden.gather(1, own[:, :, None].expand(-1, -1, size)).reshape(-1, size)
        live = torch.arange(len(weight), device=weight.device) if bias is None else (bias > DEAD).nonzero()[:, 0]
        best = torch.zeros((texts, len(weight)), device=hidden.device)
        place = torch.zeros((texts, len(live)), dtype=torch.int32, device=hidden.device)
        step = max(256, SCORES // len(flat))
        for start in range(0, len(live), step):
            part = live[start : start + step]
            scores = nn.functional.linear(flat, weight[part], None if bias is None else bias[part])
            greatest, at = scores.view(texts, length, -1).max(dim=1)
            best[:, part] = greatest.float().clamp(min=0)
            place[:, start : start + step] = at
        ctx.save_for_backward(flat, weight, live, place, best > 0)
        ctx.own, ctx.shape, ctx.has_bias = own, hidden.shape, bias is not None
        return best

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Return the gradients of hidden states, weights and bias."""
        flat, weight, live, place, above = ctx.saved_tensors
        gradient = gradient * above
        texts, length, size = ctx.shape
        values, matrix = flat.float(), weight.float()
        of_hidden = torch.zeros((texts * length, size), device=flat.device)
        of_weight = torch.zeros_like(matrix)
        column = torch.zeros(len(weight), dtype=torch.int64, device=flat.device)
        column[live] = torch.arange(len(live), device=flat.device)
        for owner, term in _pairs(gradient, max(1, _PAIRS // size)):
            amount = gradient[owner, term].float()[:, None]
            at = place[owner, column[term]].long()
            row = owner * length + ctx.own[owner, at]
            of_hidden.index_add_(0, row, amount * matrix[term])
            of_weight.index_add_(0, term, amount * values[owner * length + at])
        back = of_hidden.view(ctx.shape).to(flat.dtype)
        return back, of_weight.to(weight.dtype), gradient.sum(dim=0) if ctx.has_bias else None, None


def _pairs(gradient: Tensor, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the texts and terms that have a gradient, so many at a time."""
    owners, terms = gradient.nonzero(as_tuple=True)
    for start in range(0, len(owners), count):
        yield owners[start : start + count], terms[start : start + count]


def pool_as_made(model: nn.Module) -> int:
    """Make the sparse encoders of a model pool as their scores are made; return how many do.

    Each is a masked language model that ends in a matrix of its vocabulary, followed by max pooling. Others stay as they
    are. Parameters and files are not touched: the two modules run by other functions, that is all.
    """
    from sentence_transformers.base.modules import Router, Transformer
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    found = 0
    rows: list[list[nn.Module]] = [list(model.children())]
    for router in rows[0]:
        if isinstance(router, Router):
            rows += [list(route.children()) for route in router.sub_modules.children()]
    for row in rows:
        for reader, pooling in pairwise(row):
            if isinstance(reader, Transformer) and isinstance(pooling, SpladePooling):
                found += pooling.pooling_strategy == "max" and _join(reader, pooling)
    return found


def _join(reader: Any, pooling: Any) -> bool:
    layer = reader.model.get_output_embeddings()
    if not isinstance(layer, nn.Linear) or not _is_last(reader.model, layer):
        return False
    layer.forward = _unchanged  # type: ignore[method-assign, assignment]
    pooling.forward = partial(_pool, layer, pooling.activation_function == "log1p_relu")
    pooling.embedding_dimension = layer.out_features
    return True


def _unchanged(hidden: Tensor) -> Tensor:
    return hidden


def _pool(layer: nn.Linear, twice: bool, features: dict[str, Any]) -> dict[str, Any]:
    mask = features["attention_mask"].bool()
    best = GreatestScores.apply(features["token_embeddings"], layer.weight, layer.bias, mask)  # type: ignore[no-untyped-call]
    weights = best.log1p()
    features["sentence_embedding"] = weights.log1p() if twice else weights
    return features


@torch.no_grad()
def _is_last(model: Any, layer: nn.Linear) -> bool:
    """Whether a model's scores are what this layer makes of its input, and nothing after it."""
    was = model.training
    model.eval()
    ids = torch.arange(4, device=layer.weight.device)[None] % layer.out_features
    seen: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        scores = model(input_ids=ids).logits
        return len(seen) == 1 and torch.allclose(layer(seen[0]), scores, rtol=1e-4, atol=1e-4)
    finally:
        hook.remove()
        model.train(was)
