"""Walks: budgets, repeats, failures, the cache, processes, and going on after a kill to the same trajectory."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from spaniel import ArtifactError, Context, PluginError, UsageError
from spaniel.testing import Cli
from spaniel_search.budget import parse_budget
from spaniel_search.config import Budget
from spaniel_search.evaluations import Evaluations
from spaniel_search.objectives import Outcome, ProxyObjective
from spaniel_search.pipelines.objective import space_of
from spaniel_search.searching import Plan, search, search_need
from spaniel_search.walk import STALLED

SPACE = space_of("?[bm25(k1=?, b=?), rrf(bm25, bm25(k1=?), k=?)] >> ?[cut(k=?[5..50]), null]")
STRATEGIES = [
    "ageing-evolution(population=6, sample=3, patience=15)",
    "particle-swarm(particles=5)",
    "successive-halving(candidates=9, least=0.1111111111111111)",
    "optuna(startup=5)",
    "genetic(population=8, parents=3)",
    "greedy(neighbours=3)",
    "random",
]


class Toy:
    """Scores a candidate by its numbers; some fail. ``asked`` counts what was really scored."""

    identity = "toy"
    recipe = ("", {})
    staged = True

    def __init__(self, fails: bool = True, seconds: float = 0.0) -> None:
        self.asked, self.fails, self.seconds = 0, fails, seconds

    def key(self, candidate: Any) -> str:
        return json.dumps(candidate, sort_keys=True)

    def score(self, candidate: Any, effort: float) -> Outcome:
        self.asked += 1
        time.sleep(self.seconds)
        total = sum(value * (at + 1) for at, value in enumerate(candidate.values()))
        if self.fails and int(total * 1000) % 7 == 0:
            raise UsageError("this one does not work")
        return Outcome(-abs(total - 20) * effort, {"model_calls": 3, "tokens": 10}, {"expression": str(candidate)})


def trajectory(folder: Path, plan: Plan, objective: Any) -> list[tuple[Any, ...]]:
    result = search(Context(folder), plan, objective)
    return [(t.candidate, t.score, t.effort, t.repeated, t.error, t.final) for t in result.trials]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_walk_is_repeated_and_its_result_found_again(tmp_path: Path, strategy: str) -> None:
    plan = Plan(SPACE, strategy, Budget(candidates=30), batch=4)
    first, again, other = Toy(), Toy(), Toy()
    made = trajectory(tmp_path / "a", plan, first)
    assert trajectory(tmp_path / "a", plan, again) == made
    assert again.asked == 0, "it is an artifact: nothing is scored again"
    assert trajectory(tmp_path / "b", plan, other) == made
    spent = sum(effort for _, _, effort, repeated, _, final in made if not repeated and not final)
    assert 29 < spent < 30.001


@pytest.mark.parametrize(
    ("budget", "tried"),
    [(Budget(candidates=17), 17), (Budget(calls=20), 6), (Budget(tokens=75), 7), (Budget(candidates=9, tokens=500), 9)],
)
def test_budgets(tmp_path: Path, budget: Budget, tried: int) -> None:
    plan = Plan(SPACE, "random", budget, batch=4)
    result = search(Context(tmp_path), plan, Toy(fails=False))
    assert result.tried == tried
    assert "is used up" in result.ended or "and a candidate takes" in result.ended
    assert all(result.spent[name] <= most for name, most in budget.model_dump(exclude_none=True).items())


def test_a_budget_of_seconds_counts_scoring(tmp_path: Path) -> None:
    result = search(Context(tmp_path), Plan(SPACE, "random", Budget(seconds=0.2)), Toy(False, 0.03))
    assert 2 <= result.tried <= 7
    assert result.spent["seconds"] >= 0.2


@pytest.mark.parametrize(
    ("texts", "budget"),
    [
        (["200"], Budget(candidates=200)),
        (["1.5min", "3 candidates"], Budget(seconds=90, candidates=3)),
        (["1e6 tokens", "500calls", "2h"], Budget(tokens=1e6, calls=500, seconds=7200)),
    ],
)
def test_budgets_as_people_write_them(texts: list[str], budget: Budget) -> None:
    assert parse_budget(texts) == budget


@pytest.mark.parametrize("texts", [[], ["many"], ["-3"], ["0"], ["10", "20"], ["5 apples"], ["1e999"]])
def test_what_is_no_budget(texts: list[str]) -> None:
    with pytest.raises(UsageError):
        parse_budget(texts)


def test_an_exhausted_space_ends_a_walk(tmp_path: Path) -> None:
    plan = Plan(space_of("bm25(method=?)"), "random", Budget(candidates=100), batch=3)
    result = search(Context(tmp_path), plan, Toy(fails=False))
    assert result.tried == 5
    assert "had all been scored before" in result.ended
    assert len(result.trials) <= 5 + 3 * STALLED


def test_failures_are_kept_with_their_reason_and_told_as_the_worst(tmp_path: Path) -> None:
    result = search(Context(tmp_path), Plan(SPACE, "greedy", Budget(candidates=60)), Toy())
    failed = [trial for trial in result.trials if trial.score is None]
    assert failed
    assert all(trial.error == "this one does not work" for trial in failed)
    assert result.failed == len({trial.digest for trial in failed})
    assert result.best.score is not None


def test_where_everything_fails_nothing_is_published(tmp_path: Path) -> None:
    class Broken(Toy):
        def score(self, candidate: Any, effort: float) -> Outcome:
            raise PluginError("spaniel-x", "broken")

    context, plan = Context(tmp_path), Plan(SPACE, "random", Budget(candidates=5))
    with pytest.raises(UsageError, match="all 5 candidates failed; the first: spaniel-x: broken"):
        search(context, plan, Broken())
    assert not context.store.has(search_need(context, plan, Broken()).recipe.address)


def test_a_damaged_disk_is_no_failure_of_a_candidate(tmp_path: Path) -> None:
    class Full(Toy):
        def score(self, candidate: Any, effort: float) -> Outcome:
            raise ArtifactError("somewhere", "the disk is full")

    with pytest.raises(ArtifactError, match="disk is full"):
        search(Context(tmp_path), Plan(SPACE, "random", Budget(candidates=5)), Full())


def test_scores_that_are_no_numbers_are_failures(tmp_path: Path) -> None:
    class Odd(Toy):
        def score(self, candidate: Any, effort: float) -> Outcome:
            self.asked += 1
            return Outcome(float("nan") if self.asked % 2 else 1.0)

    result = search(Context(tmp_path), Plan(SPACE, "random", Budget(candidates=6)), Odd())
    assert result.failed == 3
    assert result.trials[0].error == "its score is nan"


def test_what_one_walk_scored_another_finds_in_the_cache(tmp_path: Path) -> None:
    context, first, second = Context(tmp_path), Toy(fails=False), Toy(fails=False)
    search(context, Plan(SPACE, "random", Budget(candidates=20)), first)
    search(context, Plan(SPACE, "random", Budget(candidates=25)), second)
    assert (first.asked, second.asked) == (20, 5)
    other = Toy(fails=False)
    other.identity = "other data"
    search(context, Plan(SPACE, "random", Budget(candidates=20)), other)
    assert other.asked == 20


def test_a_damaged_cache_is_named(tmp_path: Path) -> None:
    cache = Evaluations(tmp_path / "cache.sqlite")
    cache.put("a", {"score": 0.1})
    assert cache.get("a") == {"score": 0.1}
    assert cache.get("b") is None
    cache.close()
    (tmp_path / "cache.sqlite").write_bytes(b"no database" * 500)
    with pytest.raises(ArtifactError, match=r"cache\.sqlite.*remove it"):
        cache.get("a")


def test_a_proxy_can_be_searched_for_and_roles_are_checked(tmp_path: Path) -> None:
    context = Context(tmp_path)
    objective = ProxyObjective(context, SPACE, "count(what=components, direction=minimise)")
    result = search(context, Plan(SPACE, "random", Budget(candidates=30)), objective)
    assert result.best.score == -1
    with pytest.raises(UsageError, match="`count` is a proxy; a strategy is needed"):
        search(context, Plan(SPACE, "count", Budget(candidates=3)), objective)
    with pytest.raises(UsageError, match="does not count 'flops'; it counts stages"):
        ProxyObjective(context, SPACE, "count(what=flops)").score(objective.space.sample(context.rng("x")), 1.0)


def test_the_command_walks_and_says_how_much_of_it_is_size(run_cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "best.json"
    arguments = ("walk", SPACE, "count(what=components, direction=minimise)", "--strategy", "random", "--budget", "24")
    made = run_cli(*arguments, "--batch", "8", "-o", str(out), "--json").json
    assert json.loads(out.read_text()) == made["candidate"]
    assert made["score"] == -made["sizes"]["components"] == -1
    assert made["agreements"]["components"]["tau"] == -1.0
    assert 0 < made["agreements"]["components"]["larger"] < 1
    heights = [one["best"] for one in made["generations"]]
    assert len(heights) == 3
    assert heights == sorted(heights)
    assert sum(one["scored"] for one in made["generations"]) == made["tried"]
    shown = run_cli(*arguments, "--batch", "8").stdout
    assert "tau-b with scores" in shown
    assert "the budget of 24 candidates is used up" in shown
    wrong = run_cli("walk", "random", "count")
    assert wrong.exit_code == 2
    assert "a space is needed" in wrong.stderr


def test_processes_change_nothing(tmp_path: Path) -> None:
    made = []
    for processes in (1, 2):
        context = Context(tmp_path / str(processes))
        objective = ProxyObjective(context, SPACE, "count(what=components)")
        plan = Plan(SPACE, "genetic(population=8, parents=3)", Budget(candidates=24), batch=5, processes=processes)
        made.append(trajectory(tmp_path / str(processes), plan, objective))
    assert made[0] == made[1]


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from test_search_walk import Toy, SPACE
from spaniel import Context
from spaniel_search.config import Budget
from spaniel_search.searching import Plan, search
class Loud(Toy):
    def score(self, candidate, effort):
        if not self.asked:
            print("ready", flush=True)
        return super().score(candidate, effort)
search(Context({folder!r}), Plan(SPACE, {strategy!r}, Budget(candidates=40), batch=3), Loud(seconds=0.02))
"""


