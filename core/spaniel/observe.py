"""What observers see: the stages of a running pipeline, one at a time, as they start, advance and finish."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from spaniel.hookspecs import hookimpl

_NUMBERS = itertools.count(1)


class Charge(NamedTuple):
    """What a piece of work cost that a session did once: seconds, and what was counted."""

    seconds: float
    cost: Mapping[str, float]


@dataclass(slots=True, eq=False)
class Stage:
    """A stage of a running pipeline, or a build that it needs.

    Attributes:
        name: what runs, as its expression prints.
        phase: ``"build"``, ``"load"``, ``"search"``, or ``"memo"``: work that others of the session share.
        total: number of units of work, where it is known.
        unit: what is counted (``"documents"``, ``"queries"`` …).
        counted: what the stage itself has counted so far (``"model calls"`` …).
        charged: by key, work that a session does once, each counted once: see :meth:`spaniel.Context.remember`.
        repeated: seconds of work that was done before the session and that this stage would have had to do.
        loading: seconds spent inside it on opening artifacts and loading models, which a second run would not spend.
    """

    name: str
    phase: str
    total: int | None = None
    unit: str = ""
    number: int = field(default_factory=lambda: next(_NUMBERS))
    counted: dict[str, float] = field(default_factory=dict)
    charged: dict[str, Charge] = field(default_factory=dict)
    repeated: float = 0.0
    loading: float = 0.0
    _here: set[str] = field(default_factory=set)

    @property
    def cost(self) -> dict[str, float]:
        """What was counted: by the stage itself, and by the work that it shares with others."""
        cost = dict(self.counted)
        for charge in self.charged.values():
            for what, amount in charge.cost.items():
                cost[what] = cost.get(what, 0) + amount
        return cost

    @property
    def replayed(self) -> float:
        """Seconds of work that was done before, and that this stage would have had to do."""
        return self.repeated + sum(c.seconds for key, c in self.charged.items() if key not in self._here)

    def own_seconds(self, seconds: float) -> float:
        """Return what is left of ``seconds`` that the stage ran: without loading, and without the work that it shares."""
        shared = sum(self.charged[key].seconds for key in self._here)
        return max(0.0, seconds - self.loading - shared) + self.repeated

    def charge(self, charges: Mapping[str, Charge]) -> None:
        """Charge work that was done for another; what is charged already is not charged again."""
        for key, charge in charges.items():
            self.charged.setdefault(key, charge)

    def settle(self, key: str, charge: Charge) -> None:
        """Charge work that was done while the stage ran."""
        if key not in self.charged:
            self.charged[key] = charge
            self._here.add(key)

    def take_over(self, inner: Stage, seconds: float, failed: bool) -> None:
        """Charge what a stage inside this one cost, which ran for ``seconds``."""
        self.loading += seconds if inner.phase == "load" else inner.loading
        for key, charge in inner.charged.items():
            if key in inner._here:
                self.settle(key, charge)
        self.charge(inner.charged)
        # What others share is charged by its key, where there is something to share.
        if inner.phase != "memo" or failed:
            self.repeated += inner.repeated
            for what, amount in inner.counted.items():
                self.counted[what] = self.counted.get(what, 0) + amount


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
