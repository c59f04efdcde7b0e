"""Options of the strategies, of the proxy, and of the space of pipelines."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from spaniel import Config
from spaniel.config import Expression, ref


class Random(Config):
    """Random sampling has no options."""


class Genetic(Config):
    """The defaults are those of Guo et al. 2020, section 3.4: 50, 10, and half of the children by crossing."""

    population: int = Field(50, description="candidates in a generation", ge=2)
    parents: int = Field(10, description="how many of the best so far have children", ge=2)
    crossing: float = Field(
        0.5, description="share of the children that are crossed; the others are mutated", ge=0, le=1
    )
    redraw: int = Field(
        0,
        description="times that a child that was asked for before is drawn again; then a sample is asked for. 0: it is asked "
        "for again",
        ge=0,
    )
    patience: int = Field(
        0, description="generations without a new best after which the walk ends; 0: it never does", ge=0
    )


class AgeingEvolution(Config):
    """The defaults are those of Real et al. 2019, section 3: 100 living, 25 sampled."""

    population: int = Field(100, description="candidates that live at a time", ge=1)
    sample: int = Field(25, description="candidates of which the best has a child, drawn with replacement", ge=1)
    patience: int = Field(
        0, description="candidates without a new best after which it begins anew; 0: it never does", ge=0
    )
    fill: bool = Field(
        False, description="whether the first population is the seeds alone, again and again, rather than with samples"
    )


class ParticleSwarm(Config):
    """The coefficients are Clerc and Kennedy's (2002), the number of particles that of Standard PSO 2007."""

    particles: int | None = Field(
        None, description="particles; by default 10 + 2 √axes, or 20 where a space has no axes", ge=2
    )
    inertia: float = Field(0.7298, description="share of its speed that a particle keeps", ge=0, lt=1)
    own: float = Field(1.49618, description="pull of a particle's own best place", ge=0)
    swarm: float = Field(1.49618, description="pull of the swarm's best place", ge=0)
    crossing_from: float = Field(
        0.8, description="without axes: chance at the beginning of crossing with the own best place", ge=0, le=1
    )
    crossing_to: float = Field(
        0.2,
        description="without axes: the same at the end; the chance of the swarm's best goes the other way",
        ge=0,
        le=1,
    )
    rounds: int = Field(20, description="without axes: rounds from the beginning to the end of that change", ge=1)
    mutation: float = Field(0.1, description="without axes: chance of a mutation", ge=0, le=1)


class Greedy(Config):
    """How many neighbours are tried."""

    neighbours: int = Field(8, description="mutations that are tried before a step is taken to the best", ge=1)
    patience: int = Field(
        3, description="times in a row that no neighbour is better before it begins anew elsewhere", ge=1
    )
    startup: int = Field(0, description="samples that are tried first; it climbs from the best of them", ge=0)


class SuccessiveHalving(Config):
    """The defaults are those of Li et al. 2018: a third goes on, at three times the effort."""

    candidates: int = Field(27, description="candidates that a bracket begins with", ge=2)
    eta: float = Field(3.0, description="one in so many goes on, at so many times the effort", gt=1)
    least: float = Field(1 / 27, description="least share of the full effort", gt=0, le=1)


class Funnel(Config):
    """Which proxies choose, one behind the other."""

    proxies: tuple[Expression, ...] = ref(
        "search_space", role="proxy", description="proxies, the cheapest first; each keeps a share", min_length=1
    )
    samples: int = Field(500, description="candidates that are sampled in a round", ge=2)
    keep: float = Field(0.2, description="share of the candidates that each proxy keeps", gt=0, le=1)


class OptunaConfig(Config):
    """Options of the tree-structured Parzen estimator; the defaults are Optuna's."""

    startup: int = Field(10, description="random candidates before the model is asked", ge=1)
    multivariate: bool = Field(True, description="whether the model sees the axes together")
    considered: int = Field(24, description="points among which the model chooses", ge=1)


class CountConfig(Config):
    """What is counted, and whether more is better."""

    what: str = Field("parameters", description="name of the size", min_length=1)
    direction: Literal["maximise", "minimise"] = Field("maximise", description="whether more or less is better")


class PipelinesConfig(Config):
    """The expression whose holes are filled."""

    expression: str = Field(description="a pipeline with holes, as text", min_length=1)
    digits: int = Field(3, description="significant digits of real numbers", ge=1, le=15)


class Budget(Config):
    """What a walk may spend; it ends with what is used up first."""

    candidates: float | None = Field(
        None, description="candidates; one that is scored at a share of the full effort counts as that share", gt=0
    )
    seconds: float | None = Field(None, description="seconds of scoring, all processes together", gt=0)
    calls: float | None = Field(None, description="model calls", gt=0)
    tokens: float | None = Field(None, description="tokens read and written", gt=0)

    @model_validator(mode="after")
    def _bounded(self) -> Budget:
        if all(value is None for value in self.model_dump().values()):
            raise ValueError("a budget bounds something: candidates, seconds, calls or tokens")
        return self
