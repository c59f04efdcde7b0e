"""A running session: what components see of the world, and what Python users create first."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from spaniel.errors import PluginError, SpanielError, UsageError
from spaniel.expression import Expression
from spaniel.observe import Charge, Stage
from spaniel.pipeline.bind import Bound, Pipeline, bind, bind_pipeline
from spaniel.plugins import Registry, load_registry
from spaniel.recent import Recent
from spaniel.store import Artifact, Need, Store, default_root
from spaniel.store.artifact import MANIFEST

if TYPE_CHECKING:
    import numpy as np

    from spaniel.data import Corpus, Queries, Run

T = TypeVar("T")
_DEVICE = re.compile(r"(?:auto|cpu|cuda|mps|xpu)(?::\d+)?")


class Context:
    """Components, store and settings of a session.

    A session looks once: what an expression means, what a pipeline needs, the digests of model files, and whether an
    artifact is whole are found out when they are first asked for, and held to until the session ends. What is open stays
    open. What was removed before it was opened is built again; a file that was changed meanwhile is found by the next
    session.

    Args:
        store: the store, or the folder that holds it; by default the user's own.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``: where models run.
        seed: seed of every random stream.
        batch_size: texts or pairs per batch, for components that leave it open; ``None`` lets them choose.
        offline: whether components may reach the network.
        registry: the components; by default those of the installed distributions.
        keep: how many results, objects and opened artifacts are kept at the most, each, for a session that runs very
            many pipelines; what was not used for longest is forgotten first. ``None`` keeps all.
    """

    def __init__(
        self,
        store: Store | str | Path | None = None,
        *,
        device: str = "auto",
        seed: int = 0,
        batch_size: int | None = None,
        offline: bool = False,
        registry: Registry | None = None,
        keep: int | None = None,
    ) -> None:
        for what, number in (("the batch size", batch_size), ("what a session keeps", keep)):
            if number is not None and number < 1:
                raise UsageError(f"{what} must be at least 1, not {number}")
        if not _DEVICE.fullmatch(device):
            raise UsageError(f"{device!r} is no device; there are auto, cpu, cuda, cuda:1, mps, xpu")
        self.store = store if isinstance(store, Store) else Store(store if store is not None else default_root())
        self.device = device
        self.seed = seed
        self.batch_size = batch_size
        self.offline = offline
        self.registry = registry if registry is not None else load_registry()
        self.keep = keep
        self._objects: Recent[str, Any] = Recent(keep)
        self._memo: Recent[str, tuple[Any, Mapping[str, Charge]]] = Recent(keep)
        self._stages: list[Stage] = []
        self._opened: Recent[tuple[str, str], Any] = Recent(keep)
        self._obtained: Recent[str, tuple[Artifact, _Mark]] = Recent(keep)
        self._known: Recent[Hashable, Any] = Recent(keep)
        self._kinds = self.registry.kinds
        self._reports: list[Callable[[int], None] | None] = [None]
        self._watch: tuple[Callable[[str, float], None], int] | None = None
        self.loading = 0.0
        """Seconds that this session has spent on loading: imports, models, tokenizers, indexes."""

    def __repr__(self) -> str:
        settings = {"seed": self.seed, "device": self.device, "batch_size": self.batch_size, "offline": self.offline}
        shown = ", ".join(f"{name}={value!r}" for name, value in settings.items())
        return f"Context({str(self.store.root)!r}, {shown}, {len(self.registry.components())} components)"

    def reseeded(self, seed: int) -> Context:
        """Return a session of its own that differs in the seed alone: same store, components, device and settings."""
        return Context(
            self.store,
            device=self.device,
            seed=seed,
            batch_size=self.batch_size,
            offline=self.offline,
            registry=self.registry,
            keep=self.keep,
        )

    # Components

    def bind(self, kind: str, expression: Expression | str) -> Bound:
        """Check a component of one kind; see :func:`spaniel.pipeline.bind`."""
        return self.once(("bind", kind, expression), lambda: bind(kind, expression, self.registry))

    def pipeline(
        self, expression: Expression | str | list[Any] | dict[str, Any] | Pipeline, behind: bool = False
    ) -> Pipeline:
        """Check a pipeline: text, an expression, or plain data as YAML holds it; see :func:`spaniel.pipeline.bind_pipeline`."""
        if isinstance(expression, Pipeline):
            return expression
        if isinstance(expression, list | dict):
            return bind_pipeline(expression, self.registry, behind)
        key = ("pipeline", expression, behind)
        return self.once(key, lambda: bind_pipeline(expression, self.registry, behind))

    def create(self, kind: str, expression: Expression | str) -> Any:
        """Return the component that an expression names, made once in a session.

        Raises:
            UsageError: the expression names no such component.
            PluginError: its factory fails.
        """
        return self.make(self.bind(kind, expression))

    def make(self, bound: Bound) -> Any:
        """Return the object that a checked component's factory makes, once in a session."""
        if bound.digest in self._objects:
            return self._objects[bound.digest]
        name = bound.registered.name
        with self.stage(f"load {name}", phase="load"):
            factory = bound.registered.resolve_factory()
            with blame(bound.registered.distribution, f"{bound.kind} `{name}`"):
                made = factory(bound.config, self)
        self._objects[bound.digest] = made
        return made

    # Artifacts

    def obtain(self, need: Need) -> Artifact:
        """Return an artifact, building it and what it needs where the store lacks them; it is verified once a session."""
        address = need.recipe.address
        known = self._obtained.get(address)
        if known is not None and known[1] == _mark(known[0]):
            self._obtained.move_to_end(address)
            return known[0]
        artifact = self.store.find(need.recipe) or self._build(need)
        self._obtained[address] = artifact, _mark(artifact)
        return artifact

    def _build(self, need: Need) -> Artifact:
        for part in need.inputs:
            self.obtain(part)
        with self.stage(f"{need.recipe.type} {need.recipe.component}", phase="build") as stage:

            def progress(total: int | None, unit: str) -> Callable[[int], None]:
                stage.total, stage.unit = total, unit
                return self.advance

            with blame(
                need.recipe.component.partition("/")[0], f"building {need.recipe.type} `{need.recipe.component}`"
            ):
                return self.store.obtain(need, progress)

    def opened(self, artifact: Artifact, how: str, open_: Callable[[Artifact], Any]) -> Any:
        """Return what ``open_`` makes of an artifact, once in a session for each ``how``."""
        key = (artifact.address, how)
        if key in self._opened:
            return self._opened[key]
        from spaniel.contents import check_contents

        with self.stage(f"open {artifact.recipe.component}", phase="load"):
            check_contents(self.store, artifact)
            made = open_(artifact)
        self._opened[key] = made
        return made

    def open(self, need: Need, how: str, open_: Callable[[Artifact], Any]) -> Any:
        """Return what ``open_`` makes of the artifact that a need names, obtained and opened once in a session."""
        key = (need.recipe.address, how)
        return self._opened[key] if key in self._opened else self.opened(self.obtain(need), how, open_)

    # Running

    def run(
        self, pipeline: Expression | str | Pipeline, queries: Queries, corpus: Corpus, run: Run | None = None
    ) -> Run:
        """Run a pipeline; what several pipelines of a session begin with is computed once."""
        from spaniel.pipeline.run import run_pipeline

        return run_pipeline(self, self.pipeline(pipeline, behind=run is not None), queries, corpus, run).run

    @contextmanager
    def stage(self, name: str, total: int | None = None, unit: str = "", phase: str = "search") -> Iterator[Stage]:
        """Tell the observers that a stage runs; :meth:`advance` and :meth:`count` refer to the innermost one."""
        stage = Stage(name, phase, total, unit)
        started = self._enter(stage)
        failure: BaseException | None = None
        try:
            self.registry.tell("stage_started", stage=stage)
            yield stage
        except BaseException as error:
            failure = error
            raise
        finally:
            seconds = self._leave(stage, started, failure is not None)
            self.registry.tell("stage_finished", stage=stage, seconds=seconds, error=failure)

    def _enter(self, stage: Stage) -> float:
        self._stages.append(stage)
        # Whoever follows batches follows those of the stage outside.
        self._reports.append(None)
        return time.perf_counter()

    def _leave(self, stage: Stage, started: float, failed: bool) -> float:
        seconds = time.perf_counter() - started
        self._stages.remove(stage)
        self._reports.pop()
        outer = self._stages[-1] if self._stages else None
        if outer is not None:
            outer.take_over(stage, seconds, failed)
        if stage.phase == "load" and (outer is None or outer.phase != "load"):
            self.loading += seconds
        return seconds

    @property
    def is_running(self) -> bool:
        """Whether a stage is running."""
        return bool(self._stages)

    def advance(self, done: int) -> None:
        """Report that ``done`` more units of the innermost stage are finished."""
        if self._stages:
            self.registry.tell("stage_progress", stage=self._stages[-1], done=done)

    @contextmanager
    def following(self, total: int, report: Callable[[int], None]) -> Iterator[None]:
        """Tell ``report`` of work as its batches finish: of ``total`` units in all, what no batch told of at the end.

        Whoever runs batches calls :meth:`finished` after each, and need not know of what its texts are a part.
        """
        told = 0

        def tell(done: int) -> None:
            nonlocal told
            done = min(done, total - told)
            if done > 0:
                told += done
                report(done)

        before, self._reports[-1] = self._reports[-1], tell
        try:
            yield
        finally:
            self._reports[-1] = before
        tell(total)

    def finished(self, done: int) -> None:
        """Report that a batch of ``done`` texts or pairs is finished, to whoever follows."""
        report = self._reports[-1]
        if report is not None:
            report(done)

    def count(self, what: str, amount: float = 1) -> None:
        """Add to the cost of the innermost stage: ``"model calls"``, ``"texts encoded"``, ``"pairs scored"`` …"""
        if self._stages:
            counted = self._stages[-1].counted
            counted[what] = counted.get(what, 0) + amount
            if self._watch is not None:
                watch, outside = self._watch
                if all(stage.phase != "build" for stage in self._stages[outside:]):
                    watch(what, amount)

    @contextmanager
    def watching(self, watch: Callable[[str, float], None]) -> Iterator[None]:
        """Tell ``watch`` of what is counted meanwhile, but for builds; what it raises stops the work, as budgets do."""
        before, self._watch = self._watch, (watch, len(self._stages))
        try:
            yield
        finally:
            self._watch = before

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what ``make`` returns, made once in a session, for what costs nothing that anybody would count.

        Forgotten when plugins are added or taken out.
        """
        if self.registry.kinds is not self._kinds:
            self._known.clear()
            self._kinds = self.registry.kinds
        if key in self._known:
            return cast(T, self._known[key])
        made = self._known[key] = make()
        return made

    def remember(self, key: str, make: Callable[[], T]) -> T:
        """Return what ``make`` returns, made once in a session.

        What it cost counts once for every stage that asks, however often it asks.
        """
        if key in self._memo:
            value, charges = self._memo[key]
            if self._stages:
                self._stages[-1].charge(charges)
            return cast(T, value)
        # No observer is told of it: whoever works long in here opens a stage.
        stage = Stage(key.partition(" ")[0], "memo")
        started = self._enter(stage)
        failed = True
        try:
            value = make()
            failed = False
        finally:
            seconds = self._leave(stage, started, failed)
        charges = {key: Charge(stage.own_seconds(seconds), stage.counted), **stage.charged}
        self._memo[key] = value, charges
        if self._stages:
            self._stages[-1].settle(key, charges[key])
        return value

    def replay(self, seconds: float, cost: Mapping[str, float]) -> None:
        """Charge the innermost stage for work that was done, and measured, before the session."""
        if self._stages:
            self._stages[-1].repeated += seconds
            for what, amount in cost.items():
                self.count(what, amount)

    # Randomness

    def seed_for(self, *names: str | int) -> int:
        """Return the seed of a named random stream: 63 bits, derived from the session's seed and the names."""
        text = "\x1f".join(str(n) for n in (self.seed, *names))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

    def rng(self, *names: str | int) -> np.random.Generator:
        """Return the generator of a named random stream, at its start."""
        import numpy as np

        return np.random.default_rng(self.seed_for(*names))


_Mark = tuple[int, int, int] | None


def _mark(artifact: Artifact) -> _Mark:
    """Return what differs once an artifact was removed or put there anew; ``None`` where it is gone."""
    try:
        stat = os.stat(f"{artifact.path}/{MANIFEST}")  # noqa: PTH116 - asked at every search
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino, stat.st_size


@contextmanager
def blame(distribution: str, what: str) -> Iterator[None]:
    """Turn what a plugin raises, other than the three errors, into a :class:`PluginError` that names it.

    A panic of a library in Rust is one, though it is no :class:`Exception`; an interruption and an exit pass.
    """
    try:
        yield
    except (SpanielError, MemoryError):
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise PluginError(distribution, f"{what} failed: {type(error).__name__}: {error}") from error
