"""How fast, and how much: rates in a minute, and budgets of a session."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from spaniel_lm.config import RemoteConfig

_MINUTE = 60.0
_ROUNDING = 1e-9


class Pace:
    """Lets so much pass in any minute, and makes the rest wait.

    Args:
        most: amount in a minute; ``None`` for no bound.
        clock, sleep: of the time; tests give their own.
    """

    def __init__(
        self,
        most: int | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.most = most
        self._clock, self._sleep = clock, sleep
        self._passed: deque[tuple[float, float]] = deque()
        self._lock = threading.Lock()

    def enter(self, amount: float = 1.0, halt: threading.Event | None = None) -> None:
        """Wait until so much more may pass, or until all is to end; more than the bound passes alone."""
        while self.most is not None and not (halt is not None and halt.is_set()):
            with self._lock:
                now = self._clock()
                while self._passed and self._passed[0][0] <= now - _MINUTE:
                    self._passed.popleft()
                if not self._passed or sum(size for _, size in self._passed) + amount <= self.most:
                    self._passed.append((now, amount))
                    return
                pause = self._passed[0][0] + _MINUTE - now
            (self._sleep if halt is None else halt.wait)(max(pause, 0.001))


class Budget:
    """What a session may pay for: requests, tokens, money. What is under way is reserved at its largest."""

    def __init__(self, config: RemoteConfig) -> None:
        self.config = config
        self.calls, self.tokens, self.cost = 0, 0, 0.0
        self._reserved = [0.0, 0.0, 0.0]
        self._pending = 0
        self._settled = threading.Condition()

    def price(self, prompt: int, answer: int) -> float:
        """Return what so many tokens cost."""
        return (prompt * self.config.price_prompt + answer * self.config.price_answer) / 1e6

    def check(self, calls: int) -> str:
        """Return why so many more requests cannot be made, or nothing."""
        left = None if self.config.max_calls is None else self.config.max_calls - self.calls
        return (
            f"max_calls={self.config.max_calls}: {calls} requests, and {left} are left"
            if left is not None and calls > left
            else ""
        )

    def reserve(self, prompt: int, answer: int) -> str:
        """Set aside the most that a request can take; return why it does not fit, or nothing.

        Where it would fit but for what is set aside for others, it waits until they have come to less.
        """
        wanted = (1.0, float(prompt + answer), self.price(prompt, answer))
        most = (self.config.max_calls, self.config.max_tokens, self.config.max_cost)
        with self._settled:
            while True:
                spent = (self.calls, self.tokens, self.cost)
                waits = False
                for at, name in enumerate(("max_calls", "max_tokens", "max_cost")):
                    bound = most[at]
                    if bound is None or spent[at] + self._reserved[at] + wanted[at] <= bound + _ROUNDING:
                        continue
                    if spent[at] + wanted[at] > bound + _ROUNDING or not self._pending:
                        return f"{name}={bound} leaves no room for it, which may take {wanted[at]:g}"
                    waits = True
                if not waits:
                    break
                self._settled.wait()
            self._pending += 1
            self._reserved = [held + more for held, more in zip(self._reserved, wanted, strict=True)]
        return ""

    def settle(self, reserved: tuple[int, int], paid: tuple[int, int] | None) -> None:
        """Give back what was set aside, and take down what was paid: tokens of prompt and answer, or nothing."""
        prompt, answer = reserved
        with self._settled:
            wanted = (1.0, float(prompt + answer), self.price(prompt, answer))
            self._pending -= 1
            self._reserved = [held - less for held, less in zip(self._reserved, wanted, strict=True)]
            if paid is not None:
                self._take(paid)
            self._settled.notify_all()

    def charge(self, paid: tuple[int, int]) -> None:
        """Take down what was paid without having been set aside."""
        with self._settled:
            self._take(paid)

    def _take(self, paid: tuple[int, int]) -> None:
        self.calls += 1
        self.tokens += sum(paid)
        self.cost += self.price(*paid)
