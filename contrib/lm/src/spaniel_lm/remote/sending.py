"""Many requests at once: each is answered, or named as failed, and none is paid for twice."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from spaniel import UsageError

from spaniel_lm.config import RemoteConfig
from spaniel_lm.remote.limits import Budget, Pace
from spaniel_lm.remote.parsing import Malformed, usage
from spaniel_lm.remote.transport import Reply, post

T = TypeVar("T")


@dataclass(frozen=True)
class Request(Generic[T]):
    """One request.

    Attributes:
        path: below the server's address.
        content: JSON.
        key: idempotency key, the same for every attempt, another for every request.
        read: makes the result of the answer's JSON, or raises :class:`Malformed`.
        prompt, answer: tokens that it can take at the most.
    """

    path: str
    content: Any
    key: str
    read: Callable[[Any], T]
    prompt: int
    answer: int


@dataclass(frozen=True)
class Failure:
    """A request that got no answer that can be used.

    Attributes:
        at: its number in the call.
        problem: why.
        paid: whether the server may have charged for it: ``"no"``, ``"yes"`` or ``"unsure"``.
        attempts: times that it was sent.
    """

    at: int
    problem: str
    paid: str
    attempts: int

    def __str__(self) -> str:
        more = {"no": "", "yes": ", paid for", "unsure": ", perhaps paid for"}[self.paid]
        return f"request {self.at}: {self.problem} (sent {self.attempts} times{more})"


@dataclass
class Tally:
    """What a call came to: requests sent, requests paid for, and their tokens."""

    sent: int = 0
    paid: int = 0
    prompt: int = 0
    answer: int = 0


class RequestsFailed(UsageError):
    """Requests of a call that were not answered, when all others have been.

    Attributes:
        results: what was answered, ``None`` in the places of those that failed.
        failures: those.
        tally: what the call came to.
    """

    def __init__(self, results: Sequence[Any], failures: Sequence[Failure], tally: Tally) -> None:
        shown = "; ".join(map(str, failures[:3])) + ("; …" if len(failures) > 3 else "")
        answered = len(results) - len(failures)
        super().__init__(f"{len(failures)} of {len(results)} requests failed, {answered} were answered: {shown}")
        self.results = list(results)
        self.failures = list(failures)
        self.tally = tally


class Sender:
    """Sends requests to a server.

    Args:
        config: of the server.
        headers: of each request.
        sleep: waits; tests give their own.
    """

    def __init__(
        self, config: RemoteConfig, headers: dict[str, str], sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.config = config
        self.headers = headers
        self.budget = Budget(config)
        self._sleep = sleep
        self._requests = Pace(config.requests_per_minute, sleep=sleep)
        self._tokens = Pace(config.tokens_per_minute, sleep=sleep)

    def send(
        self, requests: Sequence[Request[T]], done: Callable[[int], None] = lambda count: None
    ) -> tuple[list[T], Tally]:
        """Send requests; return their results in order, and what they came to.

        Args:
            done: told of finished requests, in the calling thread.

        Raises:
            UsageError: more requests than the budget allows; none is sent.
            RequestsFailed: some were not answered; all others were.
        """
        over = self.budget.check(len(requests))
        if over:
            raise UsageError(f"{over}; nothing was sent")
        tally, lock, halt = Tally(), threading.Lock(), threading.Event()
        results: list[Any] = [None] * len(requests)
        failures: list[Failure] = []
        with ThreadPoolExecutor(self.config.concurrency) as pool:
            futures = [pool.submit(self._one, at, request, tally, lock, halt) for at, request in enumerate(requests)]
            try:
                for at, future in enumerate(futures):
                    made = future.result()
                    results[at] = None if isinstance(made, Failure) else made
                    failures += [made] if isinstance(made, Failure) else []
                    done(1)
            except BaseException:
                halt.set()
                raise
        if failures:
            raise RequestsFailed(results, failures, tally)
        return results, tally

    def _one(
        self, at: int, request: Request[T], tally: Tally, lock: threading.Lock, halt: threading.Event
    ) -> T | Failure:
        problem, sent, unsure = "not sent, since the server will not answer", 0, False
        waits = random.Random(request.key)  # so that requests refused together do not come back together
        reserved = (request.prompt, request.answer)
        for attempt in range(self.config.attempts):
            if halt.is_set():
                break
            over = self.budget.reserve(*reserved)
            if over:
                problem = over
                break
            self._requests.enter()
            self._tokens.enter(sum(reserved))
            reply = post(
                f"{self.config.url.rstrip('/')}/{request.path}",
                request.content,
                {**self.headers, "Idempotency-Key": request.key},
                self.config.timeout,
            )
            sent += 1
            paid = self._paid(reply, reserved)
            self.budget.settle(reserved, paid)
            with lock:
                tally.sent += 1
                if paid is not None:
                    tally.paid += 1
                    tally.prompt, tally.answer = tally.prompt + paid[0], tally.answer + paid[1]
            if reply.outcome == "answered":
                try:
                    return request.read(reply.content)
                except Malformed as error:
                    return Failure(at, str(error), "yes", sent)
            problem = reply.problem
            if reply.outcome == "fatal":
                halt.set()
                break
            if reply.outcome == "unusable":
                return Failure(at, problem, "yes" if paid else "no", sent)
            if reply.outcome == "unsure":
                unsure = True
                if not self.config.resend_unsure:
                    break
            if attempt + 1 < self.config.attempts:
                pause = self.config.backoff * 2**attempt * (0.5 + waits.random())
                self._sleep(min(self.config.longest_wait, max(pause, reply.wait)))
        if unsure and self.config.resend_unsure:
            # Given up: taken to be charged after all, once.
            self.budget.charge(reserved)
            with lock:
                tally.paid += 1
                tally.prompt, tally.answer = tally.prompt + request.prompt, tally.answer + request.answer
        return Failure(at, problem, "unsure" if unsure else "no", sent)

    def _paid(self, reply: Reply, reserved: tuple[int, int]) -> tuple[int, int] | None:
        """Return the tokens that a reply was charged for; a server that does not tell is taken to charge the most."""
        if reply.outcome == "answered":
            return usage(reply.content) or reserved
        if reply.outcome == "unusable" and not reply.problem.startswith("HTTP"):
            return reserved
        # What is unsure is charged once at most, when it is answered or given up.
        return reserved if reply.outcome == "unsure" and not self.config.resend_unsure else None
