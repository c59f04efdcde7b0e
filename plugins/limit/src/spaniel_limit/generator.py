"""Making people who like things (section 5.2 of the paper, and the notebook that made the published data)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from spaniel import Document, UsageError

from spaniel_limit import words
from spaniel_limit.config import LimitConfig
from spaniel_limit.patterns import relevant_documents

RULES = "1"
"""Version of the rules; part of the address of every collection."""
_BLOCK = 2048
"""People whose attributes are drawn at once."""


class Plan(NamedTuple):
    """What is relevant to what, before any text.

    Attributes:
        asked: attribute of each query.
        fillers: attributes that no query asks for.
        relevant: ``(queries, k)`` int64, numbers of people.
        names: of the people; all differ.
    """

    asked: Sequence[str]
    fillers: Sequence[str]
    relevant: NDArray[np.int64]
    names: Sequence[str]


def plan(config: LimitConfig) -> Plan:
    """Draw attributes, sets and names; options are those without a name.

    Raises:
        UsageError: there are too few attributes, names or documents.
    """
    rng = _stream(config, 0)
    items = _half(words.attributes() if config.attributes is None else words.read_lines(config.attributes), config)
    if len(items) < config.queries:
        raise UsageError(f"{len(items)} attributes are too few for {config.queries} queries")
    order = rng.permutation(len(items))
    relevant = relevant_documents(
        config.pattern, config.queries, config.documents, config.k, _stream(config, 1), config.balanced
    )
    shuffled = [items[place] for place in order.tolist()]
    asked, fillers = shuffled[: config.queries], shuffled[config.queries :]
    missing = config.min_items - int(np.bincount(relevant.ravel(), minlength=config.documents).min())
    if missing > len(fillers):
        raise UsageError(
            f"people with {config.min_items} attributes need {missing} that no query asks for; there are {len(fillers)}: "
            "ask for fewer queries or attributes, or give a longer list"
        )
    return Plan(asked, fillers, relevant, _names(config, _stream(config, 2)))


def documents(config: LimitConfig, made: Plan) -> Iterator[Document]:
    """Yield the people; each has the attributes of its queries, filled up by others, in random order."""
    rng = _stream(config, 3)
    owners = made.relevant.ravel()
    queries = np.repeat(np.arange(len(made.relevant)), made.relevant.shape[1])
    by_owner = np.argsort(owners, kind="stable")
    bounds = np.searchsorted(owners[by_owner], np.arange(config.documents + 1))
    for start in range(0, config.documents, _BLOCK):
        size = min(_BLOCK, config.documents - start)
        drawn = rng.random((size, len(made.fillers))).argsort(axis=1)[:, : config.min_items]
        for person, others in enumerate(drawn, start):
            own = [made.asked[query] for query in queries[by_owner[bounds[person] : bounds[person + 1]]].tolist()]
            filled = [made.fillers[other] for other in others[: max(0, config.min_items - len(own))].tolist()]
            items = own + filled
            liked = [items[place] for place in rng.permutation(len(items)).tolist()]
            yield Document(made.names[person], "", f"{made.names[person]} likes {listed(liked)}.")


def listed(items: Sequence[str]) -> str:
    """Return items as a list in words."""
    return " and ".join(filter(None, (", ".join(items[:-1]), items[-1])))


def _half(items: list[str], config: LimitConfig) -> list[str]:
    """Return the items of one of two halves; which item is in which hangs on no seed."""
    if config.part == "all":
        return items
    order = np.random.default_rng(0).permutation(len(items))
    return [items[place] for place in np.sort(order[(config.part == "test") :: 2]).tolist()]


def _names(config: LimitConfig, rng: np.random.Generator) -> list[str]:
    """Draw names: random pairs of given and family name without repetition, or lines of the user's file."""
    if config.names is not None:
        lines = _half(words.read_lines(config.names), config)
        if len(lines) < config.documents:
            raise UsageError(f"{len(lines)} names are too few for {config.documents} documents")
        return [lines[place] for place in rng.permutation(len(lines))[: config.documents].tolist()]
    given, family = words.given_names(), _half(words.family_names(), config)
    possible = len(given) * len(family)
    if config.documents > possible // 2:
        raise UsageError(f"there are {possible // 2} names at the most, not {config.documents}; give a file of names")
    found: dict[int, None] = {}
    while len(found) < config.documents:
        found.update(dict.fromkeys(rng.integers(possible, size=2 * config.documents).tolist()))
    pairs = [divmod(number, len(family)) for number in list(found)[: config.documents]]
    return [f"{given[first]} {family[last]}" for first, last in pairs]


def _stream(config: LimitConfig, number: int) -> np.random.Generator:
    return np.random.default_rng([config.seed, number])
