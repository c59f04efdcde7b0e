"""Requests that wait together are answered together, by one thread that has the model."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

from spaniel_lm.protocol import Continuation, Generation, Prompt

TOGETHER = 64
"""Requests answered together at most."""


class _Job(NamedTuple):
    group: Hashable
    item: Any
    run: Callable[[Sequence[Any]], Sequence[Any]]
    future: Future[Any]


class Worker:
    """Runs a model in a thread of its own.

    Args:
        model: a language model, what answers.
        patience: seconds that the first of a batch waits for others like it.
    """

    def __init__(self, model: Any, patience: float = 0.005) -> None:
        self.model = model
        self.patience = patience
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="language-model", daemon=True)
        self._thread.start()

    def generate(self, prompt: Prompt, settings: Generation) -> Future[Any]:
        """Ask for an answer."""
        return self._put(settings, prompt, lambda prompts: self.model.generate(prompts, settings))

    def logprobs(self, prompt: Prompt, continuation: Continuation) -> Future[Any]:
        """Ask for the log-probabilities of a continuation."""

        def run(pairs: Sequence[tuple[Prompt, Continuation]]) -> Sequence[Any]:
            made: Sequence[Any] = self.model.logprobs([one for one, _ in pairs], [other for _, other in pairs])
            return made

        return self._put("logprobs", (prompt, continuation), run)

    def call(self, run: Callable[[], Any]) -> Future[Any]:
        """Run something else with the model, alone."""
        return self._put(object(), None, lambda items: [run()])

    def close(self) -> None:
        """End the thread when what was asked before is answered."""
        self._queue.put(None)
        self._thread.join()

    def _put(self, group: Hashable, item: Any, run: Callable[[Sequence[Any]], Sequence[Any]]) -> Future[Any]:
        future: Future[Any] = Future()
        self._queue.put(_Job(group, item, run, future))
        return future

    def _work(self) -> None:
        waiting: list[_Job] = []
        while True:
            if not waiting:
                job = self._queue.get()
                if job is None:
                    return
                waiting.append(job)
            stopping = self._gather(waiting)
            group = waiting[0].group
            batch = [job for job in waiting if job.group == group][:TOGETHER]
            waiting = [job for job in waiting if job not in batch]
            _answer([job for job in batch if job.future.set_running_or_notify_cancel()])
            if stopping:
                for job in waiting:
                    _answer([job])
                return

    def _gather(self, waiting: list[_Job]) -> bool:
        """Take what else is waiting; return whether the worker is to end."""
        try:
            while len(waiting) < 4 * TOGETHER:
                job = self._queue.get(timeout=self.patience)
                if job is None:
                    return True
                waiting.append(job)
        except queue.Empty:
            pass
        return False


def _answer(batch: Sequence[_Job]) -> None:
    if not batch:
        return
    try:
        for job, result in zip(batch, batch[0].run([job.item for job in batch]), strict=True):
            job.future.set_result(result)
    except Exception as error:
        if len(batch) == 1:
            batch[0].future.set_exception(error)
            return
        for job in batch:  # the fault of one is not the others'
            if not job.future.done():
                _answer([job])
