"""Which distribution of the Spaniel project offers which component, installed or not; made by ``tools/catalogue.py``."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spaniel.plugins.registry import Registry


def catalogue() -> dict[str, dict[str, str]]:
    """Return kind → component → distribution."""
    text = files("spaniel.plugins").joinpath("catalogue.json").read_text(encoding="utf-8")
    read: dict[str, dict[str, str]] = json.loads(text)
    return read


def owner(kind: str, name: str) -> str | None:
    """Return the distribution of the project to which a name belongs."""
    return catalogue().get(kind, {}).get(name)


def unknown(registry: Registry, kinds: Sequence[str], name: str) -> str:
    """Say that no component has a name: near names with who provides them, and how to install what is not there."""
    distribution, _, bare = name.rpartition("/")
    known = catalogue()
    for kind in kinds:
        holder = known.get(kind, {}).get(bare)
        if holder is not None and not registry.has(kind, bare):
            return f"{kind} `{name}` is not installed: pip install {holder}"
    installed = {r.name: r for kind in kinds for r in registry.components(kind)}
    wanted = " or ".join(kinds)
    if bare in installed and distribution:
        return f"{distribution} offers no {wanted} `{bare}`; {installed[bare].full_name} does"
    elsewhere = [kind for kind in registry.kinds if registry.has(kind, name)]
    if elsewhere:
        return f"`{name}` is of the kind {elsewhere[0]}; here a component of the kind {wanted} is needed"
    offered = {n: d for kind in kinds for n, d in known.get(kind, {}).items()} | {
        n: r.distribution for n, r in installed.items()
    }
    near = difflib.get_close_matches(bare, offered, n=3)
    if not near:
        return f"no {wanted} is called `{name}`; there are: {', '.join(sorted(installed)) or 'none'}"
    hints = [f"`{n}` ({offered[n]}{'' if n in installed else f', pip install {offered[n]}'})" for n in near]
    return f"no {wanted} is called `{name}`; did you mean {' or '.join(hints)}?"
