"""What waits together is answered together, by one thread that has the model."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from spaniel_lm.protocol import Continuation, Generation, Prompt

T = TypeVar("T")
TOGETHER = 64
"""Answers made together at most."""


class Stopped(Exception):
    """The worker was told to stop before this was done."""


@dataclass(eq=False)
class Job:
    """Something to be done with the model.

    Attributes:
        group: jobs of one group can be done together.
        item: what differs within a group.
        run: does items of the group, and asks of each, by its place, whether anybody still waits for it.
        rows: answers that it makes.
        tokens: prompts and answers together, at most.
        future: what comes of it.
        is_wanted: whether anybody waits for it.
        has_begun: whether the model is at it, or was.
    """

    group: Hashable
    item: Any
    run: Callable[[Sequence[Any], Callable[[int], bool]], Sequence[Any]]
    rows: int = 1
    tokens: int = 1
    future: Future[Any] = field(default_factory=Future)
    is_wanted: bool = True
    has_begun: bool = False


class Worker:
    """Runs a model in a thread of its own.

    Args:
        model: a local language model, what answers.
        patience: seconds that the first of a batch waits for others like it.
        batch_tokens: tokens that are worked on together at most, unless a job alone has more.
    """

    def __init__(self, model: Any, patience: float = 0.005, batch_tokens: int | None = None) -> None:
        self.model = model
        self.patience = patience
        self.batch_tokens = batch_tokens
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []
        self._changed = threading.Condition()
        self._is_closed = self._is_stopped = False
        self._thread = threading.Thread(target=self._work, name="language-model", daemon=True)
        self._thread.start()

    # Asking

    def generate(self, prompt: Prompt, settings: Generation) -> Job:
        """Ask for an answer; prompts whose settings differ in the seed alone are answered together."""
        shared = replace(settings, seed=None)

        def run(items: Sequence[tuple[Prompt, int | None]], waited_for: Callable[[int], bool]) -> Sequence[Any]:
            prompts, seeds = [one for one, _ in items], [seed for _, seed in items]
            made: Sequence[Any] = self.model.generate(prompts, shared, seeds=seeds, waited_for=waited_for)
            return made

        tokens = (len(prompt) + settings.max_tokens) * settings.returns
        return self._put(Job(shared, (prompt, settings.seed), run, settings.returns, tokens))

    def logprobs(self, prompt: Prompt, continuation: Continuation) -> Job:
        """Ask for the log-probabilities of a continuation."""

        def run(pairs: Sequence[tuple[Prompt, Continuation]], waited_for: Callable[[int], bool]) -> Sequence[Any]:
            made: Sequence[Any] = self.model.logprobs([one for one, _ in pairs], [other for _, other in pairs])
            return made

        return self._put(Job("logprobs", (prompt, continuation), run, 1, len(prompt) + len(continuation)))

    def call(self, run: Callable[[], Any]) -> Job:
        """Run something else with the model, alone."""
        return self._put(Job(object(), None, lambda items, waited_for: [run()]))

    def drop(self, job: Job) -> None:
        """Say that nobody waits for a job any more: it is not begun, or ended at the next token."""
        with self._changed:
            job.is_wanted = False
            if not job.has_begun and job in self._waiting:
                self._waiting.remove(job)
                job.future.cancel()

    # Ending

    def stop(self, with_running: bool = False) -> None:
        """Refuse with :class:`Stopped` what comes from now on and what has not begun, and if wanted what has."""
        with self._changed:
            self._is_stopped = True
            jobs = [*self._waiting, *(self._running if with_running else ())]
            self._waiting.clear()
            for job in jobs:
                job.is_wanted = False
                _settle(job, error=Stopped())

    def close(self, seconds: float | None = None) -> bool:
        """End the thread when what was asked before is done; return whether it ended within so many seconds."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    # Working

    def _put(self, job: Job) -> Job:
        with self._changed:
            if self._is_closed or self._is_stopped:
                _settle(job, error=Stopped())
                return job
            self._waiting.append(job)
            self._changed.notify_all()
        return job

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            self._do(batch)

    def _next(self) -> list[Job] | None:
        """Return jobs to be done together, as soon as there are any; ``None`` at the end."""
        with self._changed:
            self._running = []
            while True:
                while not self._waiting:
                    if self._is_closed:
                        return None
                    self._changed.wait()
                until = time.monotonic() + self.patience
                while len(self._waiting) < TOGETHER and not self._is_closed and (left := until - time.monotonic()) > 0:
                    self._changed.wait(left)
                self._running = [job for job in self._take() if job.future.set_running_or_notify_cancel()]
                if self._running:
                    return self._running

    def _take(self) -> list[Job]:
        """Take the first job that waits, and those that can be done with it, in their order."""
        taken: list[Job] = []
        left: deque[Job] = deque()
        rows = tokens = 0
        for job in self._waiting:
            fits = not taken or (
                job.group == taken[0].group
                and rows + job.rows <= TOGETHER
                and (self.batch_tokens is None or tokens + job.tokens <= self.batch_tokens)
            )
            if not fits:
                left.append(job)
                continue
            job.has_begun = True
            taken.append(job)
            rows, tokens = rows + job.rows, tokens + job.tokens
        self._waiting = left
        return taken

    def _do(self, batch: Sequence[Job]) -> None:
        wanted = [job for job in batch if job.is_wanted]
        for job in batch:
            if not job.is_wanted:
                self._settle(job, error=Stopped())
        if not wanted:
            return
        try:
            results = guarded(lambda: wanted[0].run([job.item for job in wanted], lambda at: wanted[at].is_wanted))
            for job, result in zip(wanted, results, strict=True):
                self._settle(job, result)
        except Exception as error:
            if len(wanted) == 1:
                self._settle(wanted[0], error=error)
                return
            for job in wanted:  # the fault of one is not the others'
                if not job.future.done():
                    self._do([job])

    def _settle(self, job: Job, result: Any = None, error: Exception | None = None) -> None:
        with self._changed:
            _settle(job, result, error)


def guarded(run: Callable[[], T]) -> T:
    """Run something in a thread that has to outlive it: a panic of a library in Rust is no :class:`Exception`."""
    try:
        return run()
    except Exception:
        raise
    except BaseException as error:
        raise RuntimeError(f"{type(error).__name__}: {error}") from error


def _settle(job: Job, result: Any = None, error: Exception | None = None) -> None:
    """Say what came of a job, unless that was said."""
    if job.future.done():
        return
    if error is not None:
        job.future.set_exception(error)
    else:
        job.future.set_result(result)
