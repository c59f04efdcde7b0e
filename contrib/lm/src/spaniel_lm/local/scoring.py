"""Log-probabilities of given tokens: a prompt is read once, however many continuations it has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from spaniel import UsageError
from spaniel_neural.batching import batch_by_length
from spaniel_neural.loading import Transformer

from spaniel_lm.local.decoder import Decoder

Pair = tuple[list[int], list[int]]
"""Tokens of a prompt, and tokens of its continuation."""
LOGITS = 1024
"""Places whose logits are held at once: over a vocabulary of 150,000 tokens these are 0.6 GB."""


def score(decoder: Decoder, pairs: Sequence[Pair], budget: int, rows: int | None) -> list[NDArray[np.float32]]:
    """Return the log-probability of each token of each continuation, ``(tokens,)`` float32.

    Args:
        budget: tokens of a batch at most, padding included.
        rows: prompts, and continuations, of a batch at most.
    """
    wanted: dict[tuple[int, ...], dict[tuple[int, ...], list[int]]] = {}
    for at, (prompt, continuation) in enumerate(pairs):
        wanted.setdefault(tuple(prompt), {}).setdefault(tuple(continuation), []).append(at)
    made: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(pairs)
    prompts = list(wanted)
    with decoder.sharing(prompts):
        for batch in batch_by_length(np.fromiter(map(len, prompts), np.int64, len(prompts)), budget, rows):
            chosen = [prompts[at] for at in batch]
            state, first = decoder.begin(chosen)
            first = torch.log_softmax(first, -1)
            flat = [(row, one, places) for row, key in enumerate(chosen) for one, places in wanted[key].items()]
            # Every row keeps its prompt, so that counts, too.
            width = max(map(len, chosen))
            lengths = np.array([width + len(one) for _, one, _ in flat], np.int64)
            for part in batch_by_length(lengths, budget, rows):
                some = [flat[at] for at in part]
                values = _continue(decoder, state, first, [(row, one) for row, one, _ in some])
                for (_, one, places), value in zip(some, values, strict=True):
                    for at in places:
                        made[at] = value[: len(one)]
            decoder.transformer.finished(len(batch))
    return made


def _continue(
    decoder: Decoder, state: object, first: torch.Tensor, rows: Sequence[tuple[int, Sequence[int]]]
) -> NDArray[np.float32]:
    """Return the log-probabilities of continuations of rows that were read: ``(continuations, longest)``."""
    import copy

    width = max(len(one) for _, one in rows)
    tokens = torch.tensor([[*one] + [0] * (width - len(one)) for _, one in rows], device=first.device)
    source = torch.tensor([row for row, _ in rows], device=first.device)
    gained = first[source].gather(1, tokens[:, :1])
    if width > 1:
        branch = copy.copy(state)
        branch.cache = copy.deepcopy(state.cache)  # type: ignore[attr-defined]
        branch.select(source)  # type: ignore[attr-defined]
        parts = [gained]
        step = max(1, LOGITS // len(rows))
        for start in range(0, width - 1, step):
            read, following = tokens[:, start : min(start + step, width - 1)], tokens[:, start + 1 : start + step + 1]
            logits = decoder.extend(branch, read)  # type: ignore[arg-type]
            parts.append(torch.log_softmax(logits, -1).gather(2, following[:, :, None])[:, :, 0])
        gained = torch.cat(parts, 1)
    return gained.cpu().numpy().astype(np.float32)


def fill(
    transformer: Transformer, pairs: Sequence[Pair], mask: int, budget: int, rows: int | None
) -> list[NDArray[np.float32]]:
    """Return the log-probabilities of tokens in the place of a masked one, which all are masked at once.

    A continuation of ``n`` tokens is scored where the prompt's mask has become ``n`` masks (Schick and Schütze, 2021, with
    one pass).
    """
    opened = [_open(prompt, len(one), mask) for prompt, one in pairs]
    logits = masked_logits(transformer, [ids for ids, _ in opened], mask, budget, rows)
    return [
        torch.log_softmax(values, -1).gather(1, torch.tensor(one, device=values.device)[:, None])[:, 0].cpu().numpy()
        for values, (_, one) in zip(logits, pairs, strict=True)
    ]


def masked_logits(
    transformer: Transformer, prompts: Sequence[list[int]], mask: int, budget: int, rows: int | None
) -> list[torch.Tensor]:
    """Return the logits at the masks of each prompt, ``(masks, vocabulary)`` float32; equal prompts are read once."""
    from spaniel_lm.local.reading import read

    distinct = list(dict.fromkeys(map(tuple, prompts)))
    made: dict[tuple[int, ...], torch.Tensor] = {}
    for places, ids, output in read(transformer, distinct, budget, rows):
        for row, at in enumerate(places):
            made[distinct[at]] = output.logits[row][ids[row] == mask].float()
    return [made[tuple(prompt)] for prompt in prompts]


def _open(prompt: list[int], count: int, mask: int) -> tuple[list[int], int]:
    places = [at for at, token in enumerate(prompt) if token == mask]
    if len(places) != 1:
        raise UsageError(f"a masked model's prompt has its mask token once, and this one {len(places)} times")
    at = places[0]
    return [*prompt[:at], *[mask] * count, *prompt[at + 1 :]], at
