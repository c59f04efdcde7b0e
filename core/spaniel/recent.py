"""What was used lately, up to a number."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(OrderedDict[K, V]):
    """A mapping that forgets what was not used for longest once it holds more than ``most``; ``None``: nothing."""

    def __init__(self, most: int | None = None) -> None:
        super().__init__()
        self.most = most

    def __getitem__(self, key: K) -> V:
        value = super().__getitem__(key)
        self.move_to_end(key)
        return value

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        while self.most is not None and len(self) > self.most:
            del self[next(iter(self))]
