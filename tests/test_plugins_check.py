"""`spaniel plugins check`: what it says of contracts, and that nothing it starts outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from spaniel.testing import Cli, write_distribution

_OFFER = "from spaniel import Component, hookimpl\n\n\n@hookimpl\ndef {kind}():\n    yield Component({arguments})\n"
_INDEX = """
import os
import numpy as np
from spaniel import Run
from spaniel.data import open_vectors, save_vectors


class Indexer:
    can_add = can_delete = can_filter = False
    recall = 1.0

    def __init__(self, config, context): ...

    def fingerprint(self):
        return {}

    def build(self, source, draft):
        save_vectors(source, draft.file("vectors"))

    def check(self, artifact): ...

    def open(self, artifact):
        return Index(open_vectors(artifact.path / "vectors"))


class Index:
    def __init__(self, vectors):
        self.vectors = vectors

    def __len__(self):
        return len(self.vectors)

    def search(self, queries, k, allowed=None):
        DOES
        return Run.from_lists([[(row, 1.0) for row in range(min(k, len(self)))] for _ in range(len(queries))])
"""


def _write_index(folder: Path, does: str) -> dict[str, str]:
    arguments = "'careless', 'careless_plugin.method:Indexer', 'finds the first', takes=('dense',)"
    modules = {
        "careless_plugin/__init__.py": _OFFER.format(kind="index", arguments=arguments),
        "careless_plugin/method.py": _INDEX.replace("DOES", does),
    }
    write_distribution(folder, "careless", modules, {"careless": "careless_plugin"})
    return {"PYTHONPATH": str(folder), "SPANIEL_PLUGINS": "careless"}


def test_an_index_that_breaks_promises(tmp_path: Path, run_cli: Cli) -> None:
    env = _write_index(tmp_path, "pass")
    ran = run_cli.subprocess("plugins", "check", "careless", env=env)
    assert ran.exit_code == 0
    assert ran.stdout.splitlines()[1].split()[3] == "loads"
    assert ran.stdout.splitlines()[-1] == "not run: the contract of 1 component; add --contract"
    assert run_cli.subprocess("plugins", "check", "careless", "--json", env=env).json[0]["contract"] is None

    ran = run_cli.subprocess("plugins", "check", "careless", "--contract", "--json", env=env)
    assert ran.exit_code == 1
    (checked,) = ran.json
    assert not checked["ok"]
    results = {promised["promise"]: promised for promised in checked["contract"]}
    assert {one["component"] for one in results.values()} == {"index/careless"}
    for name in ("finds the best", "refuses other queries"):
        assert results[name]["result"] == "broken", name
        assert results[name]["reason"]
    for name in ("takes any k", "holds no code", "declaration is light"):
        assert results[name]["result"] == "kept", results[name]


@pytest.mark.parametrize(
    ("does", "says"), [("while True: pass", "longer than 12 s"), ("os.abort()", "ended with exit code")]
)
def test_a_promise_that_never_ends_or_crashes_is_named(tmp_path: Path, run_cli: Cli, does: str, says: str) -> None:
    env = _write_index(tmp_path, does)
    ran = run_cli.subprocess("plugins", "check", "careless", "--contract", "--time-limit", "12", "--json", env=env)
    (checked,) = ran.json
    results = {promised["promise"]: promised for promised in checked["contract"]}
    assert says in results["opens as it was built"]["reason"]
    assert results["is deterministic"]["result"] == "not run"
    assert "`opens as it was built` came before it" in results["is deterministic"]["reason"]


def test_what_cannot_be_run_is_said_and_no_fault(tmp_path: Path, run_cli: Cli) -> None:
    modules = {
        "wanting/__init__.py": _OFFER.format(
            kind="rerank", arguments="'wanting', 'wanting.method:Own', '', config='wanting.config:Model'"
        ),
        "wanting/config.py": "from pydantic import Field\nfrom spaniel import Config\n\n\n"
        "class Model(Config):\n    model: str = Field(description='d')\n",
        "wanting/method.py": "class Own:\n    def __init__(self, config, context): ...\n"
        "    def rerank(self, queries, run, corpus): return run\n",
    }
    write_distribution(tmp_path, "wanting", modules, {"wanting": "wanting"})
    ran = run_cli.subprocess("plugins", "check", "wanting", "--contract", env={"PYTHONPATH": str(tmp_path)})
    assert ran.exit_code == 0
    assert "0 of 0 promises kept, 10 not run" in ran.stdout
    assert "needs the option `model`" in ran.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are followed through /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_a_check_that_is_killed(tmp_path: Path, run_cli: Cli, how: signal.Signals) -> None:
    """Neither a plugin that never ends, nor what it has started."""
    started = tmp_path / "started"
    source = (
        "import os, pathlib, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(started)!r}).write_text(f'{{os.getpid()}} {{child.pid}} ')\n"
        "while True: pass\n"
    )
    write_distribution(tmp_path, "endless", {"endless.py": source}, {"endless": "endless"})
    command = [sys.executable, "-c", "from spaniel.cli import main; main()", "plugins", "check", "endless"]
    env = {**os.environ, **run_cli.env, "PYTHONPATH": str(tmp_path), "SPANIEL_IMPORT_LIMIT": "60"}
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _until(lambda: started.exists() and len(started.read_text().split()) == 2)
        finally:
            process.send_signal(how)
    pids = [int(pid) for pid in started.read_text().split()]
    _until(lambda: not any(_is_alive(pid) for pid in pids))


def _until(holds: object) -> None:
    end = time.monotonic() + 30
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end, "it does not come about"
        time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
