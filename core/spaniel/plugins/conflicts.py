"""To whom a name belongs that several plugins declare."""

from __future__ import annotations

from collections.abc import Iterable

from spaniel.plugins.discovery import Found
from spaniel.plugins.faults import Fault

Name = tuple[str, str]
"""A kind and a name; commands and experiments count as kinds here."""


def conflicts(offers: Iterable[tuple[Found, list[Name]]]) -> list[tuple[str, Fault]]:
    """Return the plugins that lose a name, by key, each with its fault.

    A name belongs to the distribution that the catalogue of the project names for it, else to the plugin that comes
    first: plugins come in alphabetical order of their distributions, behind the core. Plugins that declare a name twice
    lose before names are settled, and the catalogue's names are settled before the others, so that no plugin loses a
    name to one that is itself rolled back; call again after taking the losers out.
    """
    every = list(offers)
    twice = [(found.key, _twice(names)) for found, names in every if len(set(names)) < len(names)]
    if twice:
        return twice
    holders: dict[Name, list[Found]] = {}
    for found, names in every:
        for name in names:
            holders.setdefault(name, []).append(found)
    contested = {name: found for name, found in holders.items() if len(found) > 1}
    return (_owned(contested) or _later(every, contested)) if contested else []


def _twice(names: list[Name]) -> Fault:
    kind, name = next(n for position, n in enumerate(names) if n in names[:position])
    return Fault(kind, f"duplicate name: it declares {kind} `{name}` twice")


def _owned(contested: dict[Name, list[Found]]) -> list[tuple[str, Fault]]:
    from spaniel.plugins.catalogue import owner

    lost = {}
    for name, candidates in contested.items():
        holder = next((found for found in candidates if found.distribution == owner(*name)), None)
        for found in candidates if holder is not None else ():
            if found is not holder and holder is not None:
                lost[found.key] = _lost(name, holder, found)
    return list(lost.items())


def _later(every: list[tuple[Found, list[Name]]], contested: dict[Name, list[Found]]) -> list[tuple[str, Fault]]:
    lost = []
    holders: dict[Name, Found] = {}
    for found, names in every:
        taken = next((name for name in names if name in contested and name in holders), None)
        if taken is not None:
            lost.append((found.key, _lost(taken, holders[taken], found)))
        else:
            holders.update(dict.fromkeys(names, found))
    return lost


def _lost(name: Name, holder: Found, loser: Found) -> Fault:
    kind, bare = name
    owns = f"{kind} `{bare}` belongs to {holder.distribution}"
    return Fault(kind, f"duplicate name: {owns}, and {loser.distribution} declares it, too")
