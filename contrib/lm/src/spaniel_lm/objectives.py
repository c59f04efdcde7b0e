"""Black-box objectives: prompts are tried on examples, each pair is a call, and calls are bounded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError

from spaniel_lm.labels import PLACE, LabelScorer
from spaniel_lm.protocol import Answer, Generation, LanguageModel, Prompt

if TYPE_CHECKING:
    from spaniel import Context

T = TypeVar("T")


class Evaluate(Protocol):
    """Rewards of candidate prompts on examples."""

    def __call__(self, pairs: Sequence[tuple[str, int]]) -> Sequence[float]:
        """Return the reward of each pair of a candidate and the number of an example."""
        ...


class BlackBox:
    """Evaluates candidates on examples, each pair once, within a budget of calls.

    Args:
        evaluate: what gives the rewards; called with pairs that are not known yet.
        examples: how many there are.
        budget: pairs that may be evaluated; ``None`` for any number.
        context: the session, which is told of ``"evaluations"`` and of ``"evaluations reused"``.

    Attributes:
        calls: pairs that were evaluated.
    """

    def __init__(
        self, evaluate: Evaluate, examples: int, budget: int | None = None, context: Context | None = None
    ) -> None:
        if budget is not None and budget < 0:
            raise UsageError(f"budget={budget}: 0 or more calls")
        self._evaluate, self._examples, self.budget, self._context = evaluate, examples, budget, context
        self._known: dict[tuple[str, int], float] = {}
        self.calls = 0

    @property
    def left(self) -> int | None:
        """Calls that are left; ``None`` where there is no bound."""
        return None if self.budget is None else self.budget - self.calls

    def cost(self, candidates: Sequence[str], indexes: Sequence[int]) -> int:
        """Return how many calls an evaluation would take."""
        return len(self._missing(candidates, indexes))

    def evaluate(self, candidates: Sequence[str], indexes: Sequence[int] | None = None) -> NDArray[np.float32]:
        """Return rewards, ``(candidates, indexes)`` float32; what was evaluated before is not again.

        Args:
            indexes: numbers of examples; by default all.

        Raises:
            UsageError: the budget does not suffice, or there is no such example; nothing is evaluated.
        """
        chosen = range(self._examples) if indexes is None else indexes
        wrong = [index for index in chosen if not 0 <= index < self._examples]
        if wrong:
            raise UsageError(f"there is no example {wrong[0]}; there are {self._examples}, from 0")
        missing = self._missing(candidates, chosen)
        if self.left is not None and len(missing) > self.left:
            raise UsageError(f"the evaluation takes {len(missing)} calls, and {self.left} of {self.budget} are left")
        if missing:
            rewards = [float(reward) for reward in self._evaluate(missing)]
            if len(rewards) != len(missing) or not np.isfinite(rewards).all():
                raise ValueError(f"{len(missing)} pairs need as many finite rewards, not {rewards[:5]} …")
            self._known.update(zip(missing, rewards, strict=True))
            self.calls += len(missing)
        if self._context is not None:
            self._context.count("evaluations", len(missing))
            self._context.count("evaluations reused", len(candidates) * len(chosen) - len(missing))
        made = [[self._known[candidate, index] for index in chosen] for candidate in candidates]
        return np.array(made, np.float32).reshape(len(candidates), len(chosen))

    def _missing(self, candidates: Sequence[str], indexes: Sequence[int]) -> list[tuple[str, int]]:
        pairs = dict.fromkeys((candidate, index) for candidate in candidates for index in indexes)
        return [pair for pair in pairs if pair not in self._known]


class AnswerReward(Generic[T]):
    """Rewards of what a model answers to a candidate prompt.

    Args:
        model: a language model.
        examples: what the prompts are tried on.
        prompt: makes a prompt of a candidate and an example.
        reward: of an example and its answer, higher is better.
        settings: of the generation.
    """

    def __init__(
        self,
        model: LanguageModel,
        examples: Sequence[T],
        prompt: Callable[[str, T], Prompt],
        reward: Callable[[T, Answer], float],
        settings: Generation = Generation(),  # noqa: B008 - frozen
    ) -> None:
        self.model, self.examples, self.prompt, self.reward, self.settings = model, examples, prompt, reward, settings

    def __call__(self, pairs: Sequence[tuple[str, int]]) -> list[float]:
        """Return the reward of each pair; all are one call of the model."""
        prompts = [self.prompt(candidate, self.examples[index]) for candidate, index in pairs]
        answers = self.model.generate(prompts, self.settings)
        return [self.reward(self.examples[index], answer) for (_, index), answer in zip(pairs, answers, strict=True)]


class LabelReward:
    """Log-probability, among the labels, of the right one behind a candidate prompt.

    Args:
        model: a language model.
        examples: texts with the number of their right label.
        labels: label texts.
        reduce: as of :class:`spaniel_lm.labels.LabelScorer`.
    """

    def __init__(
        self, model: LanguageModel, examples: Sequence[tuple[str, int]], labels: Sequence[str], reduce: Any = "sum"
    ) -> None:
        self.model, self.examples, self.labels, self.reduce = model, examples, labels, reduce

    def __call__(self, pairs: Sequence[tuple[str, int]]) -> list[float]:
        """Return the reward of each pair; the text stands where a candidate says ``{text}``, else behind it."""
        texts = [
            candidate.replace(PLACE, self.examples[index][0])
            if PLACE in candidate
            else candidate + self.examples[index][0]
            for candidate, index in pairs
        ]
        scores = LabelScorer(self.model, self.reduce, normalise=True).score(texts, self.labels)
        return [float(scores[at, self.examples[index][1]]) for at, (_, index) in enumerate(pairs)]