@pytest.mark.parametrize(
    "strategy", [STRATEGIES[0], *(pytest.param(strategy, marks=pytest.mark.slow) for strategy in STRATEGIES[1:])]
)
def test_a_walk_that_is_killed_goes_on_to_the_same_trajectory(tmp_path: Path, strategy: str) -> None:
    script = SCRIPT.format(tests=str(Path(__file__).parent), folder=str(tmp_path / "killed"), strategy=strategy)
    rng = random.Random(strategy)
    kills = 0
    for _ in range(6):
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None
        process.stdout.readline()
        try:
            process.wait(rng.uniform(0.02, 0.35))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
        process.stdout.close()
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    assert kills >= 2
    plan = Plan(SPACE, strategy, Budget(candidates=40), batch=3)
    again = Toy()
    made = trajectory(tmp_path / "killed", plan, again)
    assert again.asked == 0
    assert made == trajectory(tmp_path / "whole", plan, Toy())


def test_a_journal_cut_anywhere_behind_the_state_is_cut_back(tmp_path: Path) -> None:
    class Stops(Toy):
        def score(self, candidate: Any, effort: float) -> Outcome:
            if self.asked == 17:
                raise ArtifactError("disk", "full")
            return super().score(candidate, effort)

    context, plan = Context(tmp_path), Plan(SPACE, STRATEGIES[0], Budget(candidates=40), batch=3)
    with pytest.raises(ArtifactError):
        search(context, plan, Stops())
    (journal,) = tmp_path.glob("drafts/*/walk.jsonl")
    with journal.open("a") as file:
        file.write('{"number": 15, "candi')
    rest = Toy()
    made = trajectory(tmp_path, plan, rest)
    assert rest.asked < 30, "what was scored before is in the cache, failures aside"
    assert made == trajectory(tmp_path / "whole", plan, Toy())
    assert not list(tmp_path.glob("artifacts/*/walk.json*"))


def test_a_damaged_journal_is_named(tmp_path: Path) -> None:
    class Stops(Toy):
        def score(self, candidate: Any, effort: float) -> Outcome:
            if self.asked == 8:
                raise ArtifactError("disk", "full")
            return super().score(candidate, effort)

    context, plan = Context(tmp_path), Plan(SPACE, "random", Budget(candidates=20))
    with pytest.raises(ArtifactError):
        search(context, plan, Stops())
    (journal,) = tmp_path.glob("drafts/*/walk.jsonl")
    journal.write_text("x" * journal.stat().st_size)
    with pytest.raises(ArtifactError, match="journal of the walk is damaged"):
        search(context, plan, Toy())
