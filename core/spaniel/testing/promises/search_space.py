"""What search spaces, proxies and strategies promise; each check is of those in its role."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import numpy as np

from spaniel.context import Context
from spaniel.errors import UsageError
from spaniel.protocols import Coordinates
from spaniel.store import canonical_json, digest_bytes
from spaniel.testing.bits import Bits
from spaniel.testing.case import Case, Lacking, expect

_MANY = 100


def _role(case: Case) -> str:
    return case.registered.component.role


def _space(case: Case, context: Context) -> Any:
    """Return the space of the case: the component itself, the one named, or strings of bits for strategies."""
    if _role(case) == "space":
        return case.make(context)
    if case.space is not None:
        return context.create("search_space", case.space)
    if _role(case) != "strategy":
        raise Lacking("a proxy scores candidates of some space: give contract(…, space=…)")
    return Bits(12)


def _digest(space: Any, candidate: Any) -> str:
    return digest_bytes(canonical_json(space.canonical(candidate)))


def _rng(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


def _is_valid(space: Any, candidate: Any, what: str) -> None:
    try:
        space.validate(candidate)
    except UsageError as error:
        raise AssertionError(f"{what} is no valid candidate: {error}") from error


def makes_valid_candidates(case: Case) -> None:
    """What is sampled, mutated and crossed is valid; what went in stays as it was."""
    if _role(case) != "space":
        return
    space, rng = _space(case, case.context()), _rng()
    for _ in range(_MANY):
        first, second = space.sample(rng), space.sample(rng)
        before = copy.deepcopy((first, second))
        _is_valid(space, first, "a sample")
        _is_valid(space, space.mutate(first, rng), "a mutation")
        _is_valid(space, space.cross(first, second, rng), "a crossing")
        expect((first, second) == before, "mutating or crossing changed what went in")


def candidates_are_json(case: Case) -> None:
    """A candidate that was saved as JSON and read is the same, and has the same digest."""
    if _role(case) != "space":
        return
    space, rng = _space(case, case.context()), _rng()
    for _ in range(_MANY):
        candidate = space.sample(rng)
        again = json.loads(json.dumps(candidate, allow_nan=False))
        expect(again == candidate, f"JSON makes {again!r} of {candidate!r}")
        _is_valid(space, again, "a candidate that was saved and read")
        expect(_digest(space, again) == _digest(space, candidate), f"{candidate!r} has another digest after saving")
        form = space.canonical(candidate)
        expect(
            canonical_json(space.canonical(form)) == canonical_json(form), f"the canonical form {form!r} has another"
        )


def refuses_what_is_none(case: Case) -> None:
    """What does not belong to the space is a UsageError."""
    if _role(case) != "space":
        return
    space = _space(case, case.context())
    for odd in (None, 3.5, "no candidate", [], {}, {"no": "candidate"}, [[None]]):
        try:
            space.validate(odd)
        except UsageError:
            continue
        raise AssertionError(f"{odd!r} is accepted as a candidate")


def builds_its_candidates(case: Case) -> None:
    """A candidate can be built."""
    if _role(case) == "space":
        space = _space(case, case.context())
        expect(space.build(space.sample(_rng()), 0) is not None, "build returned nothing")


def is_deterministic(case: Case) -> None:
    """One random stream, or one seed, gives one result."""
    first, second = (_walk(case, 3) for _ in range(2))
    expect(first == second, "with one seed, two sessions do other things")
    if _role(case) == "space":
        expect(_walk(case, 3) != _walk(case, 4) or len(set(first)) == 1, "other random streams change nothing")


def _walk(case: Case, seed: int) -> list[str]:
    context = case.context()
    space, rng = _space(case, context), _rng(seed)
    if _role(case) == "space":
        made = [space.sample(rng) for _ in range(10)]
        made += [space.mutate(made[0], rng), space.cross(made[1], made[2], rng)]
        return [_digest(space, candidate) for candidate in made]
    if _role(case) == "proxy":
        proxy = case.make(context)
        return [repr(float(proxy.score(space, space.sample(rng), seed))) for _ in range(3)]
    strategy = case.make(context)
    strategy.start(space, rng)
    asked = []
    for _ in range(30):
        candidate = strategy.ask()
        asked.append(_digest(space, candidate))
        strategy.tell(candidate, _score(space, candidate))
    return asked


def _score(space: Any, candidate: Any) -> float:
    """Return a score that has nothing to do with the space but is always the same."""
    return int(_digest(space, candidate)[:8], 16) / 2**32


def scores_are_numbers(case: Case) -> None:
    """A proxy says in which direction its scores are better, and they are finite."""
    if _role(case) != "proxy":
        return
    context = case.context()
    proxy, space, rng = case.make(context), _space(case, context), _rng()
    expect(proxy.direction in ("maximise", "minimise"), f"the direction {proxy.direction!r} is none")
    for _ in range(3):
        score = proxy.score(space, space.sample(rng), 0)
        expect(math.isfinite(float(score)), f"the score {score!r} is not finite")


def asks_for_valid_candidates(case: Case) -> None:
    """A strategy asks for candidates of the space, and begins anew with another walk."""
    if _role(case) != "strategy":
        return
    context = case.context()
    strategy, space = case.make(context), _space(case, context)
    for seed in (1, 2):
        strategy.start(space, _rng(seed))
        for _ in range(40):
            candidate = strategy.ask()
            _is_valid(space, candidate, "what the strategy asks for")
            strategy.tell(candidate, _score(space, candidate))


def goes_on_from_its_state(case: Case) -> None:
    """A strategy's state is JSON, and another session goes on from it as the first one does."""
    if _role(case) != "strategy":
        return
    context = case.context()
    strategy, space = case.make(context), _space(case, context)
    strategy.start(space, _rng())
    for told in range(30):
        candidate = strategy.ask()
        if told == 20:
            # One was asked for and not told yet.
            ahead = strategy.ask()
            state = json.loads(json.dumps(strategy.state(), allow_nan=False))
            other = case.make(case.context())
            other.restore(space, state)
            for walk in (strategy, other):
                walk.tell(candidate, _score(space, candidate))
            candidate = ahead
        strategy.tell(candidate, _score(space, candidate))
        if told == 20:
            other.tell(candidate, _score(space, candidate))
        if told > 20:
            again = other.ask()
            expect(again == candidate, f"after restoring it asks for {again!r}, not for {candidate!r}")
            other.tell(again, _score(space, again))


