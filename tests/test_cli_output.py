"""Plain data as people read it."""

from __future__ import annotations

import pytest
from spaniel.cli.output import print_report


def test_a_report_is_printed_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(
        {
            "rows": 49153,
            "names": ["a", "b"],
            "none": [],
            "kept": True,
            "lost": None,
            "input": {"tokens": 1000, "cosine": {"5 %": 0.16731, "95 %": 0.5}},
            "pieces": {"12": {"base": [2], "donor": [1, 1]}},
        }
    )
    assert capsys.readouterr().out.splitlines() == [
        "  rows: 49,153",
        "  names: a, b",
        "  none: none",
        "  kept: yes",
        "  lost: –",
        "  input:",
        "    tokens: 1,000",
        "    cosine: 5 % 0.1673, 95 % 0.5",
        "  pieces:",
        "    12: base 2, donor 1 1",
    ]
