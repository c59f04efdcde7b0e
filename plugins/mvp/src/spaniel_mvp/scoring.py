"""Pairs → relevance vectors, and lists → scores, in batches that cross lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from spaniel_neural.batching import Batch, run_batches

from spaniel_mvp.loading import Loaded
from spaniel_mvp.model import Decoded

if TYPE_CHECKING:
    from spaniel import Context

_VECTORS = 65_536
"""Relevance vectors that are decoded together, padding included."""


class Views(NamedTuple):
    """The views of one list.

    Attributes:
        scores: ``(views, passages)`` float32.
        anchors: ``(views, dimensions)`` float32.
        attention: ``(views, passages)`` float32, what each anchor attends to; ``None`` where it was not asked for.
    """

    scores: NDArray[np.float32]
    anchors: NDArray[np.float32]
    attention: NDArray[np.float32] | None = None


def encode_pairs(
    context: Context, loaded: Loaded, queries: Sequence[str], passages: Sequence[str]
) -> NDArray[np.float32]:
    """Return the relevance vectors of pairs: ``(pairs, views, dimensions)`` float32; one pass of the encoder a pair.

    Pairs of like length go through it together, whatever their lists; what is not a view is dropped at once.
    """
    tokens = loaded.prompter.tokens(queries, passages)

    def step(output: object, batch: Batch) -> torch.Tensor:
        return loaded.model.relevance(output)

    rows, calls = run_batches(loaded.reader, tokens, step, context.batch_size)
    context.count("model calls", calls)
    context.count("tokens", len(tokens.ids))
    context.count("pairs encoded", len(tokens))
    return rows


def score_lists(
    context: Context,
    loaded: Loaded,
    relevance: NDArray[np.float32],
    lengths: Sequence[int],
    attention: bool = False,
) -> list[Views]:
    """Return the views of lists, given the relevance vectors of their pairs, one list after the other.

    Lists of like length take their one decoding step together, filled up to the longest; a list without a passage takes
    none.

    Args:
        relevance: ``(all passages, views, dimensions)``.
        lengths: passages of each list.
        attention: whether what the anchors attend to is returned, too.
    """
    settings = loaded.model.settings
    width = relevance.shape[-1] if relevance.ndim == 3 else 0
    sizes = np.asarray(lengths, np.int64)
    starts = np.cumsum(sizes) - sizes
    empty = Views(np.zeros((settings.views, 0), np.float32), np.zeros((settings.views, width), np.float32))
    made = [empty] * len(sizes)
    order = [place for place in np.argsort(-sizes, kind="stable").tolist() if sizes[place]]
    at = 0
    while at < len(order):
        longest = int(sizes[order[at]])
        together = max(1, _VECTORS // (longest * settings.views))
        chosen = order[at : at + min(together, context.batch_size or together)]
        at += len(chosen)
        columns = np.arange(longest)
        filled = columns < sizes[chosen, None]
        block = relevance[np.where(filled, starts[chosen, None] + columns, 0)]
        decoded, scores = _decode(loaded, block, filled, attention)
        context.count("decoding steps", 1)
        for number, place in enumerate(chosen):
            size = int(sizes[place])
            weights = None if decoded.attention is None else _array(decoded.attention[number, :, :size])
            made[place] = Views(_array(scores[number, :, :size]), _array(decoded.anchors[number]), weights)
    return made


def _decode(
    loaded: Loaded, block: NDArray[np.float32], filled: NDArray[np.bool_], attention: bool
) -> tuple[Decoded, torch.Tensor]:
    with torch.inference_mode():
        vectors = torch.from_numpy(block).to(loaded.reader.device)
        with loaded.reader.autocast():
            decoded = loaded.model.decode(vectors, torch.from_numpy(filled).to(vectors.device), attention)
        return decoded, loaded.model.compare(vectors, decoded.anchors)


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    made: NDArray[np.float32] = tensor.float().cpu().numpy()
    return made
