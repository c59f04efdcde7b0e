"""Which distribution of the project offers which component, installed or not; ``tools/catalogue.py`` writes it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spaniel.plugins.registry import Registry
    from spaniel.plugins.status import PluginStatus


def catalogue() -> dict[str, dict[str, str]]:
    """Return kind → component → distribution."""
    text = files("spaniel.plugins").joinpath("catalogue.json").read_text(encoding="utf-8")
    read: dict[str, dict[str, str]] = json.loads(text)
    return read


def owner(kind: str, name: str) -> str | None:
    """Return the distribution of the project to which a name belongs."""
    return catalogue().get(kind, {}).get(name)


def failed_plugin(registry: Registry, kinds: Sequence[str], name: str) -> PluginStatus | None:
    """Return the plugin that failed to load and, by all that is known, offers a component."""
    distribution, _, bare = name.rpartition("/")
    holders = {distribution} if distribution else {owner(kind, bare) for kind in kinds}
    for status in registry.plugins():
        if status.state != "failed":
            continue
        is_offered = any((kind, bare) in status.offered for kind in kinds) or status.name == bare
        if status.distribution in holders or (is_offered and not distribution):
            return status
    return None


def unknown(registry: Registry, kinds: Sequence[str], name: str) -> str:
    """Say that no component has a name: who provides it and how to get it, else near names."""
    distribution, _, bare = name.rpartition("/")
    wanted = " or ".join(kinds)
    known = catalogue()
    installed = {r.name: r for kind in reversed(kinds) for r in registry.components(kind)}
    for kind in kinds:
        holder = known.get(kind, {}).get(bare)
        if holder is not None and distribution in ("", holder) and bare not in installed:
            return f"{kind} `{bare}` is offered by {holder}, {_way_to(registry, holder)}"
    if bare in installed:
        return f"{distribution} offers no {wanted} `{bare}`; `{installed[bare].full_name}` is one"
    elsewhere = [kind for kind in registry.kinds if registry.has(kind, name)]
    if elsewhere:
        return f"`{name}` is of the kind {elsewhere[0]}; here a component of the kind {wanted} is needed"
    offered = {n: holder for kind in kinds for n, holder in known.get(kind, {}).items()}
    offered |= {n: r.distribution for n, r in installed.items()}
    near = difflib.get_close_matches(bare, offered, n=3)
    hints = [f"`{n}` ({offered[n] if n in installed else _near_way(registry, offered[n])})" for n in near]
    hint = f"did you mean {' or '.join(hints)}?" if near else f"there are: {', '.join(sorted(installed)) or 'none'}"
    return f"no {wanted} is called `{name}`; {hint}{_left_out(registry)}"


def unknown_kind(registry: Registry, kind: str) -> str:
    """Say why a kind is not there, and how to get it."""
    holders = sorted(set(catalogue().get(kind, {}).values()))
    if not holders:
        return "which no installed distribution adds"
    return f"which {holders[0]} adds, {_way_to(registry, holders[0])}"


def _way_to(registry: Registry, distribution: str) -> str:
    """Say how to get a component of a distribution that does not offer it here."""
    states = {status.state: status for status in registry.plugins() if status.distribution == distribution}
    if "disabled" in states:
        return f"which is switched off: spaniel plugins enable {distribution}"
    if "ok" in states:
        return f"but not by its version {states['ok'].version}: spaniel plugins install --upgrade {distribution}"
    return f"which is not installed: spaniel plugins install {distribution}"


def _near_way(registry: Registry, distribution: str) -> str:
    return f"{distribution}, {_way_to(registry, distribution).removeprefix('which is ')}"


def _left_out(registry: Registry) -> str:
    failed = [status.name for status in registry.plugins() if status.state == "failed"]
    if not failed:
        return ""
    return f" (not loaded, so unknown what they offer: {', '.join(failed)}; spaniel plugins list)"
