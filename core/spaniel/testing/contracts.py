"""One line that holds a component to all promises of its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from spaniel.errors import UsageError
from spaniel.testing.case import Case

Promise = Callable[[Case], None]

_ROOMS = ("encode", "index", "retrieve", "rerank", "explain", "search_space")


def promises_of(kind: str) -> Mapping[str, Promise]:
    """Return what is checked for components of a kind, by name; for kinds that plugins add, what holds for all."""
    rooms = ["common", *([kind] if kind in _ROOMS else [])]
    found: dict[str, Promise] = {}
    for room in rooms:
        found.update(import_module(f"spaniel.testing.promises.{room}").PROMISES)
    return found


def contract(
    component: str,
    *,
    options: Mapping[str, Any] | None = None,
    target: str | None = None,
    space: str | None = None,
    plugins: Sequence[object] = (),
    tolerance: float = 1e-4,
    without: Sequence[str] = (),
) -> Callable[..., None]:
    """Return a test, parametrised over the promises of a component's kind; give it a name that begins with ``test_``.

    Args:
        component: ``"kind/name"`` or ``"kind/distribution/name"``, such as ``"rerank/overlap"``.
        options: its options; choose them small, since models are loaded for real.
        target: for explainers, the stage that is explained, such as ``"bm25"``; by default the first installed one that
            the component takes.
        space: for proxies and strategies, the search space to use.
        plugins: plugins at hand (modules or objects with hook implementations), beside those that are installed.
        tolerance: by how much scores may differ between batches, relative to the larger one and at least to 1.
        without: promises that this component does not make, by name; say why beside it.

    Raises:
        UsageError: the component is not written as ``kind/name``, or ``without`` names no promise.
    """
    import pytest  # the promises can be checked without it

    kind, slash, _ = component.partition("/")
    if not slash:
        raise UsageError(f"contract({component!r}): write kind and name, as in 'rerank/overlap'")
    known = promises_of(kind)
    unknown = [name for name in without if name not in known]
    if unknown:
        raise UsageError(f"there is no promise {unknown[0]!r}; there are: {', '.join(known)}")

    @pytest.mark.parametrize("promise", [name for name in known if name not in without])
    def test(promise: str, tmp_path: Path) -> None:
        known[promise](
            Case(
                component,
                tmp_path,
                options=options,
                target=target,
                space=space,
                plugins=plugins,
                tolerance=tolerance,
            )
        )

    return test
