"""A constraint under which a model can write nothing but a permutation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError

from spaniel_lm.listwise.permutations import SEPARATOR, identifier
from spaniel_lm.protocol import LanguageModel

_FIRST, _LATER, _OVER = 0, 1, 2
"""Nodes: before the first candidate, between two, behind the last."""


class PermutationConstraint:
    """Allows the tokens of ``[2] > [1] > [3]``, each candidate once and all of them; the answer ends there.

    A state is a node of a tree of tokens, and whether each candidate is still to come. Candidates are told apart by their
    tokens, with what separates them from the one before.

    Args:
        first: tokens of each candidate where it comes first.
        later: tokens of each candidate behind another.

    Raises:
        UsageError: the tokens do not tell the candidates apart.
    """

    def __init__(self, first: Sequence[Sequence[int]], later: Sequence[Sequence[int]]) -> None:
        self.count = len(first)
        self._pieces = {
            "first": [list(map(int, one)) for one in first],
            "later": [list(map(int, one)) for one in later],
        }
        children: list[dict[int, int]] = [{}, {}, {}]
        below: list[set[int]] = [set(), set(), set()]
        leaf = [-1, -1, -1]
        for root, pieces in ((_FIRST, first), (_LATER, later)):
            for candidate, tokens in enumerate(pieces):
                node = root
                for token in tokens:
                    if int(token) not in children[node]:
                        children[node][int(token)] = len(children)
                        children.append({})
                        below.append(set())
                        leaf.append(-1)
                    node = children[node][int(token)]
                    below[node].add(candidate)
                if not tokens or leaf[node] >= 0 or children[node]:
                    raise UsageError(
                        f"the model's tokenizer does not tell {identifier(candidate)} from other candidates"
                    )
                leaf[node] = candidate
        if any(leaf[node] >= 0 and children[node] for node in range(len(children))):
            raise UsageError("the model's tokenizer does not tell candidates apart: one's tokens begin another's")
        edges = [(node, token, child) for node, some in enumerate(children) for token, child in sorted(some.items())]
        self._tokens = np.array([token for _, token, _ in edges], np.int64)
        self._children = np.array([child for _, _, child in edges], np.int64)
        counts = np.array([len(some) for some in children], np.int64)
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        self._leaf = np.array(leaf, np.int64)
        self._reach = np.zeros((len(edges), self.count), bool)
        for at, (_, _, child) in enumerate(edges):
            self._reach[at, sorted(below[child])] = True
        self._width = int(self._tokens.max(initial=0)) + 1
        self._keys = np.array([node * self._width + token for node, token, _ in edges], np.int64)

    @classmethod
    def of(cls, model: LanguageModel, count: int) -> PermutationConstraint:
        """Make the constraint of ``count`` candidates for a model."""
        names = [identifier(candidate) for candidate in range(count)]
        made = model.tokenize([*names, *(SEPARATOR + name for name in names)])
        return cls(made[:count], made[count:])

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what it allows."""
        return {"permutation": self._pieces}

    def start(self, rows: int) -> NDArray[np.int64]:
        """Return states: ``(rows, 1 + candidates)``, the node, then 1 for each candidate still to come."""
        states = np.ones((rows, 1 + self.count), np.int64)
        states[:, 0] = _FIRST if self.count else _OVER
        return states

    def allowed(self, states: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the tokens that lead to a candidate still to come, as ``(offsets, tokens)``."""
        nodes = states[:, 0]
        counts = self._starts[nodes + 1] - self._starts[nodes]
        owners = np.repeat(np.arange(len(states)), counts)
        edges = (
            np.arange(len(owners))
            - np.repeat(np.cumsum(counts) - counts, counts)
            + np.repeat(self._starts[nodes], counts)
        )
        kept = (self._reach[edges] & (states[owners, 1:] == 1)).any(axis=1)
        offsets = np.concatenate([[0], np.cumsum(np.bincount(owners[kept], minlength=len(states)))])
        return offsets.astype(np.int64), self._tokens[edges[kept]]

    def advance(self, states: NDArray[Any], tokens: NDArray[np.int64]) -> NDArray[Any]:
        """Return the states after one more token each; a token that is not allowed ends its row."""
        made = states.copy()
        keys = states[:, 0] * self._width + tokens
        place = np.minimum(np.searchsorted(self._keys, keys), max(len(self._keys) - 1, 0))
        known = (self._keys[place] == keys) & (tokens < self._width) if len(self._keys) else np.zeros(len(keys), bool)
        made[:, 0] = np.where(known, self._children[place], _OVER) if len(self._keys) else _OVER
        candidates = self._leaf[made[:, 0]]
        ended = np.flatnonzero(candidates >= 0)
        made[ended, 1 + candidates[ended]] = 0
        more = (made[ended, 1:] == 1).any(axis=1)
        made[ended, 0] = np.where(more, _LATER, _OVER)
        return made
