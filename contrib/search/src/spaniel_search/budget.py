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


def parse_budget(texts: Sequence[str]) -> Budget:
    """Return the budget of texts such as ``"200"``, ``"10min"``, ``"5000 calls"``, ``"1e6 tokens"``.

    Raises:
        UsageError: one is no budget, or a unit comes twice.
    """
    found: dict[str, float] = {}
    for text in texts:
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?(?:[eE]\+?\d+)?)\s*([a-z]*)\s*", text)
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
