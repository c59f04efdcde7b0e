"""A plugin in one file: a space of numbers, and a proxy that raises, dies or never ends on some of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field
from spaniel import Component, Config, hookimpl

STUCK, DEAD, WRONG = 5, 7, 9


class NumbersConfig(Config):
    """How many."""

    size: int = Field(12, description="numbers", ge=2)


class WildConfig(Config):
    """What goes wrong."""

    wild: bool = Field(True, description="whether some numbers go wrong")
    calls: int = Field(0, description="model calls of a score", ge=0)
    growing: bool = Field(False, description="whether the calls are those times the number")
    log: str = Field("", description="file to which each number is appended that is scored")


class Numbers:
    """Numbers below a size."""

    def __init__(self, config: NumbersConfig, context: Any) -> None:
        self.size = config.size

    def sample(self, rng: Any) -> int:
        return int(rng.integers(self.size))

    def mutate(self, candidate: int, rng: Any) -> int:
        return int((candidate + 1 + rng.integers(self.size - 1)) % self.size)

    def cross(self, first: int, second: int, rng: Any) -> int:
        return first if rng.random() < 0.5 else second

    def validate(self, candidate: int) -> None:
        pass

    def canonical(self, candidate: int) -> int:
        return candidate

    def build(self, candidate: int, seed: int) -> int:
        return candidate

    def counts(self, candidate: int) -> Mapping[str, float]:
        return {"value": candidate}


class Wild:
    """A number's own height, and trouble with three of them."""

    direction = "maximise"

    def __init__(self, config: WildConfig, context: Any) -> None:
        self.config, self.context = config, context

    def score(self, space: Any, candidate: int, seed: int) -> float:
        if self.config.log:
            with Path(self.config.log).open("a") as file:
                file.write(f"{candidate}\n")
        print("what a proxy prints is no part of the result")
        for _ in range(self.config.calls * (candidate if self.config.growing else 1)):
            self.context.count("model calls")
        if self.config.wild and candidate == STUCK:
            time.sleep(3600)
        if self.config.wild and candidate == DEAD:
            os._exit(3)
        if self.config.wild and candidate == WRONG:
            raise ZeroDivisionError("nine")
        return float(candidate)


@hookimpl
def search_space() -> Iterator[Component]:
    for name, role in (("numbers", "space"), ("wild", "proxy")):
        made = name.capitalize()
        yield Component(
            name, config=f"search_wild:{made}Config", factory=f"search_wild:{made}", summary=name, role=role
        )
