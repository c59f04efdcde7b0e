"""What a headline check returns: the paper's claims beside what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One claim with its measurement.

    Attributes:
        claim: what the paper says, as a reader would put it.
        published: the paper's figure, as text; with its setting where that differs.
        measured: one figure for each seed.
        unit: unit of the figures.
        holds: whether the claim holds here; ``None`` where it cannot be said.
        note: the scale, and what falls short.
    """

    claim: str
    published: str
    measured: tuple[float, ...]
    unit: str = ""
    holds: bool | None = None
    note: str = ""

    @property
    def mean(self) -> float:
        return sum(self.measured) / len(self.measured)

    @property
    def spread(self) -> float:
        """Half the range over the seeds."""
        return (max(self.measured) - min(self.measured)) / 2

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "mean": self.mean, "spread": self.spread}


@dataclass(frozen=True)
class Reproduction:
    """The findings of a headline check, with the seeds and the scale that it ran at."""

    findings: tuple[Finding, ...]
    seeds: Sequence[int]
    scale: float

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {"scale": self.scale, "seeds": list(self.seeds), "findings": [f.to_json() for f in self.findings]}
