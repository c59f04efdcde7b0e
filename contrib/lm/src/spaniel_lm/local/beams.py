"""Beam search, over all prompts of a batch at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from spaniel_lm.local.decoder import Decoder
from spaniel_lm.local.ending import Ending, Found
from spaniel_lm.local.rules import Rules
from spaniel_lm.protocol import Generation


class _Beams:
    """The paths of one prompt that have ended, the best ``beams`` of them."""

    def __init__(self, width: int, penalty: float) -> None:
        self.width, self.penalty = width, penalty
        self.found: list[Found] = []

    def add(self, tokens: list[int], logprobs: list[float], score: float, finish: str) -> None:
        scaled = score / len(tokens) ** self.penalty
        self.found.append(Found(tuple(tokens), tuple(logprobs), finish, scaled))  # type: ignore[arg-type]
        self.found.sort(key=lambda path: -path.score)  # stable: of equal ones the earlier stays
        del self.found[self.width :]

    def is_over(self, best: float, length: int) -> bool:
        """Whether the best running path, taken as if it ended now, can add nothing."""
        return len(self.found) == self.width and best / length**self.penalty <= self.found[-1].score


def search(
    decoder: Decoder, prompts: Sequence[Sequence[int]], settings: Generation, rules: Rules, ending: Ending
) -> list[list[Found]]:
    """Return the best paths of each prompt, the best first.

    The search that transformers runs with ``early_stopping=False``: of twice the width (more, where several tokens end
    an answer) the best that have not ended go on; those among the first ``beams`` that have ended are kept. A prompt is
    over when its best running path scores no better than the worst kept; it then leaves the batch.

    Args:
        rules: over ``len(prompts) * beams`` rows, ``beams`` for each prompt in turn.
    """
    width = settings.beams
    state, logits = decoder.begin(prompts)
    device = logits.device
    state.select(torch.arange(len(prompts), device=device).repeat_interleave(width))
    logits = logits.repeat_interleave(width, 0)
    kept = [_Beams(width, settings.length_penalty) for _ in prompts]
    alive = list(range(len(prompts)))
    # One path to begin with, so that the others are not the same.
    scores = torch.full((len(prompts), width), float("-inf"), device=device)
    scores[:, 0] = 0.0
    paths = torch.empty((len(prompts) * width, 0), dtype=torch.long, device=device)
    trues = torch.empty((len(prompts) * width, 0), device=device)
    spare = max(2, 1 + len(ending.ends)) * width
    for length in range(1, settings.max_tokens + 1):
        true = torch.log_softmax(logits, -1)
        bent = true if rules.is_empty else rules.apply(true.clone())
        _keep_dead(kept, alive, paths, trues, bent, scores)
        vocabulary = bent.shape[-1]
        sums = (bent.view(len(alive), width, vocabulary) + scores[:, :, None]).flatten(1)
        best, place = sums.topk(min(spare, sums.shape[1]), dim=1)
        rows = place // vocabulary + torch.arange(len(alive), device=device)[:, None] * width
        tokens = place % vocabulary
        gained = true[rows, tokens]
        ends = _ends(ending, paths, rows, tokens) | (length == settings.max_tokens)
        _keep(kept, alive, paths, trues, (rows, tokens, gained, best), ends, ending, width)
        # The best that have not ended; what is impossible fills up, and goes on as such.
        running, chosen = torch.where(ends, float("-inf"), best).topk(width, dim=1)
        going = [
            at
            for at, prompt in enumerate(alive)
            if running[at, 0] > float("-inf") and not kept[prompt].is_over(float(running[at, 0]), length)
        ]
        if not going or length == settings.max_tokens:
            break
        left = torch.tensor(going, device=device)
        picked = chosen[left]
        source = rows[left].gather(1, picked).flatten()
        token = tokens[left].gather(1, picked).flatten()
        scores, alive = running[left], [alive[at] for at in going]
        trues = torch.cat([trues[source], gained[left].gather(1, picked).flatten()[:, None]], 1)
        paths = torch.cat([paths[source], token[:, None]], 1)
        state.select(source)
        rules.select(source)
        rules.advance(token)
        logits = decoder.step(state, token)
    return [beams.found for beams in kept]


def _keep_dead(
    kept: list[_Beams], alive: list[int], paths: Tensor, trues: Tensor, bent: Tensor, scores: Tensor
) -> None:
    """Take over the paths after which a constraint allows nothing."""
    dead = torch.isneginf(bent).all(-1) & (scores.flatten() > float("-inf"))
    for row in dead.nonzero()[:, 0].tolist() if paths.shape[1] else ():
        prompt, score = alive[row // scores.shape[1]], float(scores.flatten()[row])
        kept[prompt].add(paths[row].tolist(), trues[row].tolist(), score, "stop")


def _ends(ending: Ending, paths: Tensor, rows: Tensor, tokens: Tensor) -> Tensor:
    """Whether each candidate ends its path: ``(prompts, candidates)`` bool."""
    ends = ending.hits(tokens)
    if ending.stop:
        flat = zip(paths[rows.flatten()].tolist(), tokens.flatten().tolist(), strict=True)
        stopped = [ending.stops([*path, token]) for path, token in flat]
        ends = ends | torch.tensor(stopped, device=ends.device).view(ends.shape)
    return ends


def _keep(
    kept: list[_Beams],
    alive: list[int],
    paths: Tensor,
    trues: Tensor,
    candidates: tuple[Tensor, Tensor, Tensor, Tensor],
    ends: Tensor,
    ending: Ending,
    width: int,
) -> None:
    """Take over the candidates among the first ``width`` of each prompt that have ended."""
    rows, tokens, gained, best = candidates
    for at, rank in (ends[:, :width] & (best[:, :width] > float("-inf"))).nonzero().tolist():
        row, token = int(rows[at, rank]), int(tokens[at, rank])
        path = [*paths[row].tolist(), token]
        logprobs = [*trues[row].tolist(), float(gained[at, rank])]
        stopped = bool(ending.hits(tokens[at, rank])) or ending.stops(path)
        kept[alive[at]].add(path, logprobs, float(best[at, rank]), "stop" if stopped else "length")
