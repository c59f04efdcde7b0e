"""Base classes whose methods are overridden by methods, and by nothing else."""

from __future__ import annotations

from inspect import isfunction
from typing import Any


class Overridable:
    """Names what stands where a base class's method is expected, before something else calls it and fails.

    ``weight = 0.3`` in a subclass, or ``self.weight = 0.3``, where the base class has a method ``weight`` is a ``TypeError``.
    """

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        for name, value in vars(cls).items():
            if not callable(value) and not isinstance(value, staticmethod | classmethod):
                _refuse(cls, super(cls, cls), name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if not callable(value):
            _refuse(type(self), type(self), name, value)
        super().__setattr__(name, value)


def _refuse(owner: type, base: Any, name: str, value: Any) -> None:
    if isfunction(getattr(base, name, None)) and not name.startswith("__"):
        what = "a property" if isinstance(value, property) else repr(value)
        raise TypeError(f"{owner.__name__}.{name} is a method, and {what} is assigned over it; override it by a method")
