"""Candidates of the space: what they are, how they change, and how large they are; no torch.

A candidate is an array of a code for each block, as in the paper: ``family × sizes + size``. With the default options 0 to 5
are BERT's blocks with feed-forward networks 132 to 792 wide, 6 to 11 MobileBERT's with the same ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from spaniel import UsageError

if TYPE_CHECKING:
    from spaniel_w_pca.config import NluConfig

Candidate = list[int]
REDRAWN = 25
"""Times that what is over the limit is drawn again; then a sample takes its place."""
_ROUNDS, _AT_ONCE = 16, 64
MUTATION = 0.1
"""Chance of each code to be drawn anew (Wang 2025, appendix E)."""


def codes(config: NluConfig) -> int:
    """Return how many sorts of blocks there are."""
    return len(config.families) * config.sizes


def shape(config: NluConfig, code: int) -> tuple[str, int]:
    """Return the family of a block and the width of its feed-forward network."""
    family, size = divmod(code, config.sizes)
    return config.families[family], config.ffn_units * (size + 1)


def block_parameters(config: NluConfig, code: int) -> int:
    """Return how many parameters a block has, in closed form."""
    family, f = shape(config, code)
    h, b = config.hidden, config.ffn_units
    if family == "bert":
        return 4 * (h * h + h) + 2 * h + (2 * h * f + f + h) + 2 * h
    return (h * b + b) + (b * h + h) + 3 * (h * b + b) + (b * b + b) + 2 * b + (2 * b * f + f + b) + 2 * b + 2 * h


def embedding_parameters(config: NluConfig) -> int:
    """Return how many parameters the embeddings have, the projection of trigrams included."""
    h, e = config.hidden, config.embed
    return config.vocab_size * e + (3 * e * h + h) + config.positions * h + 2 * h + 2 * h


def counted(config: NluConfig, candidate: Candidate) -> int:
    """Return the parameters that the limit is for, and that W-PCA weighs by."""
    blocks = sum(block_parameters(config, code) for code in candidate)
    return blocks + embedding_parameters(config) * config.count_embeddings


def is_within(config: NluConfig, candidate: Candidate) -> bool:
    """Whether a candidate keeps to the limit."""
    return config.max_params is None or counted(config, candidate) <= config.max_params


def smallest(config: NluConfig) -> int:
    """Return the code of the smallest block."""
    return min(range(codes(config)), key=lambda code: block_parameters(config, code))


def check_limit(config: NluConfig) -> None:
    """Make sure that there are candidates.

    Raises:
        UsageError: the smallest one is over the limit.
    """
    least = [smallest(config)] * config.layers
    if not is_within(config, least):
        raise UsageError(
            f"max_params={config.max_params:,}: the smallest candidate has {counted(config, least):,} parameters"
        )


def sample(config: NluConfig, rng: np.random.Generator) -> Candidate:
    """Return a random candidate, all within the limit equally likely; where that is rare, one that was made smaller."""
    sizes = np.array([block_parameters(config, code) for code in range(codes(config))])
    for _ in range(_ROUNDS):
        drawn = rng.integers(codes(config), size=(_AT_ONCE, config.layers))
        whole = sizes[drawn].sum(1) + embedding_parameters(config) * config.count_embeddings
        fitting = np.flatnonzero(whole <= (config.max_params or np.inf))
        if len(fitting):
            candidate: Candidate = drawn[fitting[0]].tolist()
            return candidate
    return shrink(config, drawn[0].tolist(), rng.permutation(config.layers).tolist())


def shrink(config: NluConfig, candidate: Candidate, order: list[int]) -> Candidate:
    """Return a candidate within the limit, with the smallest block at as many places as that takes, in an order."""
    made = list(candidate)
    for place in order:
        if is_within(config, made):
            break
        made[place] = smallest(config)
    return made


def mutate(config: NluConfig, candidate: Candidate, rng: np.random.Generator) -> Candidate:
    """Return a candidate each of whose codes was drawn anew with a chance of 0.1, one at the least."""
    several = codes(config)
    for _ in range(REDRAWN):
        made = list(candidate)
        chosen = rng.random(len(made)) < MUTATION
        if not chosen.any():
            chosen[int(rng.integers(len(made)))] = True
        for place in np.flatnonzero(chosen).tolist():
            made[place] = (made[place] + 1 + int(rng.integers(several - 1))) % several if several > 1 else made[place]
        if is_within(config, made):
            return made
    return sample(config, rng)


def cross(config: NluConfig, first: Candidate, second: Candidate, rng: np.random.Generator) -> Candidate:
    """Return a candidate with each code from one of two, as a coin says."""
    for _ in range(REDRAWN):
        heads = rng.random(len(first)) < 0.5
        made = [a if head else b for a, b, head in zip(first, second, heads.tolist(), strict=True)]
        if is_within(config, made):
            return made
    return sample(config, rng)


def validate(config: NluConfig, candidate: Any) -> None:
    """Check a candidate.

    Raises:
        UsageError: it is none, or over the limit.
    """
    several = codes(config)
    fits = isinstance(candidate, list) and len(candidate) == config.layers
    if not fits or not all(type(code) is int and 0 <= code < several for code in candidate):
        raise UsageError(f"{candidate!r} is no candidate: it is an array of {config.layers} numbers below {several}")
    if not is_within(config, candidate):
        raise UsageError(
            f"{candidate!r} has {counted(config, candidate):,} parameters; max_params={config.max_params:,}"
        )
