"""Many requests at once: each is answered, or named as failed, and none is paid for twice."""

from __future__ import annotations

import random
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from spaniel import UsageError

from spaniel_lm.config import RemoteConfig
from spaniel_lm.remote.dialect import Dialect, adapt, objection
from spaniel_lm.remote.faults import Reply
from spaniel_lm.remote.limits import Budget, Pace
from spaniel_lm.remote.parsing import Malformed, usage
from spaniel_lm.remote.transport import Transport

T = TypeVar("T")
_CHANGES = 10
"""Times that a request is changed at most, since the server does not take a field of it."""


@dataclass(frozen=True)
class Request(Generic[T]):
    """One request.

    Attributes:
        path: below the server's address.
        content: JSON.
        key: idempotency key, the same for every attempt, another for every request and for every change of its body.
        read: makes the result of the answer's JSON, or raises :class:`Malformed`.
        prompt, answer: tokens that it can take at the most.
        fixed: fields of the content that are sent whatever the server says of them.
    """

    path: str
    content: Any
    key: str
    read: Callable[[Any], T]
    prompt: int
    answer: int
    fixed: frozenset[str] = frozenset()


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
    """

    def __init__(self, config: RemoteConfig, headers: dict[str, str]) -> None:
        self.config = config
        self.budget = Budget(config)
        self.dialect = Dialect()
        self.transport = Transport(config.url, config.concurrency, config.timeout, headers)
        self._requests = Pace(config.requests_per_minute)
        self._tokens = Pace(config.tokens_per_minute)

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
                self.transport.end()
                raise
        learned = self.dialect.news()
        if learned:
            warnings.warn(
                f"{self.config.model} does not take {', '.join(learned)}: it is asked without; answers may be others",
                stacklevel=2,
            )
        if failures:
            raise RequestsFailed(results, failures, tally)
        return results, tally

    def _one(
        self, at: int, request: Request[T], tally: Tally, lock: threading.Lock, halt: threading.Event
    ) -> T | Failure:
        problem, sent, unsure = "not sent, since the server will not answer", 0, False
        waits = random.Random(request.key)  # so that requests refused together do not come back together
        reserved = (request.prompt, request.answer)
        changes, changed, attempt = self.dialect.known, 0, 0
        while attempt < self.config.attempts and not halt.is_set():
            over = self.budget.reserve(*reserved)
            if over:
                problem = over
                break
            self._requests.enter(halt=halt)
            self._tokens.enter(sum(reserved), halt=halt)
            content = adapt(request.content, changes)
            key = f"{request.key}-{changed}" if changed else request.key
            reply = self.transport.post(request.path, content, {"Idempotency-Key": key})
            attempt, sent = attempt + 1, sent + 1
            paid = self._paid(reply, reserved)
            self.budget.settle(reserved, paid)
            with lock:
                tally.sent += 1
                if paid is not None:
                    tally.paid += 1
                    tally.prompt, tally.answer = tally.prompt + paid[0], tally.answer + paid[1]
            if reply.outcome == "answered":
                self.dialect.learn(changes)
                return _read(at, request, reply, sent)
            problem = reply.problem
            if reply.outcome == "fatal":
                halt.set()
                break
            if reply.outcome == "unusable":
                change = objection(content, reply, request.fixed)
                if change and changed < _CHANGES and not unsure:
                    # Nothing was done for it: what is asked for now is another request.
                    changes, changed, attempt = {**self.dialect.known, **changes, **change}, changed + 1, attempt - 1
                    continue
                if paid:
                    return Failure(at, problem, "yes", sent)
                break
            if reply.outcome == "unsure":
                unsure = True
                if not self.config.resend_unsure:
                    break
            if attempt < self.config.attempts:
                pause = self.config.backoff * 2 ** min(attempt - 1, 30) * (0.5 + waits.random())
                halt.wait(min(self.config.longest_wait, max(pause, reply.wait)))
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
        if reply.outcome == "unusable" and reply.status < 300:
            return reserved
        # What is unsure is charged once at most, when it is answered or given up.
        return reserved if reply.outcome == "unsure" and not self.config.resend_unsure else None


def _read(at: int, request: Request[T], reply: Reply, sent: int) -> T | Failure:
    """Return what an answer says, or why it cannot be used; whatever it is like, it is the matter of its request alone."""
    try:
        return request.read(reply.content)
    except Malformed as error:
        return Failure(at, str(error), "yes", sent)
    except Exception as error:
        return Failure(at, f"the answer cannot be read ({type(error).__name__}: {str(error)[:200]})", "yes", sent)
