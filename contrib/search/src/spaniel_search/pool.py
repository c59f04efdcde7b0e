"""Scoring candidates, in this process or in several."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from typing import Any

from spaniel import PluginError

from spaniel_search.objectives import Objective, evaluate

Done = Callable[[int, dict[str, Any]], None]
_objective: list[Objective] = []
"""The objective of a worker process."""


class Pool:
    """Scores candidates with an objective; which process scores which changes nothing.

    Processes are spawned, so that no lock or thread of this one is copied, and make the objective once each.

    Args:
        objective: what scores.
        processes: how many; 1 is this one.
    """

    def __init__(self, objective: Objective, processes: int = 1) -> None:
        self.objective = objective
        self.processes = processes
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> Pool:
        if self.processes > 1:
            spawn = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(self.processes, spawn, _prepare, self.objective.recipe)
        return self

    def __exit__(self, *error: object) -> None:
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    def score(self, asked: Sequence[tuple[Any, float]], done: Done) -> None:
        """Score candidates, each at its effort; ``done`` gets the place of each and what it scored, as they finish.

        Raises:
            PluginError: a process died.
        """
        if self._executor is None:
            for place, (candidate, effort) in enumerate(asked):
                done(place, evaluate(self.objective, candidate, effort))
            return
        try:
            places = {self._executor.submit(_work, *pair): place for place, pair in enumerate(asked)}
            for future in as_completed(places):
                done(places[future], future.result())
        except BrokenProcessPool as error:
            kept = "what was scored before is kept, and the same command goes on from there"
            raise PluginError("spaniel-search", f"a process that scores candidates died; {kept}") from error


def _prepare(path: str, arguments: dict[str, Any]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    module, _, name = path.partition(":")
    _objective[:] = [getattr(import_module(module), name)(**arguments)]


def _work(candidate: Any, effort: float) -> dict[str, Any]:
    return evaluate(_objective[0], candidate, effort)


def _end_with_parent() -> None:
    """End this process when the one that started it is killed; it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
