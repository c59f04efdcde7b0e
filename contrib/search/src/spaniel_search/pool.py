"""Scoring candidates, in this process or in others that can be killed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from spaniel_search.objectives import Objective
from spaniel_search.scoring import Scored, Scorer
from spaniel_search.workers import Worker

Asked = tuple[Any, float, Mapping[str, float]]
"""A candidate, its effort, and what it may spend at the most."""
Done = Callable[[int, Scored], None]


class Pool:
    """Scores candidates with an objective; which process scores which changes nothing.

    Args:
        objective: what scores.
        cache: file of the evaluation cache.
        processes: how many worker processes.
        limit: seconds that a candidate may take; one that takes longer fails, and its process is killed. Without a limit,
            one process is this one, and what kills or holds it kills or holds the walk.
        seed: of the session.
    """

    def __init__(
        self, objective: Objective, cache: Path, processes: int = 1, limit: float | None = None, seed: int = 0
    ) -> None:
        self.objective, self.processes, self.limit = objective, processes, limit
        self._about = (objective.identity, cache, seed)
        self._here = Scorer(objective, *self._about) if processes == 1 and limit is None else None
        self._workers: list[Worker] = []

    def __enter__(self) -> Pool:
        if self._here is None:
            self._workers = [self._worker() for _ in range(self.processes)]
        return self

    def __exit__(self, *error: object) -> None:
        if self._here is not None:
            self._here.close()
        for worker in self._workers:
            worker.kill() if error[0] is not None else worker.close()

    def score(self, asked: Sequence[Asked], done: Done, enough: Callable[[], bool] = lambda: False) -> None:
        """Score candidates.

        Args:
            asked: the candidates.
            done: gets the place of each and what it scored, as they finish.
            enough: is asked before each candidate; where it says so, those that were not begun are left.

        Raises:
            ArtifactError: something on disk is damaged.
            PluginError: a worker process cannot start.
        """
        if self._here is not None:
            for place, one in enumerate(asked):
                if enough():
                    return
                done(place, self._here.score(*one))
            return
        waiting = deque(enumerate(asked))
        busy: dict[int, int] = {}
        while waiting or busy:
            for at, worker in enumerate(self._workers):
                if not waiting or at in busy:
                    continue
                if worker.is_over and worker.is_ready:
                    self._workers[at] = self._worker()
                    continue
                if not worker.is_ready:
                    continue
                if enough():
                    waiting.clear()
                    break
                place, one = waiting.popleft()
                worker.send(*one)
                busy[at] = place
            watched = [at for at, worker in enumerate(self._workers) if at in busy or (waiting and not worker.is_ready)]
            if not watched:
                continue
            for at, found in self._next(watched):
                if found is not None:
                    done(busy.pop(at), found)

    def _next(self, watched: Sequence[int]) -> list[tuple[int, Scored | None]]:
        """Wait for what one of some workers says, or for one that has taken too long."""
        lefts = [left for at in watched if (left := self._workers[at].left) is not None]
        ready = wait([self._workers[at].pipe for at in watched], min(lefts) if lefts else None)
        made: list[tuple[int, Scored | None]] = []
        for at in watched:
            worker = self._workers[at]
            if worker.pipe in ready:
                made.append((at, worker.receive()))
            elif worker.left == 0.0:
                made.append((at, worker.expire()))
        return made

    def _worker(self) -> Worker:
        return Worker(self.objective.recipe, *self._about, self.limit)
