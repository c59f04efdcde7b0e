"""``spaniel plugins check``: every plugin examined in a process of its own, under a time limit, and held to its contract."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from spaniel import leash
from spaniel.plugins.discovery import Found, find_entry_points, import_limit
from spaniel.plugins.faults import Fault
from spaniel.plugins.loading import switched_off
from spaniel.plugins.registry import Registry

_LOOK = 0.05
"""Seconds between two looks at what a process has reported."""


class Promised(NamedTuple):
    """What came of a promise of a component's kind.

    Attributes:
        component: ``kind/name``.
        promise: its name.
        result: ``"kept"``, ``"broken"`` or ``"not run"``.
        reason: why it is broken or was not run.
        trace: the traceback of an error.
    """

    component: str
    promise: str
    result: str
    reason: str = ""
    trace: str = ""


class Checked(NamedTuple):
    """What the examination of a plugin found.

    Attributes:
        found: the plugin.
        faults: what is wrong with it.
        components: ``kind/name`` of what it offers.
        seconds: how long its entry module took to import; ``None`` where it could not be imported.
        notes: what could not be examined, and why.
        contract: what came of each promise of each component; empty where the contract was not run.
    """

    found: Found
    faults: tuple[Fault, ...]
    components: tuple[str, ...]
    seconds: float | None
    notes: tuple[str, ...]
    contract: tuple[Promised, ...] = ()

    @property
    def is_ok(self) -> bool:
        """Whether nothing is wrong with it, as far as it was looked at."""
        return not self.faults and not any(one.result == "broken" for one in self.contract)


def check(
    plugins: Sequence[Found], time_limit: float, files: Sequence[str] = (), contract: bool = False
) -> list[Checked]:
    """Examine plugins for real, several at once, and together for names that two of them declare.

    Args:
        plugins: what is examined.
        time_limit: seconds for each, and for each promise; a process that takes longer is killed, with all that it has
            started, and so it is where this one ends.
        files: the paths of those plugins that are files.
        contract: whether each component is held to the promises of its kind, with its default options.
    """
    paths = {path.resolve(): path for path in map(Path, files)}
    with ThreadPoolExecutor(max(1, min(len(plugins), os.cpu_count() or 1))) as pool:
        checked = list(pool.map(lambda found: _examine(found, time_limit, paths.get(Path(found.value))), plugins))
        if contract:
            checked = list(pool.map(lambda one: _hold(one, time_limit, paths.get(Path(one.found.value))), checked))
    whole = {one.found.key for one in checked if one.seconds is not None}
    everybody = [found for found in find_entry_points() if found.key in whole or found not in plugins]
    everybody += [found for found in plugins if found.key in whole and found not in everybody]
    registry = Registry(everybody, [f for f in switched_off(everybody) if f.key not in whole], import_limit())
    together = {status.found.key: status.faults for status in registry.plugins()}
    return [_with(one, together.get(one.found.key, ())) for one in checked]


def _with(one: Checked, faults: tuple[Fault, ...]) -> Checked:
    known = {fault.reason for fault in one.faults}
    return one._replace(faults=one.faults + tuple(fault for fault in faults if fault.reason not in known))


class _Ran(NamedTuple):
    """What a process reported, how it ended, and the end of what it said."""

    lines: list[dict[str, Any]]
    ended: str
    said: str

    def every(self, key: str) -> list[Any]:
        return [line[key] for line in self.lines if key in line]


def _run(module: str, subject: str, file: Path | None, time_limit: float, each: bool = False) -> _Ran:
    """Run a module that reports what it does; with ``each``, the limit is that of each line of its report."""
    with tempfile.TemporaryDirectory(prefix="spaniel-check-") as folder:
        report, output = Path(folder) / "report.jsonl", Path(folder) / "output"
        report.touch()
        with output.open("wb") as sink:
            arguments = [str(report), subject, *([str(file)] if file else [])]
            process = leash.start(module, arguments, stdout=sink, stderr=subprocess.STDOUT)
            try:
                ended = _wait(process, report, time_limit, each)
            finally:
                leash.end(process)
        lines = [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()]
        said = output.read_text(encoding="utf-8", errors="replace")[-2000:]
    return _Ran(lines, ended, said)


def _wait(process: subprocess.Popen[bytes], report: Path, time_limit: float, each: bool) -> str:
    last, size = time.monotonic(), 0
    while process.poll() is None:
        now = report.stat().st_size
        if each and now != size:
            last, size = time.monotonic(), now
        if time.monotonic() - last > time_limit:
            return f"it takes longer than {time_limit:g} s"
        time.sleep(_LOOK)
    return f"the process ended with exit code {process.returncode}"


def _examine(found: Found, time_limit: float, file: Path | None) -> Checked:
    ran = _run("spaniel.plugins.examine", found.key, file, time_limit)
    faults = [Fault(f["stage"], f["reason"], None, f["trace"]) for f in ran.every("fault")]
    seconds = ran.every("seconds")
    if not ran.every("done") and not (faults and not seconds):
        doing = (ran.every("doing") or ["starting Python"])[-1]
        endless = "endless import: " if doing.startswith("importing") and "longer" in ran.ended else ""
        stage = "import" if not seconds else "check"
        faults.append(Fault(stage, f"{endless}{ran.ended} while {doing}", None, ran.said))
    components = tuple(name for names in ran.every("components") for name in names)
    return Checked(found, tuple(faults), components, seconds[0] if seconds else None, tuple(ran.every("note")))


def _hold(one: Checked, time_limit: float, file: Path | None) -> Checked:
    """Hold the components of a plugin to their contracts, each in a process of its own."""
    made: list[Promised] = []
    for component in one.components:
        kind, _, name = component.partition("/")
        ran = _run("spaniel.testing.check", f"{kind}/{one.found.distribution}/{name}", file, time_limit, each=True)
        made += [
            Promised(component, line["promise"], line["result"], line["reason"], line["trace"])
            for line in ran.lines
            if "promise" in line
        ]
        if not ran.every("done"):
            doing = (ran.every("doing") or ["starting"])[-1]
            made.append(Promised(component, doing, "broken", ran.ended, ran.said))
            tried = {promised.promise for promised in made if promised.component == component}
            rest = [name for names in ran.every("promises") for name in names if name not in tried]
            made += [Promised(component, name, "not run", f"`{doing}` came before it") for name in rest]
    return one._replace(contract=tuple(made))
