"""Texts → token numbers → batches of like length, under a budget of tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from spaniel import UsageError

from spaniel_neural.loading import Transformer

TOKENS = {"cpu": 1024}
"""Tokens in a batch, by type of device: on a CPU what fits its caches, measured; elsewhere :data:`MANY_TOKENS`."""
MANY_TOKENS = 65_536


@dataclass(frozen=True, eq=False)
class Tokens:
    """The token numbers of texts, one text after the other.

    Attributes:
        ids: ``(all tokens,)`` int64.
        lengths: ``(texts,)`` int64.
        types: ``(all tokens,)`` int64, which of a pair's texts a token is of; ``None`` where the model does not ask.
    """

    ids: NDArray[np.int64]
    lengths: NDArray[np.int64]
    types: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Where each text begins: ``(texts,)`` int64."""
        return np.cumsum(self.lengths) - self.lengths


@dataclass(frozen=True, eq=False)
class Batch:
    """Texts of like length, padded on the right.

    Attributes:
        positions: which texts these are: ``(texts,)`` int64.
        inputs: what the model is called with; there is no attention mask where nothing is padded.
        lengths: ``(texts,)`` int64, on the model's device.
    """

    positions: NDArray[np.int64]
    inputs: dict[str, torch.Tensor]
    lengths: torch.Tensor

    @property
    def tokens(self) -> int:
        """Tokens without padding."""
        return int(self.lengths.sum())


def tokenize(
    tokenizer: Any,
    texts: Sequence[str],
    pairs: Sequence[str] | None = None,
    *,
    max_length: int | None = None,
    truncate: str = "longest_first",
) -> Tokens:
    """Return the tokens of texts, or of pairs of texts, with the tokenizer's special tokens.

    Args:
        pairs: the second text of each pair.
        max_length: tokens after which a text, or a pair together, is cut off.
        truncate: what of a pair is cut: ``"longest_first"``, ``"only_first"`` or ``"only_second"``.

    Raises:
        UsageError: there are more texts than second texts, or the reverse; or a pair cannot be cut as asked.
    """
    if pairs is not None and len(pairs) != len(texts):
        raise UsageError(f"{len(texts)} texts and {len(pairs)} to pair them with")
    if not texts:
        return Tokens(np.empty(0, np.int64), np.empty(0, np.int64))
    typed = pairs is not None and "token_type_ids" in tokenizer.model_input_names
    try:
        made = tokenizer(
            list(texts),
            None if pairs is None else list(pairs),
            truncation=truncate if max_length is not None else False,
            max_length=max_length,
            return_attention_mask=False,
            return_token_type_ids=typed,
            verbose=False,
        )
    except ValueError as error:
        raise UsageError(f"texts cannot be cut to {max_length} tokens by {truncate}: {error}") from error
    ids = made["input_ids"]
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    return Tokens(_flat(ids, lengths), lengths, _flat(made["token_type_ids"], lengths) if typed else None)


def _flat(rows: Sequence[Sequence[int]], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.fromiter(chain.from_iterable(rows), np.int64, int(lengths.sum()))


def batch_by_length(lengths: NDArray[np.int64], tokens: int, texts: int | None = None) -> Iterator[NDArray[np.int64]]:
    """Yield positions of texts, the longest first, so that a batch holds ``tokens`` at most, padding included.

    A text that is longer than that is a batch of its own; texts of length 0 are left out; ``texts`` bounds a batch too.
    """
    order = np.argsort(-lengths, kind="stable")
    order = order[: int((lengths > 0).sum())]
    start = 0
    while start < len(order):
        size = max(1, tokens // int(lengths[order[start]]))
        end = start + min(size, texts or size)
        yield order[start:end]
        start = end


def batches(
    transformer: Transformer, tokens: Tokens, texts: int | None = None, budget: int | None = None
) -> Iterator[Batch]:
    """Yield batches on the model's device, the longest texts first; texts without a token are left out.

    Args:
        texts: texts of a batch at most, such as the session's batch size.
        budget: tokens of a batch at most; by default what suits the device.
    """
    budget = budget or TOKENS.get(transformer.device.type, MANY_TOKENS)
    for positions in batch_by_length(tokens.lengths, budget, texts):
        yield make_batch(transformer, tokens, positions)
        transformer.finished(len(positions))


def make_batch(transformer: Transformer, tokens: Tokens, positions: NDArray[np.int64]) -> Batch:
    """Return some texts as one batch, in their order; each must have a token."""
    lengths = tokens.lengths[positions]
    columns = np.arange(lengths.max())
    mask = columns < lengths[:, None]
    place = np.where(mask, tokens.offsets[positions, None] + columns, 0)
    filled = {"input_ids": np.where(mask, tokens.ids[place], transformer.padding)}
    # Without padding there is nothing to mask, and attention takes its fastest path.
    if not mask.all():
        filled["attention_mask"] = mask.astype(np.int64)
    if tokens.types is not None:
        filled["token_type_ids"] = np.where(mask, tokens.types[place], 0)
    inputs = {name: torch.from_numpy(array).to(transformer.device) for name, array in filled.items()}
    return Batch(positions, inputs, torch.from_numpy(lengths).to(transformer.device))


def run_batches(
    transformer: Transformer,
    tokens: Tokens,
    step: Callable[[Any, Batch], torch.Tensor],
    texts: int | None = None,
    **arguments: Any,
) -> tuple[NDArray[np.float32], int]:
    """Run a model over texts without gradients, and gather one row a text.

    Args:
        step: makes ``(texts of the batch, …)`` of the model's output and the batch.
        texts: texts of a batch at most.
        arguments: given to the model beside the batch, such as ``output_hidden_states=True``.

    Returns:
        ``(texts, …)`` float32 in the order of the texts, zeros for a text without a token; and the number of batches.
        Where no text has a token the rows have no further axes.
    """
    made: list[torch.Tensor] = []
    order: list[NDArray[np.int64]] = []
    with torch.inference_mode(), transformer.autocast():
        for batch in batches(transformer, tokens, texts):
            made.append(step(transformer.model(**batch.inputs, **arguments), batch).float())
            order.append(batch.positions)
    if not made:
        return np.zeros(len(tokens), np.float32), 0
    gathered = torch.cat(made).cpu().numpy()
    rows = np.zeros((len(tokens), *gathered.shape[1:]), np.float32)
    rows[np.concatenate(order)] = gathered
    return rows, len(made)
