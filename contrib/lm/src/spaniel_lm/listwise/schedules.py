"""Which passages are shown together, and in which order.

A schedule is a generator: it yields windows, lists of candidates that can be ordered at the same time, is sent each of them
in its new order, and returns all candidates in their final order. Candidates are the numbers 0, 1, 2 … in their first order.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

from spaniel import UsageError

Windows = list[list[int]]
Schedule = Callable[[int], Generator[Windows, Windows, list[int]]]


def sliding(window: int = 20, step: int = 10, passes: int = 1) -> Schedule:
    """Return the schedule of RankGPT (Sun et al., 2023, §3.2): a window moves from the end of the list to its front.

    The last window begins with the first candidate, whatever the length; in the published code the first ones are passed
    over where the length is no multiple of the step.

    Raises:
        UsageError: the step is larger than the window, so that candidates would be passed over.
    """
    if not 1 <= step <= window:
        raise UsageError(f"step={step}: a window of {window} moves by 1 to {window} candidates")

    def run(count: int) -> Generator[Windows, Windows, list[int]]:
        order = list(range(count))
        for _ in range(passes if count > 1 else 0):
            end = count
            while True:
                start = max(0, end - window)
                (order[start:end],) = yield [order[start:end]]
                if start == 0:
                    break
                end -= step
        return order

    return run


def once() -> Schedule:
    """Return the schedule that shows all candidates together."""

    def run(count: int) -> Generator[Windows, Windows, list[int]]:
        order = list(range(count))
        if count > 1:
            (order,) = yield [order]
        return order

    return run


def tournament(window: int = 20) -> Schedule:
    """Return a schedule of rounds: groups are ordered side by side, the better half of each meets again.

    Groups are dealt in turn, so that each has early and late candidates (Chen et al., TourRank, 2025, §3.2). The last round
    orders one group. Those that leave follow those that go on, by their place in their group, then by group.
    """

    def run(count: int) -> Generator[Windows, Windows, list[int]]:
        going, left = list(range(count)), []
        while len(going) > window:
            groups = -(-len(going) // window)
            ordered = yield [going[group::groups] for group in range(groups)]
            halves = [-(-len(group) // 2) for group in ordered]
            going = _deal([group[:half] for group, half in zip(ordered, halves, strict=True)])
            left.append(_deal([group[half:] for group, half in zip(ordered, halves, strict=True)]))
        if len(going) > 1:
            (going,) = yield [going]
        return [*going, *(candidate for some in reversed(left) for candidate in some)]

    return run


def _deal(groups: Windows) -> list[int]:
    longest = max(map(len, groups), default=0)
    return [group[place] for place in range(longest) for group in groups if place < len(group)]


def count_windows(schedule: Schedule, size: int) -> int:
    """Return how many windows a list of so many passages is asked in, if no order surprises the schedule."""
    walk, count = schedule(size), 0
    try:
        asked = next(walk)
        while True:
            count += len(asked)
            asked = walk.send(asked)
    except StopIteration:
        return count
