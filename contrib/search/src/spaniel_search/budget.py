"""Budgets as people write them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from spaniel import UsageError

from spaniel_search.config import Budget

_UNITS = {
    "": ("candidates", 1), "candidates": ("candidates", 1), "candidate": ("candidates", 1),
    "s": ("seconds", 1), "seconds": ("seconds", 1), "min": ("seconds", 60), "h": ("seconds", 3600),
    "calls": ("calls", 1), "tokens": ("tokens", 1),
}  # fmt: skip

_NUMBER = r"\s*(\d+(?:\.\d+)?(?:[eE]\+?\d+)?)\s*([a-z]*)\s*"


def parse_budget(texts: Sequence[str]) -> Budget:
    """Return the budget of texts such as ``"200"``, ``"10min"``, ``"5000 calls"``, ``"1e6 tokens"``.

    Raises:
        UsageError: one is no budget, or a unit comes twice.
    """
    found: dict[str, float] = {}
    for text in texts:
        match = re.fullmatch(_NUMBER, text)
        if match is None or match[2] not in _UNITS or not 0 < float(match[1]) < float("inf"):
            units = ", ".join(
                f"`200{unit}`" if len(unit) < 4 else f"`200 {unit}`" for unit in _UNITS if unit[-1:] != "e"
            )
            raise UsageError(f"{text!r} is no budget; write a number above 0 and its unit, as in {units}")
        name, factor = _UNITS[match[2]]
        if name in found:
            raise UsageError(f"the budget of {name} is given twice")
        found[name] = float(match[1]) * factor
    if not found:
        raise UsageError("a search needs a budget, as in `200`, `10min`, `5000 calls`")
    return Budget(**found)


def parse_limit(text: str) -> float | None:
    """Return the seconds of a limit such as ``"90"``, ``"10min"``, ``"2h"``; ``"none"``: there is no limit.

    Raises:
        UsageError: it is none.
    """
    if text.strip() == "none":
        return None
    match = re.fullmatch(_NUMBER, text)
    name, factor = _UNITS.get(match[2] or "s", ("", 1)) if match is not None else ("", 1)
    if match is None or name != "seconds" or not 0 < float(match[1]) < float("inf"):
        raise UsageError(f"{text!r} is no time limit; write seconds, as in `90`, or `10min`, `2h`, or `none`")
    return float(match[1]) * factor
