"""What a plugin declares: components, kinds, commands and experiments, with import paths in strings.

Nothing here imports anything heavy, so a plugin's entry module stays as light as its declarations.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

Follows = Literal["never", "may", "must"]
Gives = Literal["run", "queries"]
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Component(NamedTuple):
    """One named thing that a plugin offers for one kind of work.

    Attributes:
        name: kebab-case, unique within its kind.
        factory: ``"package.module:callable"``, called as ``factory(config, context)`` when the component is first used.
        summary: one line for ``spaniel components``.
        config: ``"package.module:Model"``, a subclass of :class:`spaniel.Config`; empty for a component without options.
        paper: the source of the method, as a reader would cite it.
        follows: whether the stage reads the run of the stages before it: a retriever that does not says ``"never"``, one
            that can use it as feedback ``"may"``, one that needs it ``"must"``. Empty: the kind's own rule.
        takes: what it works on, where that is open: an indexer says ``("corpus",)`` or ``("dense",)``, an explainer the
            components that it explains (``("retrieve/bm25",)``).
        gives: the representations that an encoder offers: ``"dense"``, ``"sparse"``, ``"multi-vector"``, ``"binary"``.
        role: which of the kind's roles it plays, where the kind has several.
        options: options set beforehand; users' own win over them. So a preset is a component of its own.
        extra: the extra of the distribution that installs what the factory imports, named when that import fails.
    """

    name: str
    factory: str
    summary: str
    config: str = ""
    paper: str = ""
    follows: Follows | Literal[""] = ""
    takes: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()
    role: str = ""
    options: Mapping[str, Any] = _NOTHING
    extra: str = ""


class Kind(NamedTuple):
    """A kind of component: the name of a hook, and the protocol that its components promise.

    Attributes:
        name: name of the hook and of the kind.
        summary: one line.
        roles: role → ``"package.module:Protocol"``; a kind with one role uses the empty name.
        hookspecs: ``"package.module"`` that holds the hook's specification (the core's own are in ``spaniel.hookspecs``).
        follows: the rule for its components behind ``>>``; empty for kinds that are no stages of a pipeline.
        call: for stages, the method that runs one: called as ``call(queries=…, run=…, corpus=…)``, by name.
        gives: for stages, what it returns: ``"run"``, a :class:`spaniel.data.Run` over the same queries; or ``"queries"``,
            for the stages behind it: :class:`spaniel.data.Queries` under the same ids, or, for the next one alone,
            :class:`spaniel.data.Variants`.
    """

    name: str
    summary: str
    roles: Mapping[str, str]
    hookspecs: str
    follows: Follows | Literal[""] = ""
    call: str = ""
    gives: Gives = "run"


class Command(NamedTuple):
    """A sub-command of ``spaniel``: ``callback`` is the import path of a click command or group."""

    name: str
    callback: str
    summary: str


class Experiment(NamedTuple):
    """A headline check for ``spaniel reproduce``.

    Attributes:
        slug: of the paper, kebab-case.
        run: ``"package.reproduce:run"``, called as ``run(context, scale, seeds)``, and as ``run(context, scale, seeds,
            collection)`` where a collection is named; returns a :class:`spaniel.reproduction.Reproduction`.
        claim: what the paper says, in a line.
        paper: as a reader would cite it.
        minutes: that it takes at scale 1 on two cores, roughly.
        collection: the collection that it runs on unless the user names another one, for
            :func:`spaniel.collections.find_dataset`; empty for a check that needs none.
        extra: the extra of the distribution that installs what the check needs, named when an import fails.
    """

    slug: str
    run: str
    claim: str
    paper: str
    minutes: float = 1.0
    collection: str = ""
    extra: str = ""
