"""What a hole can be filled with: a range of numbers, or choices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spaniel import UsageError

_WIDE = 100.0
"""A declared range whose ends differ by this factor is walked in logarithms."""
_OPEN = 10.0
"""Where one end is open, the range reaches from the default divided by this to the default times this."""


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``: whole ones, or real ones rounded to some significant digits."""

    low: float
    high: float
    whole: bool
    log: bool = False
    digits: int = 3

    @property
    def size(self) -> int:
        """How many values it has where they can be counted on an axis; 0 where it is walked as real numbers."""
        return int(self.high - self.low) + 1 if self.whole and not self.log else 0

    def value(self, unit: float) -> Any:
        """Return the value at a place from 0 to 1."""
        if self.log:
            raw = math.exp(math.log(self.low) + unit * (math.log(self.high) - math.log(self.low)))
        else:
            raw = self.low + unit * (self.high - self.low)
        value = round(raw) if self.whole else float(f"{raw:.{self.digits}g}")
        return min(max(value, self.low), self.high)

    def unit(self, value: float) -> float:
        """Return the place of a value, from 0 to 1."""
        if self.log:
            place = (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        else:
            place = (value - self.low) / (self.high - self.low)
        return min(max(place, 0.0), 1.0)

    def holds(self, value: Any) -> bool:
        """Whether a value belongs to the range."""
        fits = type(value) is int if self.whole else type(value) in (int, float)
        return fits and self.low <= value <= self.high


def declared_domain(schema: Mapping[str, Any], digits: int) -> Range | tuple[Any, ...]:
    """Return what an option may be as its field declares it: a range, or the values that it can have.

    Ranges of positive numbers that are a hundredfold or wider are walked in logarithms. Where one end is open, the range
    is the default, divided and multiplied by ten, in logarithms, within what is declared.

    Args:
        schema: JSON schema of the field, references resolved.
        digits: significant digits of real numbers.

    Raises:
        UsageError: the field declares no bounds to search in.
    """
    forms = [form for form in schema.get("anyOf", [schema]) if form.get("type") != "null"]
    values = [value for form in forms for value in _values(form)]
    if values and all(_values(form) for form in forms):
        return tuple(values)
    numbers = [form for form in forms if form.get("type") in ("integer", "number")]
    if len(forms) == 1 and numbers:
        return _range(numbers[0], schema.get("default"), digits)
    raise UsageError("it is no number, no truth value and no choice: give choices, as in `?[a, b]`")


def _values(form: Mapping[str, Any]) -> list[Any]:
    if "enum" in form:
        return list(form["enum"])
    if "const" in form:
        return [form["const"]]
    return [False, True] if form.get("type") == "boolean" else []


def _range(form: Mapping[str, Any], default: Any, digits: int) -> Range:
    whole = form["type"] == "integer"
    step = 1 if whole else 0
    low, high = form.get("minimum"), form.get("maximum")
    if "exclusiveMinimum" in form:
        low = form["exclusiveMinimum"] + step
    if "exclusiveMaximum" in form:
        high = form["exclusiveMaximum"] - step
    if low is not None and high is not None:
        low, high = (low, high) if whole else (_inside(form, float(low), float(high)))
        if not low < high:
            raise UsageError(f"it can only be {low}")
        return Range(low, high, whole, low > 0 and high / low >= _WIDE, digits)
    if isinstance(default, bool) or not isinstance(default, int | float) or default <= 0:
        raise UsageError("its range is open and it has no default above 0: give a range, as in `?[0..1]`")
    near, far = default / _OPEN, default * _OPEN
    if whole:
        near, far = max(1, round(near)), round(far)
    low = near if low is None else max(near, low)
    high = far if high is None else min(far, high)
    return Range(low, high, whole, True, digits)


def _inside(form: Mapping[str, Any], low: float, high: float) -> tuple[float, float]:
    """Keep the ends of a range of real numbers off bounds that are themselves excluded."""
    margin = (high - low) / 1000
    return low + margin * ("exclusiveMinimum" in form), high - margin * ("exclusiveMaximum" in form)
