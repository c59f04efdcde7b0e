"""What observers see: the stages of a running pipeline, one at a time, as they start, advance and finish."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spaniel.hookspecs import hookimpl

_NUMBERS = itertools.count(1)


@dataclass
class Stage:
    """A stage of a running pipeline, or a build that it needs.

    Attributes:
        name: what runs, as its expression prints.
        phase: ``"build"``, ``"load"`` or ``"search"``.
        total: number of units of work, where it is known.
        unit: what is counted (``"documents"``, ``"queries"`` …).
        cost: what the stage has counted so far (``"model calls"`` …).
        replayed: seconds of work that the session had done before and that this stage would have had to do.
        loading: seconds spent inside it on opening artifacts and loading models, which a second run would not spend.
    """

    name: str
    phase: str
    total: int | None = None
    unit: str = ""
    number: int = field(default_factory=lambda: next(_NUMBERS))
    cost: dict[str, float] = field(default_factory=dict)
    replayed: float = 0.0
    loading: float = 0.0


class ProgressBars:
    """Observer that draws one bar a stage on a terminal, for stages that take longer than a second."""

    def __init__(self) -> None:
        self._bars: dict[int, Any] = {}

    @hookimpl
    def stage_started(self, stage: Stage) -> None:
        from tqdm import tqdm

        self._bars[stage.number] = tqdm(
            desc=stage.name[:40], total=stage.total, unit=f" {stage.unit}" if stage.unit else "", delay=1.0, leave=False
        )

    @hookimpl
    def stage_progress(self, stage: Stage, done: int) -> None:
        bar = self._bars[stage.number]
        if bar.total != stage.total:
            bar.total, bar.unit = stage.total, f" {stage.unit}"
        bar.update(done)

    @hookimpl
    def stage_finished(self, stage: Stage, seconds: float, error: BaseException | None) -> None:
        self._bars.pop(stage.number).close()


class Trace:
    """Observer that keeps a trace of all stages, in the format of Chrome's trace viewer."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._began: dict[int, float] = {}

    @hookimpl
    def stage_started(self, stage: Stage) -> None:
        self._began[stage.number] = time.perf_counter()

    @hookimpl
    def stage_finished(self, stage: Stage, seconds: float, error: BaseException | None) -> None:
        event: dict[str, Any] = {
            "name": stage.name,
            "cat": stage.phase,
            "ph": "X",
            "ts": self._began.pop(stage.number) * 1e6,
            "dur": seconds * 1e6,
            "pid": os.getpid(),
            "tid": threading.get_ident(),
            "args": {"total": stage.total, "unit": stage.unit, **stage.cost},
        }
        if error is not None:
            event["args"]["error"] = f"{type(error).__name__}: {error}"
        self.events.append(event)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the trace as JSON."""
        Path(path).write_text(json.dumps({"traceEvents": self.events, "displayTimeUnit": "ms"}), encoding="utf-8")
