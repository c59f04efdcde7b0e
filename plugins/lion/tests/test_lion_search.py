"""The space of programs, its proxies, the search, the funnel, and programs in recipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from spaniel import Context, UsageError
from spaniel.data import write_folder
from spaniel.testing import Cli, collection, contract
from spaniel_lion.evolving import evolve, redundant_share
from spaniel_lion.programs.mutation import constants_of
from spaniel_lion.programs.published import PUBLISHED, read_program
from spaniel_lion.programs.rule import Rule
from spaniel_lion.programs.signature import OPTIMIZER
from spaniel_lion.programs.text import parse_program
from spaniel_lion.selection import funnel, shrink
from spaniel_lion.tasks import WORST, DigitsTask, Schedule, TitlesTask, outcome, rates, train_by
from spaniel_neural.testing import write_model
from spaniel_search.config import Budget
from spaniel_search.objectives import ProxyObjective
from spaniel_search.searching import Plan, search

PLAIN = collection()
SMALL = {"steps": 10, "batch": 8, "hidden": 4}
QUICK = "digits(steps=20, hidden=0)"
test_programs = contract("search_space/programs")
test_constants = contract("search_space/programs", options={"change": "constants"})
test_few_functions = contract(
    "search_space/programs", options={"functions": ("sign", "*", "interp", "+"), "longest": 12, "start": "lion"}
)
test_digits = contract("search_space/digits", options=SMALL, space="programs")
test_evolution = contract(
    "search_space/ageing-evolution", options={"population": 6, "sample": 2, "fill": True}, space="programs"
)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(tmp_path / "store", seed=3)


@pytest.fixture(scope="module")
def titled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection whose titles name what their texts are about."""
    from spaniel import Document

    rng = np.random.default_rng(0)
    words = [f"word{n}" for n in range(200)]
    documents = []
    for n in range(100):
        about = rng.choice(words, 3, replace=False).tolist()
        documents.append(Document(f"d{n}", " ".join(about), " ".join([*about, *rng.choice(words, 12).tolist()])))
    root = tmp_path_factory.mktemp("titled") / "data"
    write_folder(root, documents, PLAIN.queries, {"test": PLAIN.qrels})
    return root


def test_a_space_changes_what_it_is_told_to(context: Context) -> None:
    rng = np.random.default_rng(0)
    tuning: Any = context.create("search_space", "programs(change=constants)")
    shape = [statement[:2] for statement in tuning.read(tuning.start).statements]
    for _ in range(20):
        program = tuning.read(tuning.sample(rng))
        assert [statement[:2] for statement in program.statements] == shape
        assert len(constants_of(program)) == 4
    few: Any = context.create("search_space", "programs(functions=[sign, '*'], longest=11)")
    candidate = few.start
    for _ in range(100):
        candidate = few.mutate(candidate, rng)
        assert len(few.read(candidate).statements) <= 11
    assert few.counts(PUBLISHED["discovered"]) == {"length": 12, "statements": 11, "states": 1}
    with pytest.raises(UsageError, match="'sine'"):
        context.create("search_space", "programs(functions=[sine])")
    with pytest.raises(UsageError, match="neither a program nor a file"):
        context.create("search_space", "programs(start=nothing)").start  # noqa: B018


def test_programs_come_from_files(context: Context, tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("update = sign(g) * lr")
    space: Any = context.create("search_space", f"programs(start='{path}')")
    assert space.start == "t0 = sign(g)\nupdate = t0 * lr\nreturn update, m, v"


def test_gradients_of_the_digits_are_those_of_autograd() -> None:
    for hidden in (0, 7):
        task = DigitsTask(hidden)
        weights = [w.requires_grad_() for w in task.weights(torch.Generator().manual_seed(1))]
        rows = torch.arange(50)
        x, y = (side[rows] for side in task.parts["train"])
        logits = (x @ weights[0]).relu() @ weights[1] if hidden else x @ weights[0]
        wanted = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, y), weights)
        with torch.no_grad():
            made = task.gradients(weights, rows)
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(made, wanted, strict=True))


def test_a_training_is_what_the_rule_says() -> None:
    task, schedule = DigitsTask(0), Schedule(5, 16, 2.0)
    rule = Rule(read_program("update = g * lr\nm = m + g", OPTIMIZER), OPTIMIZER)
    generator = torch.Generator().manual_seed(4)
    (weight,) = task.weights(generator)
    drawn = torch.randint(1000, (5, 16), generator=generator)
    for rows, rate in zip(drawn, rates(5), strict=True):
        weight = weight - 2.0 * rate * task.gradients([weight], rows)[0]
    assert torch.allclose(train_by(rule, task, schedule, 4)[0], weight, atol=1e-6)
    assert rates(100)[0] < rates(100)[9] <= 1
    assert rates(100)[-1] < 0.01
    bad = Rule(read_program("update = log(g - g)", OPTIMIZER), OPTIMIZER)
    assert outcome(bad, task, schedule, 4, "validation") == (WORST, 1.0)


