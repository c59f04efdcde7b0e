"""Several processes: the gradient is that of one process with the same batch; a run by torchrun; kill and resume there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from spaniel.data import write_folder
from spaniel.testing import Cli, collection
from spaniel_neural.testing import write_model
from spaniel_train.rows import Row, to_lines

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed package"),
]
PLAIN = collection()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("processes")
    texts = [document.contents for document in PLAIN.documents]
    for task in ("encoder", "masked-lm"):
        write_model(root / task, "bert", task, texts=[*texts, *PLAIN.queries.texts], initializer_range=0.1)  # type: ignore[arg-type]
    write_folder(root / "data", PLAIN.documents, PLAIN.queries, {"train": PLAIN.qrels, "test": PLAIN.qrels})
    rows = [Row(f"{t.split()[0]} {n}", (t,), (texts[n - 1], texts[n - 2])) for n, t in enumerate(texts) if t.split()]
    (root / "rows.jsonl").write_text(to_lines(rows))
    return root


def recipe(home: Path, path: Path, kind: str, **more: Any) -> Path:
    content: dict[str, Any] = {
        "model": {
            "kind": kind,
            "base": str(home / ("masked-lm" if kind == "masked-lm" else "encoder")),
            "max_length": 32,
        },
        "data": [{"rows": str(home / "rows.jsonl")}],
        "objectives": [{"use": {"cross-encoder": "info-nce(scale=1, in_batch=false)"}.get(kind, "info-nce")}],
        "optimizer": {"use": "sgd(learning_rate=0.1, momentum=0.9)"},
        "batches": {"size": 8, "negatives": 1, "part": 3, "accumulation": 2},
        "steps": 4,
        "checkpoint": 1,
    }
    if kind == "masked-lm":
        content["objectives"] = [{"use": "masked-lm"}]
    path.write_text(yaml.safe_dump({**content, **more}))
    return path


PROGRAM = "from spaniel.cli import main; main(prog_name='spaniel')"
DYING = """
import os, signal
from spaniel_train import checkpoints
left, sync = 20, checkpoints._sync

def die(path):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    sync(path)

checkpoints._sync = die
"""
"""The first process, which alone writes, kills itself while it writes its fourth checkpoint; torchrun ends the other."""


def torchrun(cli: Cli, *arguments: str, program: str = PROGRAM) -> subprocess.Popen[str]:
    """Start a training in two processes."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    environment = {**os.environ, **cli.env, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *launcher, sys.executable, "-c", program, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("kind", ["bi-encoder", "masked-lm"])
@pytest.mark.parametrize("cached", [False, True])
def test_two_processes_train_what_one_does(home: Path, tmp_path: Path, kind: str, cached: bool) -> None:
    batches = {"size": 8, "negatives": 1, "part": 3, "accumulation": 2, "cached": cached}
    evaluation = {"evaluation": {"collection": str(home / "data"), "split": "train", "every": 2, "keep": "last"}}
    more = evaluation if kind == "bi-encoder" else {}
    path = recipe(home, tmp_path / "r.yaml", kind, batches=batches, **more)
    cli = Cli(tmp_path)
    arguments = ("train", str(path), "--device", "cpu", "--offline", "--json", "-o")
    one = cli(*arguments, str(tmp_path / "one"))
    assert one.exit_code == 0, one.stderr
    started = torchrun(cli, *arguments, str(tmp_path / "two"))
    out, err = started.communicate(timeout=200)
    assert started.returncode == 0, err
    report = json.loads(out)  # the first process alone says something
    assert report["processes"] == 2
    assert [step["loss"] for step in report["losses"]] == pytest.approx(
        [step["loss"] for step in one.json["losses"]], abs=1e-5
    )
    assert report["evaluations"] == pytest.approx(one.json["evaluations"], abs=1e-6)
    made = [load_file(tmp_path / name / "model.safetensors") for name in ("one", "two")]
    base = load_file(home / ("masked-lm" if kind == "masked-lm" else "encoder") / "model.safetensors")
    assert all(torch.allclose(made[0][name], made[1][name], atol=1e-5) for name in made[0])
    assert max(float((made[0][name] - base[name]).abs().max()) for name in made[0] if name in base) > 1e-3
    assert not list(tmp_path.glob(".two*"))


def test_two_killed_processes_go_on(home: Path, tmp_path: Path) -> None:
    path = recipe(home, tmp_path / "r.yaml", "bi-encoder", steps=6)
    cli = Cli(tmp_path)
    arguments = ("train", str(path), "--device", "cpu", "--offline", "-o")
    whole = torchrun(cli, *arguments, str(tmp_path / "whole"))
    _, err = whole.communicate(timeout=200)
    assert whole.returncode == 0, err
    killed = torchrun(cli, *arguments, str(tmp_path / "killed"), program=DYING + PROGRAM)
    _, err = killed.communicate(timeout=200)
    assert killed.returncode != 0
    assert "SIGKILL" in err
    assert not (tmp_path / "killed").exists()
    assert [path.name for path in (tmp_path / ".killed.training").glob("step-*")] == ["step-000000003"]
    again = torchrun(cli, *arguments, str(tmp_path / "killed"), "--resume")
    _, err = again.communicate(timeout=200)
    assert again.returncode == 0, err
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert weights[0] == weights[1]


def test_a_fault_of_the_first_process_ends_all(home: Path, tmp_path: Path) -> None:
    path = recipe(home, tmp_path / "r.yaml", "bi-encoder")
    started = torchrun(Cli(tmp_path), "train", str(path), "--device", "cpu", "--offline", "--resume")
    _, err = started.communicate(timeout=120)
    assert started.returncode != 0
    assert "no stopped training to resume" in err
