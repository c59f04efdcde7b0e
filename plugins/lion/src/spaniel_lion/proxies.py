"""Proxies of the space of programs: each trains a small model, and says how well that went."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Literal

from spaniel import Context, UsageError
from spaniel.protocols import SearchSpace
from spaniel.store import digest_bytes

from spaniel_lion.config import DigitsConfig, TitlesConfig
from spaniel_lion.programs.rule import Rule
from spaniel_lion.programs.signature import OPTIMIZER
from spaniel_lion.tasks import DigitsTask, Schedule, Split, TitlesTask, outcome


class TrainingProxy(ABC):
    """The loss, or the share of errors, on the validation part; what diverges has the loss 1e6, or 1."""

    direction: Literal["maximise", "minimise"] = "minimise"

    def __init__(self, config: DigitsConfig | TitlesConfig, context: Context) -> None:
        self.config = config
        self.context = context

    @cached_property
    @abstractmethod
    def task(self) -> DigitsTask | TitlesTask:
        """What is trained."""

    @property
    def data(self) -> str:
        """Digest of what it trains on."""
        return self.task.data

    def score(self, space: SearchSpace, candidate: object, seed: int) -> float:
        """Return the mean over the runs.

        Raises:
            UsageError: the candidate is no program that updates weights.
        """
        # Candidates of other spaces may be costly to build.
        rule = space.build(candidate, seed) if isinstance(candidate, str) else None
        if not isinstance(rule, Rule):
            raise UsageError(f"this proxy trains by programs, and {type(space).__name__} is no space of them")
        return self._chosen(rule, seed, "validation")

    def held_out(self, rule: Rule, seed: int) -> float:
        """Return the mean over the runs on the test part."""
        return self._chosen(rule, seed, "test")

    def _chosen(self, rule: Rule, seed: int, split: Split) -> float:
        if rule.signature != OPTIMIZER:
            raise UsageError("this proxy trains by programs that update weights; give --space programs")
        loss, error = self.measure(rule, seed, split)
        return error if getattr(self.config, "measure", "loss") == "error" else loss

    def measure(self, rule: Rule, seed: int, split: Split) -> tuple[float, float]:
        """Return loss and share of errors on a split, each the mean over the runs."""
        config = self.config
        schedule = Schedule(config.steps, config.batch, config.learning_rate)
        found = [outcome(rule, self.task, schedule, _seed(seed, run), split) for run in range(config.runs)]
        losses, errors = zip(*found, strict=True)
        return sum(losses) / len(found), sum(errors) / len(found)


class Digits(TrainingProxy):
    """A small network on handwritten digits."""

    config: DigitsConfig

    @cached_property
    def task(self) -> DigitsTask:
        return DigitsTask(self.config.hidden)


class Titles(TrainingProxy):
    """A small encoder on titles and their texts."""

    config: TitlesConfig

    @cached_property
    def task(self) -> TitlesTask:
        config = self.config
        return TitlesTask(self.context, config.collection, config.buckets, config.width, config.scale, config.rows)


def _seed(seed: int, run: int) -> int:
    return int(digest_bytes(f"{seed} {run}".encode())[:15], 16)
