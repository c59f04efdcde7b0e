"""Trainings and syntheses that are killed anywhere, also while a checkpoint is written, end as if they were not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from spaniel.data import write_folder
from spaniel.testing import Cli, collection
from spaniel_neural.testing import write_model
from spaniel_train.rows import Row, to_lines

pytestmark = pytest.mark.slow
PLAIN = collection()
BASES = {"bi-encoder": "encoder", "cross-encoder": "encoder", "masked-lm": "masked-lm"}
OBJECTIVES = {
    "bi-encoder": "info-nce",
    "cross-encoder": "info-nce(scale=1, in_batch=false)",
    "masked-lm": "masked-lm",
}
DYING = """
import os, signal, sys
from spaniel_train import {room} as room
{setup}
left = int(sys.argv.pop(1))
sync = room.{name}

def die(*given):
    global left
    left -= 1
    if not left:
        {before}
        os.kill(os.getpid(), signal.SIGKILL)
    return sync(*given)

room.{name} = die
from spaniel.cli import main
main(prog_name="spaniel")
"""
HALF = "path = given[0]; path.is_file() and os.truncate(path, path.stat().st_size // 2)"
"""What a power cut may leave of a file that was not synced."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("kills")
    texts = [document.contents for document in PLAIN.documents]
    for task in set(BASES.values()):
        write_model(root / task, "bert", task, texts=[*texts, *PLAIN.queries.texts], initializer_range=0.1)  # type: ignore[arg-type]
    write_folder(root / "data", PLAIN.documents, PLAIN.queries, {"train": PLAIN.qrels, "test": PLAIN.qrels})
    rows = [Row(f"{t.split()[0]} {n}", (t,), (texts[n - 1], texts[n - 2])) for n, t in enumerate(texts) if t.split()]
    (root / "rows.jsonl").write_text(to_lines(rows))
    return root


def killed(cli: Cli, at: int, room: str, name: str, *arguments: str, before: str = "", setup: str = "") -> None:
    """Run a command that kills itself at the so-manieth call of a function."""
    program = DYING.format(room=room, name=name, before=before or "pass", setup=setup)
    environment = {**os.environ, **cli.env}
    ran = subprocess.run([sys.executable, "-c", program, str(at), *arguments], env=environment, capture_output=True)
    assert ran.returncode == -signal.SIGKILL, ran.stderr.decode()


@pytest.mark.parametrize("kind", list(BASES))
def test_three_kills_change_nothing(home: Path, tmp_path: Path, kind: str) -> None:
    content: dict[str, Any] = {
        "model": {"kind": kind, "base": str(home / BASES[kind]), "max_length": 32},
        "data": [{"rows": str(home / "rows.jsonl")}],
        "objectives": [{"use": OBJECTIVES[kind]}],
        "optimizer": {
            "use": "adamw(learning_rate=0.001)",
            "groups": [{"shape": "matrices", "use": "sgd(momentum=0.9)"}],
        },
        "batches": {"size": 4, "negatives": 1, "part": 3, "accumulation": 2, "cached": True},
        "steps": 18,
        "checkpoint": 2,
    }
    if kind != "masked-lm":
        content["evaluation"] = {"collection": str(home / "data"), "split": "train", "every": 3, "rerank": "bm25(k=5)"}
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(content))
    cli = Cli(tmp_path)
    arguments = ("train", str(path), "--device", "cpu", "--offline", "-o")
    whole = cli(*arguments, str(tmp_path / "whole"))
    assert whole.exit_code == 0, whole.stderr
    # Each checkpoint syncs its four files (once more the state, before it is renamed) and then the folder.
    rng = np.random.default_rng(len(kind))
    resume: tuple[str, ...] = ()
    for before in (HALF, "", HALF):
        given = (*arguments, str(tmp_path / "killed"), *resume)
        killed(cli, int(rng.integers(8, 18)), "checkpoints", "_sync", *given, before=before)
        assert not (tmp_path / "killed").exists()
        resume = ("--resume",)
    last = cli(*arguments, str(tmp_path / "killed"), "--resume")
    assert last.exit_code == 0, last.stderr
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert weights[0] == weights[1]
    reports = [json.loads((tmp_path / f"{name}.json").read_text()) for name in ("whole", "killed")]
    for field in ("losses", "evaluations", "best_step", "steps"):
        assert reports[0][field] == reports[1][field]
    assert not list(tmp_path.glob(".killed*"))


def test_a_killed_synthesis_goes_on(home: Path, tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    arguments = ("synthesize", "negatives(retriever=bm25(k=5))", str(home / "data"), "--split", "train", "-o")
    assert cli(*arguments, str(tmp_path / "whole.jsonl")).exit_code == 0
    resume: tuple[str, ...] = ()
    for at in (2, 2):
        given = (*arguments, str(tmp_path / "rest.jsonl"), *resume)
        killed(cli, at, "streaming", "to_lines", *given, setup="room.PIECE = 2")
        assert not (tmp_path / "rest.jsonl").exists()
        resume = ("--resume",)
    ran = cli(*arguments, str(tmp_path / "rest.jsonl"), "--resume")
    assert ran.exit_code == 0, ran.stderr
    assert (tmp_path / "rest.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    reports = [json.loads((tmp_path / f"{name}.jsonl.json").read_text()) for name in ("whole", "rest")]
    assert reports[0]["counts"] == reports[1]["counts"]
