"""Candidates that raise, die or never end; budgets in calls; workers that know the plugins; strategies that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from spaniel import Context, UsageError
from spaniel.plugins import load_registry
from spaniel.plugins.discovery import file_plugin
from spaniel.testing import Cli
from spaniel_search.budget import parse_limit
from spaniel_search.config import Budget
from spaniel_search.objectives import Outcome, ProxyObjective
from spaniel_search.searching import Plan, Result, read_result, search, search_need

PLUGIN = str(Path(__file__).with_name("search_wild.py"))
STUCK, DEAD, WRONG = 5, 7, 9
STRATEGIES = [
    "random",
    "genetic(population=4, parents=2)",
    "ageing-evolution(population=4, sample=2)",
    "particle-swarm(particles=3)",
    "greedy(neighbours=2)",
    "successive-halving(candidates=6, eta=2, least=0.25)",
    "funnel(proxies=[count(what=value)], samples=12, keep=1.0)",
]


def session(store: Path) -> Context:
    registry = load_registry(warn=False)
    registry.register_file(file_plugin(PLUGIN))
    return Context(store, registry=registry)


def walked(store: Path, strategy: str, budget: Budget, proxy: str = "wild", **more: Any) -> Result:
    context = session(store)
    return search(context, Plan("numbers", strategy, budget, **more), ProxyObjective(context, "numbers", proxy))


def trajectory(result: Result) -> list[Any]:
    return [(t.candidate, t.score, t.effort, t.repeated, t.error, t.final) for t in result.trials]


def command(store: Path, *arguments: str) -> tuple[list[str], dict[str, str]]:
    code = "from spaniel.cli import main; main(prog_name='spaniel')"
    environment = {**os.environ, "SPANIEL_STORE": str(store)}
    return [sys.executable, "-c", code, "--plugin", PLUGIN, "walk", "numbers", *arguments], environment


def test_whatever_a_candidate_does_is_a_trial_that_failed(run_cli: Cli, tmp_path: Path) -> None:
    log = tmp_path / "log"
    proxy = f"wild(log='{log}')"
    arguments = ["walk", "numbers", proxy, "--strategy", "random", "--budget", "12", "--batch", "4", "--processes", "2"]
    ran = run_cli("--plugin", PLUGIN, *arguments, "--trial-timeout", "1", "--json")
    assert ran.exit_code == 0, ran.stderr
    assert (ran.json["candidate"], ran.json["tried"], ran.json["failed"]) == (11, 12, 3)
    result = read_result(next(iter(Context(run_cli.env["SPANIEL_STORE"]).store.list())).artifact)
    errors = {trial.candidate: trial.error for trial in result.trials if trial.error}
    assert errors == {
        STUCK: "it took longer than 1 s; --trial-timeout gives more",
        DEAD: "its process ended with exit code 3",
        WRONG: "ZeroDivisionError: nine",
    }
    assert set(Counter(log.read_text().split()).values()) == {1}, "none is tried twice"
    shown = run_cli("--plugin", PLUGIN, *arguments, "--trial-timeout", "1").stdout
    assert "12 candidates tried, 3 failed (the first: " in shown


@pytest.mark.slow
def test_what_failed_before_a_kill_is_not_tried_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    proxy = f"wild(log='{log}')"
    budget = ["--strategy", "random", "--budget", "12", "--batch", "12", "--trial-timeout", "2"]
    arguments, environment = command(tmp_path / "store", proxy, *budget, "--json")
    process = subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not (log.exists() and {str(DEAD), str(WRONG)} <= set(log.read_text().split())) and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = Counter(log.read_text().split())
    again = subprocess.run(arguments, env=environment, capture_output=True, check=True)
    assert json.loads(again.stdout)["candidate"] == 11
    after = Counter(log.read_text().split())
    cut_off = log.read_text().split()[sum(before.values()) - 1]
    assert all(after[name] == 1 for name in before if name != cut_off)


@pytest.mark.parametrize(
    ("proxy", "budget", "tried", "spent"),
    [
        ("wild(wild=false)", Budget(calls=7), 7, 7),
        ("wild(wild=false, calls=3)", Budget(calls=10), 3, 9),
        ("wild(wild=false, calls=3)", Budget(calls=10, candidates=2), 2, 6),
        ("wild(wild=false, calls=4)", Budget(calls=4), 1, 4),
    ],
)
def test_calls_bound_a_walk_exactly(tmp_path: Path, proxy: str, budget: Budget, tried: int, spent: int) -> None:
    result = walked(tmp_path, "random", budget, proxy, batch=4)
    assert (result.tried, result.failed, result.spent["calls"]) == (tried, 0, spent)


def test_a_candidate_is_stopped_where_it_takes_more_than_is_left(tmp_path: Path) -> None:
    result = walked(tmp_path, "random", Budget(calls=20), "wild(wild=false, calls=2, growing=true)", batch=3)
    assert result.spent["calls"] <= 20 + 1, "no more than the call that told it"
    cut = [trial for trial in result.trials if trial.error]
    assert all("calls that were left of the budget" in trial.error for trial in cut)
    with pytest.raises(UsageError, match="takes more than the 5 calls that were left"):
        walked(tmp_path, "random", Budget(calls=5), "wild(wild=false, calls=6)")


def test_what_its_share_has_cut_short_may_have_what_others_left(tmp_path: Path) -> None:
    class Uneven:
        identity, recipe, staged = "uneven", ("", {}), False

        def __init__(self, context: Context) -> None:
            self.context = context

        def key(self, candidate: Any) -> str:
            return str(candidate)

        def score(self, candidate: int, effort: float) -> Outcome:
            with self.context.stage("uneven"):
                calls = {0: 1, 1: 1, 2: 8}[candidate % 3]
                for _ in range(calls):
                    self.context.count("model calls")
            return Outcome(float(candidate), {"model_calls": calls})

    context = session(tmp_path)
    plan = Plan("numbers(size=3)", "random", Budget(calls=30), batch=3)
    result = search(context, plan, Uneven(context))
    assert result.tried == 3
    assert not result.failed


def test_budgets_that_bound_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a budget of tokens does not bound this walk"):
        walked(tmp_path, "random", Budget(tokens=100), "wild(wild=false)")
    with pytest.raises(UsageError, match="a budget of calls does not bound `funnel`"):
        walked(tmp_path, STRATEGIES[-1], Budget(calls=100), "wild(wild=false)")


def test_a_proxy_knows_no_less_than_the_full_effort(tmp_path: Path) -> None:
    log = tmp_path / "log"
    result = walked(tmp_path, "successive-halving", Budget(candidates=4), f"wild(wild=false, log='{log}')")
    assert len(log.read_text().split()) == result.tried == 4
    assert {trial.effort for trial in result.trials} == {1.0}


def test_where_all_failed_another_try_begins_anew(tmp_path: Path) -> None:
    class Flaky:
        identity, recipe, staged, works = "flaky", ("", {}), False, False

        def key(self, candidate: Any) -> str:
            return str(candidate)

        def score(self, candidate: int, effort: float) -> Outcome:
            if not self.works:
                raise UsageError("no network")
            return Outcome(float(candidate))

    context, plan, objective = session(tmp_path), Plan("numbers", "random", Budget(candidates=4)), Flaky()
    with pytest.raises(UsageError, match="all 4 candidates failed; the first: no network"):
        search(context, plan, objective)
    objective.works = True
    assert search(context, plan, objective).failed == 0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_failures_are_no_parents_and_end_nothing(tmp_path: Path, strategy: str) -> None:
    class Moody:
        identity, recipe, staged = "moody", ("", {}), True

        def key(self, candidate: Any) -> str:
            return str(candidate)

        def score(self, candidate: int, effort: float) -> Outcome:
            assert (candidate, effort) not in tried
            tried.append((candidate, effort))
            if candidate % 2:
                raise [ValueError("odd"), SystemExit(3), MemoryError(), RecursionError("deep")][candidate // 2 % 4]
            return Outcome(float(candidate > 7))

    tried: list[tuple[int, float]] = []
    context = session(tmp_path)
    result = search(context, Plan("numbers(size=16)", strategy, Budget(candidates=9), batch=3), Moody())
    assert result.spent["candidates"] <= 9.0001
    assert result.best.score == 1.0
    failed = [candidate for candidate, _ in tried if candidate % 2]
    assert len(failed) == len(set(failed)), "what failed at one effort is not tried at another"
    assert result.failed == len(failed)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_strategies_are_the_same_with_two_processes_and_after_kills(tmp_path: Path, strategy: str) -> None:
    options = ["--strategy", strategy, "--budget", "10", "--batch", "2", "--trial-timeout", "3", "--json"]
    one, environment = command(tmp_path / "one", "wild", *options)
    whole = json.loads(subprocess.run(one, env=environment, capture_output=True, check=True).stdout)
    two, environment = command(tmp_path / "two", "wild", *options, "--processes", "2")
    for _ in range(3):
        process = subprocess.Popen(two, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(4)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    done = subprocess.run(two, env=environment, capture_output=True, check=True)
    again = json.loads(done.stdout)
    assert {k: v for k, v in again.items() if k != "spent"} == {k: v for k, v in whole.items() if k != "spent"}


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("10min", 600), ("2h", 7200), ("1.5s", 1.5), ("none", None)])
def test_limits_as_people_write_them(text: str, seconds: float | None) -> None:
    assert parse_limit(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-3", "10calls", "many", "1e999"])
def test_what_is_no_limit(text: str) -> None:
    with pytest.raises(UsageError, match="no time limit"):
        parse_limit(text)


def test_another_text_of_a_plugin_is_another_walk(tmp_path: Path) -> None:
    context = session(tmp_path)
    plan = Plan("numbers", "random", Budget(candidates=3))
    other = tmp_path / "search_other.py"
    addresses = []
    for text in ("a = 1\n", "a = 2\n"):
        other.write_text(text)
        if not addresses:
            context.registry.register_file(file_plugin(str(other)))
        addresses.append(search_need(context, plan, ProxyObjective(context, "numbers", "wild")).recipe.address)
    assert len(set(addresses)) == 2
