"""One pass over prompts, batched by length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from spaniel_neural.batching import Tokens, batch_by_length, make_batch
from spaniel_neural.loading import Transformer


def read(
    transformer: Transformer,
    prompts: Sequence[Sequence[int]],
    budget: int,
    rows: int | None,
    model: Any = None,
    **arguments: Any,
) -> Iterator[tuple[NDArray[np.int64], torch.Tensor, Any]]:
    """Yield, for each batch, which prompts it holds, their tokens padded on the right, and the model's output.

    Args:
        model: what is called; by default the whole model.
        arguments: given to it beside the batch.
    """
    lengths = np.fromiter(map(len, prompts), np.int64, len(prompts))
    flat = np.fromiter((token for prompt in prompts for token in prompt), np.int64, int(lengths.sum()))
    tokens = Tokens(flat, lengths)
    with torch.inference_mode(), transformer.autocast():
        for places in batch_by_length(lengths, budget, rows):
            batch = make_batch(transformer, tokens, places)
            yield places, batch.inputs["input_ids"], (model or transformer.model)(**batch.inputs, **arguments)
            transformer.finished(len(places))
