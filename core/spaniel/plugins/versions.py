"""The range of hook-spec versions that a plugin was written for: ``requires_hookspec = ">=1.0,<2"``."""

from __future__ import annotations

import re
from typing import Any

from spaniel.hookspecs import HOOKSPEC_VERSION
from spaniel.plugins.faults import Faulty


def check_version(wanted: Any) -> None:
    """Check the range that a plugin states.

    Raises:
        Faulty: it is malformed, or does not hold the core's version.
    """
    if not isinstance(wanted, str):
        raise Faulty("version", f"requires_hookspec is {wanted!r}, not text as in '>=1.0,<2'")
    have = _numbers(HOOKSPEC_VERSION)
    for clause in wanted.split(","):
        match = re.fullmatch(r"\s*(>=|<=|==|!=|>|<)\s*(\d{1,6}(?:\.\d{1,6})*)\s*", clause)
        if match is None:
            raise Faulty("version", f"requires_hookspec = {wanted!r} has the part {clause!r}; write '>=1.0,<2'")
        other = _numbers(match[2])
        holds = {
            ">=": have >= other,
            "<=": have <= other,
            "==": have == other,
            "!=": have != other,
            ">": have > other,
            "<": have < other,
        }
        if not holds[match[1]]:
            raise Faulty(
                "version", f"hook-spec version out of range: it was written for {wanted}, this is {HOOKSPEC_VERSION}"
            )


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in version.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()  # 1.0 is 1
    return tuple(numbers)
