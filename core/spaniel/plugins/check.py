"""``spaniel plugins check``: every plugin examined in a process of its own, under a time limit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from spaniel.plugins.discovery import Found, find_entry_points, import_limit
from spaniel.plugins.faults import Fault
from spaniel.plugins.loading import switched_off
from spaniel.plugins.registry import Registry


class Checked(NamedTuple):
    """What the examination of a plugin found.

    Attributes:
        found: the plugin.
        faults: what is wrong with it.
        components: ``kind/name`` of what it offers.
        seconds: how long its entry module took to import; ``None`` where it could not be imported.
        notes: what could not be examined, and why.
    """

    found: Found
    faults: tuple[Fault, ...]
    components: tuple[str, ...]
    seconds: float | None
    notes: tuple[str, ...]


def check(plugins: Sequence[Found], time_limit: float, files: Sequence[str] = ()) -> list[Checked]:
    """Examine plugins for real, several at once, and together for names that two of them declare.

    Args:
        plugins: what is examined.
        time_limit: seconds for each; a process that takes longer is killed, with all that it has started.
        files: the paths of those plugins that are files.
    """
    paths = {path.resolve(): path for path in map(Path, files)}
    with ThreadPoolExecutor(max(1, min(len(plugins), os.cpu_count() or 1))) as pool:
        checked = list(pool.map(lambda found: _examine(found, time_limit, paths.get(Path(found.value))), plugins))
    whole = {one.found.key for one in checked if one.seconds is not None}
    everybody = [found for found in find_entry_points() if found.key in whole or found not in plugins]
    everybody += [found for found in plugins if found.key in whole and found not in everybody]
    registry = Registry(everybody, [f for f in switched_off(everybody) if f.key not in whole], import_limit())
    together = {status.found.key: status.faults for status in registry.plugins()}
    return [_with(one, together.get(one.found.key, ())) for one in checked]


def _with(one: Checked, faults: tuple[Fault, ...]) -> Checked:
    known = {fault.reason for fault in one.faults}
    return one._replace(faults=one.faults + tuple(fault for fault in faults if fault.reason not in known))


def _examine(found: Found, time_limit: float, file: Path | None) -> Checked:
    with tempfile.TemporaryDirectory(prefix="spaniel-check-") as folder:
        report, output = Path(folder) / "report.jsonl", Path(folder) / "output"
        report.touch()
        # -P: a file in the current folder must not stand in for a module of the plugin.
        command = [sys.executable, "-P", "-m", "spaniel.plugins.examine", str(report), found.key]
        with output.open("wb") as sink:
            process = subprocess.Popen(
                [*command, *([str(file)] if file else [])],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                ended = f"the process ended with exit code {process.wait(time_limit)}"
            except subprocess.TimeoutExpired:
                ended = f"it takes longer than {time_limit:g} s"
                _kill(process)
        lines = [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()]
        said = output.read_text(encoding="utf-8", errors="replace")[-2000:]
    return _read(found, lines, ended, said)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process, and with it whatever it has started."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _read(found: Found, lines: list[dict[str, Any]], ended: str, said: str) -> Checked:
    def every(key: str) -> list[Any]:
        return [line[key] for line in lines if key in line]

    faults = [Fault(f["stage"], f["reason"], None, f["trace"]) for f in every("fault")]
    seconds = every("seconds")
    if not every("done") and not (faults and not seconds):
        doing = (every("doing") or ["starting Python"])[-1]
        endless = "endless import: " if doing.startswith("importing") and "longer" in ended else ""
        faults.append(Fault("import" if not seconds else "check", f"{endless}{ended} while {doing}", None, said))
    components = tuple(name for names in every("components") for name in names)
    return Checked(found, tuple(faults), components, seconds[0] if seconds else None, tuple(every("note")))
