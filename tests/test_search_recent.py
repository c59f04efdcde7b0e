"""A session that is told how much to keep forgets what was not used for longest, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spaniel import Context, UsageError
from spaniel.recent import Recent


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9))), st.integers(1, 5))
def test_the_least_recently_used_goes_first(steps: list[tuple[bool, int]], most: int) -> None:
    recent: Recent[int, int] = Recent(most)
    order: list[int] = []
    for writes, key in steps:
        if writes:
            recent[key] = -key
        elif key in recent:
            assert recent[key] == -key
        if key in order or writes:
            order = [k for k in order if k != key] + [key]
        order = order[-most:]
        assert list(recent) == order


def test_a_session_forgets_results_and_makes_them_again(tmp_path: Path) -> None:
    context = Context(tmp_path, keep=2)
    made: list[str] = []
    for key in ("a", "b", "a", "c", "a", "b"):
        context.remember(key, lambda key=key: made.append(key))
    assert made == ["a", "b", "c", "b"]
    with pytest.raises(UsageError, match="at least 1, not 0"):
        Context(tmp_path, keep=0)
