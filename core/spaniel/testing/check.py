"""Holds one component to its contract, for ``spaniel plugins check --contract``, in a process of its own.

``python -m spaniel.testing.check REPORT KIND/NAME [FILE]`` appends to the report, one JSON object a line, what it is about
to check and what came of it, so that a process that is killed or dies has said where. Options are the component's defaults.
"""

from __future__ import annotations

import json
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from spaniel.errors import PluginError, UsageError
from spaniel.plugins.discovery import file_plugin, import_plugin
from spaniel.plugins.faults import one_line
from spaniel.testing.case import Case, Lacking
from spaniel.testing.contracts import promises_of


def check(report: Path, component: str, plugins: tuple[object, ...] = ()) -> None:
    """Try every promise of a component, and write down which are kept."""
    promises = promises_of(component.partition("/")[0])

    def write(**content: Any) -> None:
        with report.open("a", encoding="utf-8") as file:
            file.write(json.dumps(content) + "\n")

    write(promises=list(promises))
    with tempfile.TemporaryDirectory(prefix="spaniel-contract-") as folder:
        lacking = _lacking(Case(component, Path(folder), plugins=plugins))
        for number, (name, promise) in enumerate(promises.items()):
            write(doing=name)
            result, reason, trace = "kept", "", ""
            try:
                if lacking:
                    raise Lacking(lacking)
                promise(Case(component, Path(folder) / str(number), plugins=plugins))
            except Lacking as error:
                result, reason = "not run", str(error)
            except AssertionError as error:
                result, reason = "broken", str(error)
            except BaseException as error:
                result, reason, trace = "broken", one_line(error), "".join(traceback.format_exception(error))
            write(promise=name, result=result, reason=reason, trace=trace)
    write(done=True)


def _lacking(case: Case) -> str:
    """Return why a component cannot be made with its defaults alone; empty where it can."""
    try:
        case.context().bind(case.kind, case.expression)
        if case.registered.component.extra:
            case.registered.resolve_factory()
    except UsageError as error:
        return f"its defaults do not make one: {str(error).partition(chr(10))[0]}"
    except PluginError:
        pass  # What is broken breaks promises.
    return ""


def _main(report: str, component: str, *files: str) -> None:
    check(Path(report), component, tuple(import_plugin(file_plugin(file)) for file in files))


if __name__ == "__main__":
    _main(*sys.argv[1:])
