"""What observers see: the stages of a running pipeline, one at a time, as they start, advance and finish."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, update_wrapper
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from spaniel.hookspecs import hookimpl

T = TypeVar("T")
_NUMBERS = itertools.count(1)
_LOOK = 0.2
"""Seconds between two looks at what runs."""


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


class loaded_property(cached_property[T]):
    """A property that is loaded when it is first asked for, such as a model: a stage of loading of ``self.context``.

    What it takes is shown apart, and is no part of the time of a search.
    """

    def __init__(self, load: Callable[[Any], T]) -> None:
        def timed(owner: Any) -> T:
            context = getattr(owner, "context", None)
            if context is None:
                return load(owner)
            with context.stage(f"load {load.__name__.strip('_')} of {type(owner).__name__}", phase="load"):
                return load(owner)

        super().__init__(update_wrapper(timed, load))


class ProgressBars:
    """Observer that draws one bar a stage on a terminal, for stages that take longer than a second.

    A stage of unknown length shows the time that it has taken, while no other runs inside it.
    """

    def __init__(self, after: float = 1.0) -> None:
        self._after = after
        self._running: list[_Drawn] = []
        self._guard = threading.RLock()
        self._watcher: threading.Thread | None = None

    @hookimpl
    def stage_started(self, stage: Stage) -> None:
        with self._guard:
            self._running.append(_Drawn(stage, time.monotonic()))
            if self._watcher is None:
                # A stage that tells nothing, such as the loading of a model, is drawn as well.
                self._watcher = threading.Thread(target=self._watch, daemon=True, name="progress")
                self._watcher.start()

    @hookimpl
    def stage_progress(self, stage: Stage, done: int) -> None:
        with self._guard:
            for one in self._running:
                if one.stage is stage:
                    one.advance(done)
            self._draw()

    @hookimpl
    def stage_finished(self, stage: Stage, seconds: float, error: BaseException | None) -> None:
        with self._guard:
            for one in self._running:
                if one.stage is stage:
                    one.close()
            self._running = [one for one in self._running if one.stage is not stage]

    def _watch(self) -> None:
        while True:
            time.sleep(_LOOK)
            with self._guard:
                if not self._running:
                    self._watcher = None
                    return
                self._draw()

    def _draw(self) -> None:
        now = time.monotonic()
        for at, one in enumerate(self._running):
            if one.stage.total is not None or at == len(self._running) - 1:
                if now - one.began >= self._after:
                    one.draw(now)
            else:
                one.close()


class _Drawn:
    """A running stage, and its bar where it is drawn."""

    def __init__(self, stage: Stage, began: float) -> None:
        self.stage, self.began, self.done = stage, began, 0
        self._bar: Any = None
        self._drawn = 0.0

    def advance(self, done: int) -> None:
        self.done += done

    def draw(self, now: float) -> None:
        from tqdm import tqdm

        stage = self.stage
        if self._bar is None:
            style = None if stage.total is not None else "{desc}: {elapsed}"
            unit = f" {stage.unit}" if stage.unit else ""
            self._bar = tqdm(
                desc=stage.name[:40], total=stage.total, unit=unit, leave=False, delay=1e-9, bar_format=style
            )
            self._bar.start_t -= now - self.began
        elif now - self._drawn < _LOOK:
            return
        self._drawn = now
        self._bar.total, self._bar.n = stage.total, self.done
        self._bar.refresh()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


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
