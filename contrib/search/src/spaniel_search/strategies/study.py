"""Optuna behind ask and tell."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import optuna
from spaniel import PluginError, UsageError
from spaniel.protocols import Coordinates

from spaniel_search.strategies.base import FAILED, Walker


class OptunaStudy(Walker):
    """The tree-structured Parzen estimator of Optuna over the axes of a space (Bergstra et al. 2011).

    Each proposal is made by a sampler whose seed is drawn from the walk's random stream, over a study that holds what was
    told so far. So the state is the points and their scores, and nothing of Optuna's own has to be saved.
    """

    def begin(self) -> dict[str, Any]:
        if not isinstance(self.space, Coordinates):
            raise UsageError("`optuna` walks spaces with axes; this space has none: take another strategy")
        return {"trials": []}

    def next(self) -> tuple[Any, Any]:
        space = self.space
        if not isinstance(space, Coordinates):
            raise UsageError("`optuna` walks spaces with axes; this space has none: take another strategy")
        seed = self.pick(2**32)
        if len(self.memory["trials"]) < self.config.startup:
            return space.at(space.place(self.space.sample(self.rng))), ""
        try:
            with _quiet():
                return space.at(self._ask(space, seed)), ""
        except (ValueError, TypeError, RuntimeError) as error:
            raise PluginError("optuna", f"proposed nothing: {error}") from error

    def _ask(self, space: Coordinates, seed: int) -> list[float]:
        sampler = optuna.samplers.TPESampler(
            n_startup_trials=self.config.startup,
            n_ei_candidates=self.config.considered,
            multivariate=self.config.multivariate,
            constant_liar=True,
            seed=seed,
        )
        study = optuna.create_study(direction="maximize", sampler=sampler)
        spread = {f"{at}": _distribution(axis) for at, axis in enumerate(space.axes)}
        told = [(candidate, score) for candidate, score in self.memory["trials"]]
        pending = [(candidate, None) for candidate, _ in self.memory["asked"]]
        for candidate, score in (*told, *pending):
            point = {f"{at}": value for at, value in enumerate(space.place(candidate))}
            if score is None:
                state = optuna.trial.TrialState.RUNNING
            else:
                state = optuna.trial.TrialState.FAIL if score <= FAILED else optuna.trial.TrialState.COMPLETE
            value = score if state == optuna.trial.TrialState.COMPLETE else None
            study.add_trial(optuna.trial.create_trial(state=state, params=point, distributions=spread, value=value))
        trial = study.ask(fixed_distributions=spread)
        return [trial.params[f"{at}"] for at in range(len(space.axes))]

    def learn(self, candidate: Any, score: float, note: Any) -> None:
        self.memory["trials"].append([candidate, score])


def _distribution(axis: Any) -> Any:
    if not axis.size:
        return optuna.distributions.FloatDistribution(0.0, 1.0)
    if axis.ordered:
        return optuna.distributions.IntDistribution(0, axis.size - 1)
    return optuna.distributions.CategoricalDistribution(list(range(axis.size)))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from writing to the terminal, and leave its settings as they were."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
