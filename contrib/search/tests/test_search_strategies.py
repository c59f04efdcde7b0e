"""Every strategy keeps its promises, finds known optima, and beats random search at an equal budget."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spaniel import Context, UsageError
from spaniel.testing import Bits, contract
from spaniel_search.landscapes import Cube, Nk, one_max
from spaniel_search.strategies.base import FAILED

SPACE = 'pipelines(expression="?[bm25(k1=?, b=?, method=?), rrf(bm25, bm25(k1=?), k=?)] >> ?[cut(k=?[5..50]), null]")'
STRATEGIES = {
    "random": "random",
    "genetic": "genetic(population=8, parents=3)",
    "genetic without repeats": "genetic(population=8, parents=3, redraw=5, patience=50)",
    "ageing": "ageing-evolution(population=6, sample=3)",
    "ageing with restarts": "ageing-evolution(population=4, sample=2, patience=10)",
    "particle-swarm": "particle-swarm(particles=6)",
    "greedy": "greedy(neighbours=3, patience=2)",
    "halving": "successive-halving(candidates=9, least=0.1111111111111111)",
    "funnel": "funnel(proxies=[count(what=stages), count(what=depth)], samples=20, keep=0.5)",
    "optuna": "optuna(startup=6)",
}


def options(name: str) -> dict[str, Any]:
    from spaniel.expression import parse

    return dict(parse(STRATEGIES[name]).options)  # type: ignore[union-attr]


def strategy_of(name: str) -> str:
    return "search_space/" + STRATEGIES[name].partition("(")[0]


test_random = contract("search_space/random")
test_genetic = contract("search_space/genetic", options=options("genetic"))
test_genetic_without_repeats = contract("search_space/genetic", options=options("genetic without repeats"))
test_ageing = contract("search_space/ageing-evolution", options=options("ageing"))
test_ageing_with_restarts = contract("search_space/ageing-evolution", options=options("ageing with restarts"))
test_swarm_by_crossing = contract("search_space/particle-swarm", options=options("particle-swarm"))
test_swarm_along_axes = contract("search_space/particle-swarm", options=options("particle-swarm"), space=SPACE)
test_greedy = contract("search_space/greedy", options=options("greedy"))
test_halving = contract("search_space/successive-halving", options=options("halving"))
test_funnel = contract("search_space/funnel", options=options("funnel"), space=SPACE)
test_optuna = contract("search_space/optuna", options=options("optuna"), space=SPACE)
test_genetic_pipelines = contract("search_space/genetic", options=options("genetic"), space=SPACE)
test_count = contract("search_space/count", options={"what": "components"}, space=SPACE)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return Context(tmp_path_factory.mktemp("store"))


def walk(context: Context, strategy: str, space: Any, score: Callable[[Any], float], budget: int, seed: int) -> float:
    """Return the best score of a walk; repeated candidates cost nothing, as in a search."""
    walker: Any = context.create("search_space", strategy)
    walker.start(space, np.random.default_rng(seed))
    known: dict[str, float] = {}
    for _ in range(20 * budget):
        candidate = walker.ask()
        name = json.dumps(candidate)
        if name not in known and len(known) == budget:
            break
        known.setdefault(name, score(candidate))
        walker.tell(candidate, known[name])
    return max(known.values())


BETTER = [
    "genetic(population=20, parents=5)",
    "ageing-evolution(population=20, sample=5)",
    "particle-swarm(particles=10)",
    "greedy(neighbours=5, patience=4)",
]


@pytest.mark.parametrize("strategy", BETTER)
def test_one_max_is_climbed_higher_than_by_random_search(context: Context, strategy: str) -> None:
    space, budget = Bits(30), 300
    ours, theirs = (
        [walk(context, name, space, one_max, budget, seed) for seed in range(5)] for name in (strategy, "random")
    )
    assert min(ours) > max(theirs)


def test_greedy_reaches_the_top_of_one_max(context: Context) -> None:
    assert walk(context, "greedy(neighbours=5, patience=8)", Bits(20), one_max, 400, 1) == 20


@pytest.mark.parametrize("strategy", BETTER)
def test_a_rugged_landscape_is_climbed_higher_than_by_random_search(context: Context, strategy: str) -> None:
    landscape, budget = Nk(13, 3, seed=2), 200
    ours, theirs = (
        [walk(context, name, landscape.space, landscape, budget, seed) for seed in range(12)]
        for name in (strategy, "random")
    )
    assert statistics.mean(ours) > statistics.mean(theirs)
    assert max(ours) >= 0.99 * landscape.optimum


@pytest.mark.parametrize("strategy", ["particle-swarm", "optuna", "greedy(neighbours=4)", "genetic(population=10)"])
def test_a_quadratic_is_climbed_higher_than_by_random_search(context: Context, strategy: str) -> None:
    cube, budget = Cube(), 100
    ours, theirs = (
        [walk(context, name, cube, cube.height, budget, seed) for seed in range(4)] for name in (strategy, "random")
    )
    assert statistics.mean(ours) > statistics.mean(theirs)
    assert max(ours) > -2e-3


def test_redrawn_children_are_new_and_patience_ends_the_walk(context: Context) -> None:
    plain, fresh = (
        context.create("search_space", f"genetic(population=8, parents=4{more})")
        for more in ("", ", redraw=20, patience=3")
    )
    asked: list[list[list[int]]] = []
    for walker in (plain, fresh):
        walker.start(Bits(10), np.random.default_rng(5))
        asked.append([])
        for told in range(80):
            assert not walker.ended
            candidate = walker.ask()
            asked[-1].append(candidate)
            # From the third generation on nothing is better.
            walker.tell(candidate, one_max(candidate) + 100 * (told == 20))
            if walker.ended:
                break
    assert len(set(map(tuple, asked[0]))) < 80 == len(asked[0])
    assert len(set(map(tuple, asked[1]))) == len(asked[1]) == 48, "three generations after the one of the best"
    assert "3 generations" in fresh.ended


def test_seeded_evolution_starts_from_its_seeds_alone(context: Context) -> None:
    walker: Any = context.create("search_space", "ageing-evolution(population=7, sample=7, fill=true)")
    seeds = [[1, 1, 1, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0]]
    walker.start(Bits(8), np.random.default_rng(0), seeds)
    assert [walker.ask(), walker.ask()] == seeds
    early = walker.ask()
    assert any(sum(a != b for a, b in zip(early, seed, strict=True)) == 1 for seed in seeds)
    for seed in seeds:
        walker.tell(seed, one_max(seed))
    assert [known for known, _ in walker.memory["living"]] == [seeds[at % 2] for at in range(7)]
    child = walker.ask()
    assert any(sum(a != b for a, b in zip(child, seed, strict=True)) == 1 for seed in seeds)
    walker.tell(child, one_max(child))
    assert len(walker.memory["living"]) == 7
    assert walker.memory["living"][-1][0] == child


def test_two_parents_are_never_the_same(context: Context) -> None:
    class Watched(Bits):
        def cross(self, first: Any, second: Any, rng: np.random.Generator) -> Any:
            crossed.append((tuple(first), tuple(second)))
            return super().cross(first, second, rng)

    crossed: list[tuple[Any, Any]] = []
    walker: Any = context.create("search_space", "genetic(population=4, parents=3, crossing=1.0)")
    walker.start(Watched(6), np.random.default_rng(3))
    for _ in range(100):
        candidate = walker.ask()
        walker.tell(candidate, one_max(candidate))
    assert len(crossed) == 96
    assert all(first != second for first, second in crossed)
    # With one that did not fail there are no two parents, and so samples are asked for.
    walker.start(Watched(6), np.random.default_rng(3))
    crossed.clear()
    for number in range(40):
        walker.tell(walker.ask(), FAILED if number else 1.0)
    assert not crossed


def test_a_bracket_holds_nothing_twice_and_nothing_that_failed_goes_on(context: Context) -> None:
    walker: Any = context.create("search_space", "successive-halving(candidates=6, eta=2, least=0.25)")
    walker.start(Bits(2), np.random.default_rng(0))
    asked = [walker.ask() for _ in range(4)]
    assert sorted(asked) == [[0, 0], [0, 1], [1, 0], [1, 1]], "there are no more than four"
    for candidate in asked:
        walker.tell(candidate, FAILED if sum(candidate) < 2 else 2.0)
    assert (walker.ask(), walker.effort) == ([1, 1], 0.5), "of two that may go on one has not failed"


def test_a_funnel_goes_on_without_what_a_proxy_fails_on(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    from spaniel_search.proxies import Count

    space: Any = context.create("search_space", SPACE)
    walker: Any = context.create("search_space", "funnel(proxies=[count(what=components)], samples=40, keep=1.0)")
    score = Count.score

    def moody(self: Any, space: Any, candidate: Any, seed: int) -> float:
        size = score(self, space, candidate, seed)
        if size > 2:
            raise ValueError("too large")
        return float("nan") if size == 1 else size

    monkeypatch.setattr(Count, "score", moody)
    walker.start(space, np.random.default_rng(0))
    assert {space.counts(walker.ask())["components"] for _ in range(5)} == {2}


def test_the_oldest_dies_even_where_it_is_the_best(context: Context) -> None:
    walker: Any = context.create("search_space", "ageing-evolution(population=3, sample=60)")
    walker.start(Bits(4), np.random.default_rng(0), [[1, 1, 1, 1], [0, 0, 0, 0], [1, 0, 0, 0]])
    for score in (4.0, 0.0, 1.0):
        walker.tell(walker.ask(), score)
    child = walker.ask()
    assert sum(child) == 3, "the child is a mutation of the best of all"
    walker.tell(child, 3.0)
    assert [1, 1, 1, 1] not in [known for known, _ in walker.memory["living"]]


def test_halving_scores_at_the_efforts_of_its_rungs(context: Context) -> None:
    walker: Any = context.create("search_space", "successive-halving(candidates=9, eta=3, least=0.1111111111111111)")
    walker.start(Bits(10), np.random.default_rng(0))
    efforts, scores = [], {}
    for _ in range(13):
        candidate = walker.ask()
        efforts.append(round(walker.effort, 6))
        scores[json.dumps(candidate)] = one_max(candidate)
        walker.tell(candidate, one_max(candidate))
    assert efforts == [round(1 / 9, 6)] * 9 + [round(1 / 3, 6)] * 3 + [1.0]
    assert one_max(candidate) == max(scores.values())


def test_a_funnel_asks_for_what_the_proxies_like(context: Context) -> None:
    space: Any = context.create("search_space", SPACE)
    walker: Any = context.create("search_space", "funnel(proxies=[count(what=components)], samples=40, keep=0.25)")
    walker.start(space, np.random.default_rng(0))
    kept = []
    for _ in range(10):
        kept.append(walker.ask())
        walker.tell(kept[-1], 0.0)
    sizes = [space.counts(candidate)["components"] for candidate in kept]
    assert min(sizes) >= 3
    assert sizes == sorted(sizes, reverse=True)


def test_optuna_says_that_it_needs_axes(context: Context) -> None:
    walker: Any = context.create("search_space", "optuna")
    with pytest.raises(UsageError, match="has none"):
        walker.start(Bits(3), np.random.default_rng(0))


@pytest.mark.parametrize("name", STRATEGIES)
@settings(max_examples=8, deadline=None)
@given(ahead=st.lists(st.integers(1, 4), min_size=3, max_size=8), fails=st.integers(2, 5), seed=st.integers(0, 99))
def test_any_batches_and_failures_are_taken(
    context: Context, name: str, ahead: list[int], fails: int, seed: int
) -> None:
    space: Any = context.create("search_space", SPACE)
    walker: Any = context.create("search_space", STRATEGIES[name])
    walker.start(space, np.random.default_rng(seed), [space.first()])
    number = 0
    for size in ahead:
        asked = [walker.ask() for _ in range(size)]
        for candidate in asked:
            space.validate(candidate)
            number += 1
            walker.tell(candidate, FAILED if number % fails == 0 else float(number % 7))
        json.dumps(walker.state(), allow_nan=False)
    with pytest.raises(UsageError, match="was not asked for"):
        walker.tell({"no": "candidate"}, 1.0)
    with pytest.raises(UsageError, match="finite number"):
        walker.tell(walker.ask(), float("nan"))
    with pytest.raises(UsageError, match="no state"):
        walker.restore(space, {"memory": 3})


def test_nothing_heavy_is_imported_by_the_declarations(tmp_path: Path) -> None:
    import subprocess
    import sys

    heavy = ("numpy", "torch", "numba", "optuna", "matplotlib")
    code = f"import sys, spaniel_search, spaniel_search.config; print([m for m in {heavy} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
