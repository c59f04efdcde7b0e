"""`spaniel explore`: tunes on some queries, reports on others, goes on after a kill, and prints what runs."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from spaniel import Context, Qrels, Queries, UsageError
from spaniel.collections import find_dataset
from spaniel.data import write_folder
from spaniel.system import run_system
from spaniel.testing import Cli, collection
from spaniel_search.config import Budget
from spaniel_search.exploring import Exploration, explore, remove_losers
from spaniel_search.parts import Part, check_apart, choose_parts, open_part, share
from spaniel_search.pipelines.objective import PipelineObjective, space_of
from spaniel_search.searching import read_result

EXPRESSION = (
    "?[bm25(k1=?[0.1..3.0], b=?, analyzer=words), rrf(bm25, bm25(analyzer=words), k=?)] >> ?[cut(k=?[3..9]), null]"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_collection(tmp_path_factory.mktemp("data") / "topics")


def write_collection(path: Path, train: bool = False, shared: bool = False) -> Path:
    """Write the small collection with 48 queries, in one split or in two."""
    plain = collection()
    rng = random.Random(0)
    ids, texts, grades = [], [], {}
    for number in range(48):
        document = plain.documents[rng.randrange(len(plain.documents))]
        topic = document.id.partition("-")[0]
        words = rng.sample(document.text.split(), 3)
        ids.append(f"q{number}")
        texts.append(f"{' '.join(words)} {number}")
        grades[f"q{number}"] = {d.id: 1 for d in plain.documents if d.id.startswith(topic)}
    splits = {"test": Qrels(grades)}
    if train:
        half = {name: judged for name, judged in grades.items() if int(name[1:]) % 2}
        rest = grades if shared else {name: judged for name, judged in grades.items() if name not in half}
        splits = {"train": Qrels(half), "test": Qrels(rest)}
    write_folder(path, plain.documents, Queries.from_lists(ids, texts), splits)
    return path


def wanted(folder: Path, **other: Any) -> Exploration:
    settings: dict[str, Any] = {"strategy": "greedy(neighbours=3)", "budget": Budget(candidates=14), "batch": 3}
    return Exploration(EXPRESSION, str(folder), **{**settings, **other})


def open_corpus(context: Context, folder: Path) -> Any:
    from spaniel.system import open_task

    return open_task(context, find_dataset(context, str(folder)), "test").corpus


def trajectory(result: Any) -> list[Any]:
    return [(trial.candidate, trial.score, trial.effort, trial.repeated) for trial in result.trials]


def test_exploring_from_the_command_line(run_cli: Cli, folder: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    arguments = ["explore", EXPRESSION, str(folder), "--strategy", "greedy(neighbours=3)", "--budget", "14"]
    ran = run_cli(*arguments, "--report", str(report))
    assert ran.exit_code == 0, ran.stderr
    assert "halved by a hash" in ran.stdout
    assert "14 configurations tried; the budget of 14 candidates is used up" in ran.stdout
    told = run_cli(*arguments, "--json").json
    best = told["best"]["expression"]
    assert f"best       {best}" in ran.stdout
    assert told["tried"] == 14
    assert told["held_out"]["best"]["expression"] == best
    assert told["best"]["score"] >= told["held_out"]["beginning"]["tuned"], "the walk begins at the defaults"
    assert run_cli("run", best, str(folder), "--json").exit_code == 0, "the best is an expression that runs"

    files = {path.name for path in Path(told["artifact"]).iterdir()}
    assert files == {
        "manifest.json", "trials.jsonl", "result.json", "best-so-far.png", "cost-score.png", "report.html"
    }  # fmt: skip
    assert (Path(told["artifact"]) / "best-so-far.png").read_bytes().startswith(b"\x89PNG")
    page = report.read_text()
    assert "src=" not in page
    assert "http" not in page
    assert best.replace(">", "&gt;") in page
    HTMLParser().feed(page)
    assert page.count("<circle") >= 14


def test_indexes_of_losers_are_removed_and_the_best_keeps_its_own(folder: Path, tmp_path: Path) -> None:
    context = Context(tmp_path)
    found = explore(context, wanted(folder))
    built = {address for trial in found.result.trials for address in trial.detail.get("built", ())}
    count, size = remove_losers(context, found)
    kept = {address for address in built if context.store.has(address)}
    assert count == len(built) - len(kept) > 0
    assert size > 0
    assert kept <= set(found.result.facts["held_out"]["needed"])
    assert remove_losers(context, found) == (0, 0)

    loser = next(trial for trial in found.result.trials if set(trial.detail.get("built", ())) - kept)
    context.run(loser.detail["expression"], Queries.from_lists(["q"], ["dog"]), open_corpus(context, folder))
    assert remove_losers(context, explore(context, wanted(folder))) == (0, 0), "it was built for something else"


def test_sessions_change_nothing_and_seeds_do(folder: Path, tmp_path: Path) -> None:
    one, two, three = (
        explore(Context(tmp_path / name, seed=seed), wanted(folder, budget=Budget(candidates=8)))
        for name, seed in (("one", 0), ("two", 0), ("three", 1))
    )
    assert trajectory(one.result) == trajectory(two.result) != trajectory(three.result)
    assert one.artifact.address == two.artifact.address


@pytest.mark.slow
def test_processes_change_nothing(folder: Path, tmp_path: Path) -> None:
    one = explore(Context(tmp_path / "one"), wanted(folder))
    two = explore(Context(tmp_path / "two"), wanted(folder, processes=2))
    assert trajectory(one.result) == trajectory(two.result)
    assert one.artifact.address == two.artifact.address


@pytest.mark.slow
def test_an_exploration_that_is_killed_goes_on_to_the_same_trajectory(folder: Path, tmp_path: Path) -> None:
    arguments = ["explore", EXPRESSION, str(folder), "--strategy", "ageing-evolution(population=5, sample=2)"]
    arguments += ["--budget", "20", "--json"]
    command = [sys.executable, "-c", "from spaniel.cli import main; main(prog_name='spaniel')", *arguments]
    environment = {**os.environ, "SPANIEL_STORE": str(tmp_path / "killed")}
    kills, seen = 0, 0
    while kills < 3:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while process.poll() is None:
            journals = list((tmp_path / "killed").glob("drafts/*/walk.jsonl"))
            lines = journals[0].read_bytes().count(b"\n") if journals else 0
            if lines > seen:
                seen = lines
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.005)
        process.communicate()
        if process.returncode == 0:
            break
    assert kills >= 2
    made = subprocess.run(command, env=environment, capture_output=True, check=True)
    whole = subprocess.run(
        command, env={**environment, "SPANIEL_STORE": str(tmp_path / "whole")}, capture_output=True, check=True
    )
    results = [read_result(Context(tmp_path / name).store.open(Path(json.loads(ran.stdout)["artifact"]).name))
               for name, ran in (("killed", made), ("whole", whole))]  # fmt: skip
    assert trajectory(results[0]) == trajectory(results[1])
    assert results[0].facts["held_out"]["difference"] == results[1].facts["held_out"]["difference"]


def test_less_effort_is_fewer_queries_and_the_same_ones(folder: Path, tmp_path: Path) -> None:
    context = Context(tmp_path)
    task = open_part(context, find_dataset(context, str(folder)), Part("test"))
    third, half = (set(share(task, effort, 0).queries.ids) for effort in (1 / 3, 1 / 2))
    assert (len(third), len(half)) == (16, 24)
    assert third < half
    assert share(task, 1.0, 0) is task
    assert share(task, 1e-9, 0).queries.ids
    found = explore(
        context, wanted(folder, strategy="successive-halving(candidates=9, least=0.34)", budget=Budget(candidates=6))
    )
    assert found.result.best.effort == 1.0
    assert {trial.effort for trial in found.result.trials} == {0.34, 1.0}


def test_a_part_is_half_of_a_split_whatever_the_order(folder: Path, tmp_path: Path) -> None:
    context = Context(tmp_path)
    dataset = find_dataset(context, str(folder))
    parts = choose_parts(dataset)
    tuned, held = (open_part(context, dataset, part) for part in parts)
    assert set(tuned.queries.ids) | set(held.queries.ids) == {f"q{number}" for number in range(48)}
    assert not set(tuned.queries.ids) & set(held.queries.ids)
    assert 14 <= len(tuned.queries) <= 34
    check_apart(tuned, held)
    other = open_part(Context(tmp_path, seed=8), dataset, parts[0])
    assert other.queries.ids == tuned.queries.ids, "what one exploration has tuned on, no other reports on"


def test_what_was_tuned_on_is_not_reported_on(folder: Path, tmp_path: Path) -> None:
    context = Context(tmp_path / "store")
    with pytest.raises(UsageError, match="queries that were tuned on are not reported on"):
        explore(context, wanted(folder, tune="test", report="test"))
    two = find_dataset(context, str(write_collection(tmp_path / "two", train=True)))
    assert choose_parts(two) == (Part("train", without="test"), Part("test"))
    assert choose_parts(two, tune="test") == (Part("test", "tuned"), Part("test", "held out"))
    overlapping = find_dataset(context, str(write_collection(tmp_path / "overlapping", train=True, shared=True)))
    with pytest.raises(UsageError, match="no judged query of overlapping is in train that is not in test"):
        open_part(context, overlapping, choose_parts(overlapping)[0])
    parts = choose_parts(overlapping, tune="test", report="train")
    tuned, held = (open_part(context, overlapping, part) for part in parts)
    assert (len(tuned.queries), len(held.queries)) == (24, 24)
    check_apart(tuned, held)
    with pytest.raises(UsageError, match="24 of the 24 queries to report on were tuned on"):
        check_apart(open_part(context, overlapping, Part("test")), held)
    with pytest.raises(UsageError, match="no split 'dev'; it has"):
        explore(context, wanted(folder, tune="dev"))


def test_prefixes_are_shared_and_memory_is_bounded(folder: Path, tmp_path: Path) -> None:
    context = Context(tmp_path, keep=3)
    space = space_of("bm25(k=20) >> ?[cut(k=?[1..9]), null]")
    objective = PipelineObjective(context, space, str(folder), Part("test"), "nDCG@10")
    stages: list[str] = []

    class Watch:
        from spaniel import hookimpl

        @hookimpl
        def stage_started(self, stage: Any) -> None:
            stages.append(stage.name)

    context.registry.observe(Watch())
    for k in range(1, 10):
        objective.score(objective.space.at([0, k - 1]), 1.0)
    assert stages.count("bm25(k=20)") == 1
    assert sum(name.startswith("cut") for name in stages) == 9


def test_failing_candidates_do_not_end_an_exploration(folder: Path, tmp_path: Path) -> None:
    from spaniel.plugins import load_registry
    from spaniel.testing import oracles

    registry = load_registry(warn=False)
    registry.register(oracles, "oracles")
    context = Context(tmp_path, registry=registry)
    found = explore(
        context,
        Exploration("bm25(k=?[5..20]) >> ?[null, failing(after=3)]", str(folder), "random", Budget(candidates=12)),
    )
    assert 0 < found.result.failed < 12
    reason = next(trial.error for trial in found.result.trials if trial.score is None)
    assert "fails after 3 pairs" in reason
    assert "failing" not in found.expression
    assert "fails after 3 pairs" in found.artifact.file("report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bm25(k1=?[-1..2])"], "^^^"),
        (["bm25(k1=?)", "--budget", "lots"], "is no budget"),
        (["bm25(k1=?)", "--strategy", "count"], "a strategy is needed"),
        (["bm25(k1=?)", "--strategy", "gready"], "did you mean"),
        (["bm25(k1=?)", "-m", "nDGC@10"], "did you mean nDCG@10"),
        (["bm25(k1=?)", "--report", "/no/such/folder/x.html"], "there is no folder"),
    ],
)
def test_mistakes_are_usage_errors(run_cli: Cli, folder: Path, arguments: list[str], said: str) -> None:
    ran = run_cli("explore", arguments[0], str(folder), *arguments[1:])
    assert ran.exit_code == 2
    assert said in ran.stderr
    assert not Path(run_cli.env["SPANIEL_STORE"]).joinpath("evaluations.sqlite").exists()


@pytest.mark.slow
def test_processes_end_with_the_one_that_started_them(folder: Path, tmp_path: Path) -> None:
    arguments = ["explore", EXPRESSION, str(folder), "--budget", "100000", "--processes", "2"]
    command = [sys.executable, "-c", "from spaniel.cli import main; main(prog_name='spaniel')", *arguments]
    environment = {**os.environ, "SPANIEL_STORE": str(tmp_path)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        process.kill()
        pytest.skip("this system does not list the children of a process")
    until = time.monotonic() + 120
    while not list(tmp_path.glob("drafts/*/walk.json")) and time.monotonic() < until:
        time.sleep(0.1)
    started = children.read_text().split()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert len(started) >= 2
    while (left := [pid for pid in started if _runs(pid)]) and time.monotonic() < until:
        time.sleep(0.1)
    assert not left


def _runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_figures_at_the_end_are_of_equal_effort(folder: Path, tmp_path: Path) -> None:
    """The budget is used up on shares of the queries; best and beginning are compared on all of them all the same."""
    context = Context(tmp_path)
    strategy = "successive-halving(candidates=9, eta=3, least=0.1111111111111111)"
    explored = Exploration("bm25(k1=?[0.1..3.0], b=?)", str(folder), strategy, Budget(candidates=1.2))
    found = explore(context, explored)
    result, held = found.result, found.result.facts["held_out"]
    assert result.spent["candidates"] <= 1.2001
    assert result.tried >= 9
    dataset = find_dataset(context, str(folder))
    task = open_part(context, dataset, choose_parts(dataset)[0])
    for title in ("best", "beginning"):
        pipeline = context.pipeline(held[title]["expression"])
        alone = run_system(context, pipeline, task, ["nDCG@10"])
        assert alone.evaluation is not None
        assert held[title]["tuned"] == alone.evaluation.means["nDCG@10"]
    assert held["effort"] == result.best.effort == 1.0
    assert held["best"]["tuned"] >= held["beginning"]["tuned"]
    assert [trial.final for trial in result.trials].count(True) >= 1


def test_calls_bound_pipelines_that_call_no_model(folder: Path, tmp_path: Path) -> None:
    found = explore(Context(tmp_path), Exploration("bm25(k1=?, b=?)", str(folder), "random", Budget(calls=5)))
    assert (found.result.tried, found.result.spent["calls"]) == (5, 5)
    assert found.result.ended == "the budget of 5 calls is used up"


LEARNED = '''
from pydantic import Field
from spaniel import Component, Config, hookimpl
from spaniel.learning import Lesson
import os

class Options(Config):
    """Options."""
    texts: tuple[str, ...] = Field((), description="queries that it has learned from")
    dies: bool = Field(False, description="whether it takes the process with it")

class Learned:
    def __init__(self, config, context):
        self.config = config
    def lessons(self):
        return [Lesson.of("a source", self.config.texts)]
    def rerank(self, queries, run, corpus):
        if self.config.dies:
            os._exit(4)
        return run

@hookimpl
def rerank():
    yield Component("learned", config="learned:Options", factory="learned:Learned", summary="learned")
'''


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("plugin") / "learned.py"
    path.write_text(LEARNED)
    return str(path)


def test_what_has_learned_from_queries_to_report_on_is_refused(
    learned: str, run_cli: Cli, folder: Path, tmp_path: Path
) -> None:
    dataset = find_dataset(Context(tmp_path), str(folder))
    tuned, held = (open_part(Context(tmp_path), dataset, part) for part in choose_parts(dataset))
    both = json.dumps([tuned.queries.texts[0], held.queries.texts[0].upper(), held.queries.texts[1]])
    arguments = ["--plugin", learned, "explore", "--strategy", "random", "--budget", "4", "--trial-timeout", "none"]
    refused = run_cli(*arguments, f"bm25(k=?[5..50]) >> learned(texts={both})", str(folder))
    assert refused.exit_code == 2
    said = f"`learned` was trained on a source, which has 2 of the {len(held.queries)} queries to report on"
    assert said in refused.stderr
    assert "--allow-learned" in refused.stderr
    other = run_cli(*arguments, f"bm25 >> ?[learned(texts={both}), cut(k=?[5..50])]", str(folder), "--json")
    assert other.exit_code == 0, other.stderr
    assert other.json["failed"] == 1
    assert other.json["held_out"]["beginning"]["error"].startswith(said)
    assert other.json["held_out"]["difference"] is None
    allowed = run_cli(*arguments, "--allow-learned", f"bm25(k=?[5..50]) >> learned(texts={both})", str(folder))
    assert allowed.exit_code == 0, allowed.stderr
    note = f"note: `learned` has learned from 2 of the {len(held.queries)} queries reported on (a source)"
    assert note in allowed.stdout
    assert f"note: `learned` has learned from 1 of the {len(tuned.queries)} queries tuned on" in allowed.stdout


def test_a_pipeline_that_ends_its_process_is_a_trial(learned: str, run_cli: Cli, folder: Path) -> None:
    expression = "bm25(k=?[5..20]) >> ?[learned(dies=true), cut(k=?[3..5])]"
    arguments = ["--strategy", "random", "--budget", "4", "--trial-timeout", "60"]
    ran = run_cli("--plugin", learned, "explore", expression, str(folder), *arguments)
    assert ran.exit_code == 0, ran.stderr
    assert "failed (the first: its process ended with exit code 4)" in ran.stdout
    assert re.search(r"beginning  bm25\(k=\d+\) >> learned\(dies=true\)\n +failed: its process", ran.stdout)
