"""Answers token by token: the likeliest one each time, or one drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from spaniel_lm.local.decoder import Decoder
from spaniel_lm.local.ending import Ending, Found
from spaniel_lm.local.rules import Rules
from spaniel_lm.protocol import Generation


def walk(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    settings: Generation,
    rules: Rules,
    ending: Ending,
    seeds: Sequence[int],
    waited_for: Callable[[int], bool] | None = None,
) -> list[Found]:
    """Return one path a prompt; rows that have ended leave the batch.

    Args:
        seeds: of what is drawn, one a row; a row draws one number a step, whatever the other rows do.
        waited_for: whether anybody still waits for a row, asked before each token; else it ends with what it has.
    """
    state, logits = decoder.begin(prompts)
    streams = [np.random.default_rng(seed) for seed in seeds] if settings.temperature > 0 else []
    tokens: list[list[int]] = [[] for _ in prompts]
    logprobs: list[list[float]] = [[] for _ in prompts]
    scores = [0.0] * len(prompts)
    finish = ["length"] * len(prompts)
    alive = list(range(len(prompts)))
    for _ in range(settings.max_tokens):
        true = torch.log_softmax(logits, -1)
        bent = true if rules.is_empty else rules.apply(true.clone())
        dead = torch.isneginf(bent).all(-1)
        if settings.temperature > 0:
            numbers = torch.tensor([streams[row].random() for row in alive], dtype=torch.float64, device=logits.device)
            chosen = draw(bent, settings, numbers)
        else:
            chosen = bent.argmax(-1)
        place = chosen[:, None]
        gained = torch.stack([true.gather(1, place), bent.gather(1, place)])[:, :, 0].tolist()
        ended = (ending.hits(chosen) | dead).tolist()
        for at, row in enumerate(alive):
            if dead[at]:
                finish[row] = "stop"  # nothing is allowed any more
                continue
            tokens[row].append(int(chosen[at]))
            logprobs[row].append(gained[0][at])
            scores[row] += gained[1][at]
            if ended[at] or ending.stops(tokens[row]):
                ended[at], finish[row] = True, "stop"
        keep = [at for at, over in enumerate(ended) if not over and (waited_for is None or waited_for(alive[at]))]
        if not keep:
            break
        rules.advance(chosen)
        if len(keep) < len(alive):
            kept = torch.tensor(keep, device=logits.device)
            state.select(kept)
            rules.select(kept)
            chosen, alive = chosen[kept], [alive[at] for at in keep]
        if len(tokens[alive[0]]) == settings.max_tokens:
            break
        logits = decoder.step(state, chosen)
    parts = zip(tokens, logprobs, finish, scores, strict=True)
    return [Found(tuple(t), tuple(p), f, s) for t, p, f, s in parts]  # type: ignore[arg-type]


def draw(scores: Tensor, settings: Generation, numbers: Tensor) -> Tensor:
    """Return a token of each row, drawn from its scores after temperature, top-k and top-p.

    Args:
        scores: ``(rows, vocabulary)``, log-probabilities.
        settings: temperature above 0.
        numbers: ``(rows,)`` float64 from 0 to 1, which decide.
    """
    ordered, order = (scores.double() / settings.temperature).sort(dim=-1, descending=True, stable=True)
    if settings.top_k:
        ordered = ordered[:, : settings.top_k]
    chances = torch.softmax(ordered, -1)
    if settings.top_p < 1:
        before = chances.cumsum(-1) - chances
        chances = torch.where(before < settings.top_p, chances, 0.0)
    sums = chances.cumsum(-1)
    # Of what adds nothing, such as what is not allowed, none is drawn: the last token is the last that adds.
    last = (chances > 0).sum(-1, keepdim=True).clamp(min=1) - 1
    place = torch.searchsorted(sums, numbers[:, None] * sums[:, -1:], right=True)
    return order.gather(1, torch.minimum(place, last))[:, 0]