def places_its_candidates(case: Case) -> None:
    """Where a space has axes, a candidate has a point, and the point gives the candidate back."""
    if _role(case) != "space":
        return
    made, rng = _space(case, case.context()), _rng()
    if not isinstance(made, Coordinates):
        return
    space: Any = made
    for _ in range(_MANY):
        candidate = space.sample(rng)
        point = space.place(candidate)
        expect(len(point) == len(space.axes), f"a point of {len(point)} numbers for {len(space.axes)} axes")
        for axis, value in zip(space.axes, point, strict=True):
            inside = value in range(axis.size) if axis.size else 0 <= value <= 1
            expect(inside, f"{value!r} is outside the axis {axis.name}")
        again = space.at(json.loads(json.dumps(point)))
        expect(_digest(space, again) == _digest(space, candidate), f"the point of {candidate!r} gives {again!r}")


PROMISES = {
    "makes valid candidates": makes_valid_candidates,
    "candidates are JSON": candidates_are_json,
    "refuses what is none": refuses_what_is_none,
    "builds its candidates": builds_its_candidates,
    "is deterministic": is_deterministic,
    "scores are numbers": scores_are_numbers,
    "asks for valid candidates": asks_for_valid_candidates,
    "goes on from its state": goes_on_from_its_state,
    "places its candidates": places_its_candidates,
}
