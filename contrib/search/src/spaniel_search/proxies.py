"""The trivial proxy, the sign of proxies, and many proxies on one forward pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spaniel import UsageError
from spaniel.protocols import Countable, Proxy, SearchSpace, Tapped, TapProxy

if TYPE_CHECKING:
    from spaniel import Context

    from spaniel_search.config import CountConfig


class Count:
    """A size of the candidate, from the space's own counts, or the number of parameters of the model that it builds."""

    def __init__(self, config: CountConfig, context: Context) -> None:
        self.config = config
        self.direction = config.direction

    def score(self, space: SearchSpace, candidate: Any, seed: int) -> float:
        """Return the size.

        Raises:
            UsageError: the space does not count it.
        """
        what = self.config.what
        counts = counts_of(space, candidate)
        if what in counts:
            return float(counts[what])
        if what == "parameters":
            built = space.build(candidate, seed)
            if callable(getattr(built, "parameters", None)):
                return float(sum(parameter.numel() for parameter in built.parameters()))
        raise UsageError(f"this space does not count {what!r}; it counts {', '.join(counts) or 'nothing'}")


def counts_of(space: SearchSpace, candidate: Any) -> Mapping[str, float]:
    """Return what a space counts of a candidate; nothing where it does not count."""
    return space.counts(candidate) if isinstance(space, Countable) else {}


def sign(proxy: Proxy) -> int:
    """Return 1 for a proxy whose larger scores are better, and -1 for the others."""
    return 1 if proxy.direction == "maximise" else -1


def score_all(space: SearchSpace, proxies: Mapping[str, Proxy], candidate: Any, seed: int) -> dict[str, float]:
    """Return the score of a candidate by each proxy; those that read taps share one forward pass.

    Args:
        space: the candidate's space.
        proxies: the proxies by name.
        candidate: what is scored.
        seed: seed of what is random in building and running it.
    """
    tapping = {name: proxy for name, proxy in proxies.items() if isinstance(proxy, TapProxy)}
    seen: Mapping[str, Any] = {}
    if isinstance(space, Tapped) and tapping:
        wanted = dict.fromkeys(tap for proxy in tapping.values() for tap in proxy.taps)
        seen = space.forward(candidate, seed, list(wanted))
    scores = {}
    for name, proxy in proxies.items():
        if isinstance(proxy, TapProxy) and isinstance(space, Tapped):
            scores[name] = float(proxy.score_taps({tap: seen[tap] for tap in proxy.taps}))
        else:
            scores[name] = float(proxy.score(space, candidate, seed))
    return scores