def test_proxies_refuse_other_spaces(context: Context) -> None:
    space: Any = context.create("search_space", 'pipelines(expression="bm25(k1=?)")')
    proxy: Any = context.create("search_space", QUICK)
    with pytest.raises(UsageError, match="trains by programs"):
        proxy.score(space, space.sample(np.random.default_rng(0)), 0)
    error: Any = context.create("search_space", "digits(measure=error)")
    programs: Any = context.create("search_space", "programs")
    assert 0 < error.score(programs, programs.start, 0) < 0.2


def test_titles_are_learned(context: Context, titled: Path) -> None:
    task = TitlesTask(context, str(titled), 256, 16, 20.0, 100)
    assert task.rows == 60
    words, offsets = task.sides[0].take(torch.tensor([5, 2]))
    assert len(words) == 6
    assert offsets.tolist() == [0, 3]
    assert len(task._bags(["हिन्दी भाषा"], 256).take(torch.tensor([0]))[0]) == 2
    space: Any = context.create("search_space", "programs")
    proxy: Any = context.create("search_space", f"titles(collection='{titled}', buckets=256, batch=16)")
    still: Any = proxy.score(space, "update = g * 0.0", 0)
    assert proxy.score(space, space.start, 0) < still
    few: Any = context.create("search_space", f"titles(collection='{titled}', rows=20)")
    assert few.task.rows == 12


def test_the_search_finds_better_programs_and_remembers(context: Context) -> None:
    found = evolve(context, "programs", QUICK, 90, population=20, runs=2)
    space: Any = context.create("search_space", "programs")
    first = -context.create("search_space", QUICK).score(space, space.start, 3)
    assert len(found.walks) == 3
    assert found.score > first
    assert found.walks[2].trials[0].candidate == max(found.walks[:2], key=lambda w: w.best.score or 0).best.candidate
    assert found.walks[0].trials[1].candidate != found.walks[1].trials[1].candidate
    assert 0.2 < found.repeated < 1
    assert 0 < redundant_share(space, found.walks[2], 20) < 1
    again = evolve(context, "programs", QUICK, 90, population=20, runs=2)
    assert [walk.trials for walk in again.walks] == [walk.trials for walk in found.walks]


@pytest.mark.slow
def test_a_search_that_is_killed_goes_on_to_the_same_end(tmp_path: Path) -> None:
    code = (
        "from spaniel import Context; from spaniel_lion.evolving import evolve; import sys;"
        f"found = evolve(Context(sys.argv[1], seed=1), 'programs', '{QUICK}', 120, population=10, runs=1);"
        "print(found.score, found.generated, found.program)"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start(store: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code, str(tmp_path / store)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)

    whole = start("whole")
    killed = start("killed")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and killed.poll() is None:
        journals = list((tmp_path / "killed").rglob("walk.jsonl"))
        if journals and journals[0].stat().st_size > 4000:
            killed.send_signal(signal.SIGKILL)
            break
        time.sleep(0.01)
    killed.wait()
    rest = start("killed")
    expected, made = whole.communicate()[0], rest.communicate()[0]
    assert whole.returncode == rest.returncode == 0
    assert made == expected


def test_a_funnel_lets_through_what_beats_the_baseline(context: Context) -> None:
    space: Any = context.create("search_space", "programs")
    rate = "update = update * lr"
    programs = [PUBLISHED["adamw"].replace(rate, f"{rate}\nupdate = update * {f!r}") for f in (0.01, 0.5, 2.0)]
    renamed = programs[2].replace("g2", "other")
    proxies = ["digits(steps=20, learning_rate=1)", "digits(steps=40, learning_rate=1)"]
    stages = funnel(context, "programs", [*programs, renamed], proxies, PUBLISHED["adamw"])
    assert [stage.proxy for stage in stages] == proxies
    assert len(stages[0].scores) == 3
    assert [set(stage.passed) for stage in stages] == [{renamed}, {renamed}]
    for stage in stages:
        proxy: Any = context.create("search_space", stage.proxy)
        assert stage.baseline == -proxy.score(space, PUBLISHED["adamw"], 3)
        assert all((score > stage.baseline) == (one in stage.passed) for one, score in stage.scores.items())
    assert len(funnel(context, "programs", programs[:1], proxies, PUBLISHED["adamw"])) == 1


def test_what_hardly_matters_is_removed(context: Context) -> None:
    proxy: Any = context.create("search_space", QUICK)
    space: Any = context.create("search_space", "programs")
    smaller = shrink(context, "programs", PUBLISHED["adamw"], QUICK, 0.01)
    assert len(parse_program(smaller, OPTIMIZER).statements) < 9
    assert "interp" in smaller
    loss = proxy.score(space, PUBLISHED["adamw"], 3)
    assert proxy.score(space, smaller, 3) <= loss + 0.01
    assert shrink(context, "programs", "update = g * lr\nx = sin(g)", QUICK, 0.0).count("\n") == 1


def test_the_command_shows_and_searches(tmp_path: Path) -> None:
    run = Cli(tmp_path)
    ran = run("programs", "show", "discovered")
    assert ran.exit_code == 0, ran.stderr
    assert "12 statements, 1 redundant; states that it keeps: v" in ran.stdout
    ran = run("programs", "show", "update = sine(g)")
    assert ran.exit_code == 2
    assert "sine(g)" in ran.stderr
    more = ["--proxy", QUICK, "--budget", "60", "--population", "10", "--then", "digits(steps=30, hidden=0)"]
    ran = run("programs", "search", *more, "--tolerance", "0.01", "-o", str(tmp_path / "found.txt"), "--json")
    assert ran.exit_code == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["funnel"][0]["came"] == 10
    assert (tmp_path / "found.txt").read_text() == told["program"] + "\n"
    ran = run("programs", "show", str(tmp_path / "found.txt"), "--json")
    assert json.loads(ran.stdout)["canonical"] == told["program"]
    assert run("programs", "search", "--budget", "10", "--runs", "20").exit_code == 2


@pytest.mark.slow
def test_evolution_and_tuning_beat_chance(context: Context) -> None:
    found = evolve(context, "programs", "digits", 300, population=20, runs=1)
    tuned = evolve(context, "programs(change=constants)", "digits", 300, population=20, runs=1)
    objective = ProxyObjective(context, "programs", "digits")
    random = search(context, Plan("programs", "random", Budget(candidates=300), batch=50), objective)
    assert min(found.score, tuned.score) > (random.best.score or 0)
    assert found.repeated > 0.5
    space: Any = context.create("search_space", "programs")
    assert redundant_share(space, found.walks[-1], 20) > 0.4


@pytest.mark.parametrize(
    "use",
    [
        pytest.param("lion(learning_rate=1e-3)", marks=pytest.mark.slow),
        "cautious-lion(momentum_dtype=bfloat16)",
        pytest.param("program(program=discovered)", marks=pytest.mark.slow),
    ],
)
def test_recipes_train_by_it_and_go_on_after_a_stop(use: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.torch import load_file
    from spaniel_train import training

    texts = [document.contents for document in PLAIN.documents]
    write_model(tmp_path / "base", "bert", "encoder", texts=texts, initializer_range=0.1)
    rows = [{"query": text.split()[0], "positives": [text], "negatives": []} for text in texts if text.split()]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    content = {
        "model": {"kind": "bi-encoder", "base": str(tmp_path / "base"), "max_length": 16},
        "data": [{"rows": str(tmp_path / "rows.jsonl")}],
        "objectives": [{"use": "info-nce"}],
        "optimizer": {"use": use},
        "batches": {"size": 4},
        "steps": 6,
        "checkpoint": 2,
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
    run = Cli(tmp_path)
    ran = run("train", str(tmp_path / "recipe.yaml"), "-o", str(tmp_path / "whole"), "--device", "cpu")
    assert ran.exit_code == 0, ran.stderr
    report = json.loads((tmp_path / "whole.json").read_text())
    share = report["optimizers"][0]["state_bytes"] / report["optimizers"][0]["parameters"]
    # The pooler has parameters, and no gradient.
    assert share == pytest.approx({"l": 4, "c": 2, "p": 4}[use[0]], rel=0.05)
    saved, calls = training.Workplace.save, []

    def stop(self: Any, *arguments: Any) -> None:
        saved(self, *arguments)
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(training.Workplace, "save", stop)
    run("train", str(tmp_path / "recipe.yaml"), "-o", str(tmp_path / "rest"), "--device", "cpu")
    monkeypatch.setattr(training.Workplace, "save", saved)
    ran = run("train", str(tmp_path / "recipe.yaml"), "-o", str(tmp_path / "rest"), "--device", "cpu", "--resume")
    assert ran.exit_code == 0, ran.stderr
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "rest"))
    assert all(torch.equal(one[name], two[name]) for name in one)
