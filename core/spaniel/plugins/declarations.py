"""The rules for what hooks yield."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from spaniel.declare import Command, Component, Experiment, Kind
from spaniel.plugins.faults import Faulty

KEBAB = re.compile(r"[a-z][a-z0-9]*(?:[-.][a-z0-9]+)*")
_KIND = re.compile(r"[a-z]+(?:_[a-z]+)*")
_MODULE = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
_PATH = re.compile(rf"{_MODULE}:[A-Za-z_]\w*")
_RESERVED = ("true", "false", "null")
_FOLLOWS = ("", "never", "may", "must")
_GIVES = ("run", "queries")


def check_component(kind: Kind, component: Any) -> None:
    """Check what the hook of a kind yields.

    Raises:
        Faulty: it is no component, or breaks a rule.
    """
    hook = kind.name
    if not isinstance(component, Component):
        raise Faulty(hook, f"wrong kind: hook `{hook}` yields {_shown(component)}, which is no Component")
    name = component.name
    _check_name(hook, name)
    _check_texts(hook, component, "summary", "paper", "extra", "role", "follows")
    if not _is_path(component.factory):
        raise Faulty(hook, f"wrong factory: `{name}` names {component.factory!r}, no path as in 'package.module:Class'")
    if component.config != "" and not _is_path(component.config):
        what = f"`{name}` names {component.config!r}, no path as in 'package.config:Model'"
        raise Faulty(hook, f"missing or broken config model: {what}")
    if component.role not in kind.roles:
        allowed = " or ".join(repr(role) for role in kind.roles)
        raise Faulty(hook, f"wrong kind: `{name}` has the role {component.role!r}; components of {hook} have {allowed}")
    if component.follows not in _FOLLOWS:
        raise Faulty(hook, f"`{name}` says follows={component.follows!r}; allowed: 'never', 'may', 'must'")
    if component.follows and not kind.follows:
        raise Faulty(
            hook, f"wrong kind: `{name}` says follows={component.follows!r}, but {hook} is no stage of a pipeline"
        )
    for field in ("takes", "gives"):
        value = getattr(component, field)
        if not isinstance(value, tuple) or not all(isinstance(v, str) for v in value):
            raise Faulty(hook, f"`{name}` says {field}={value!r}; write a tuple of names, as in ('dense',)")
    options = component.options
    if not isinstance(options, Mapping) or not all(isinstance(key, str) for key in options):
        raise Faulty(hook, f"`{name}` says options={options!r}, which is no mapping from names")
    if options and not component.config:
        raise Faulty(hook, f"missing or broken config model: `{name}` sets options beforehand, but has no config model")


def check_kind(kind: Any) -> None:
    """Check what the hook ``kinds`` yields.

    Raises:
        Faulty: it is no kind, or breaks a rule.
    """
    if not isinstance(kind, Kind):
        raise Faulty("kinds", f"wrong kind: hook `kinds` yields {_shown(kind)}, which is no Kind")
    if not isinstance(kind.name, str) or not _KIND.fullmatch(kind.name):
        raise Faulty("kinds", f"{kind.name!r} is no name of a kind; it is the name of a hook, as in 'language_model'")
    _check_texts("kinds", kind, "summary", "follows")
    roles = kind.roles
    if (
        not isinstance(roles, Mapping)
        or not roles
        or not all(isinstance(r, str) and _is_path(p) for r, p in roles.items())
    ):
        raise Faulty("kinds", f"kind `{kind.name}` has the roles {roles!r}; write {{'': 'package.module:Protocol'}}")
    if not isinstance(kind.hookspecs, str) or not re.fullmatch(_MODULE, kind.hookspecs):
        raise Faulty("kinds", f"kind `{kind.name}` names {kind.hookspecs!r} as the module of its hook specification")
    if kind.follows not in _FOLLOWS:
        raise Faulty("kinds", f"kind `{kind.name}` says follows={kind.follows!r}; allowed: 'never', 'may', 'must'")
    if not isinstance(kind.call, str) or bool(kind.call) != bool(kind.follows):
        what = (
            "a stage of a pipeline says both what it follows and what is called, as in follows='never', call='rewrite'"
        )
        raise Faulty("kinds", f"kind `{kind.name}` says follows={kind.follows!r}, call={kind.call!r}; {what}")
    if kind.call and not re.fullmatch(r"[A-Za-z]\w*", kind.call):
        raise Faulty("kinds", f"kind `{kind.name}` says call={kind.call!r}, which is no name of a public method")
    if kind.gives not in _GIVES:
        raise Faulty("kinds", f"kind `{kind.name}` says gives={kind.gives!r}; allowed: 'run', 'queries'")


def check_command(command: Any) -> None:
    """Check what the hook ``commands`` yields.

    Raises:
        Faulty: it is no command, or breaks a rule.
    """
    if not isinstance(command, Command):
        raise Faulty("commands", f"wrong kind: hook `commands` yields {_shown(command)}, which is no Command")
    _check_name("commands", command.name)
    _check_texts("commands", command, "summary")
    if not _is_path(command.callback):
        raise Faulty(
            "commands", f"command `{command.name}` names {command.callback!r}, no path as in 'package.cli:train'"
        )


def check_experiment(experiment: Any) -> None:
    """Check what the hook ``experiments`` yields.

    Raises:
        Faulty: it is no experiment, or breaks a rule.
    """
    if not isinstance(experiment, Experiment):
        what = _shown(experiment)
        raise Faulty("experiments", f"wrong kind: hook `experiments` yields {what}, which is no Experiment")
    _check_name("experiments", experiment.slug)
    _check_texts("experiments", experiment, "claim", "paper", "collection", "extra")
    if not _is_path(experiment.run):
        raise Faulty(
            "experiments", f"check `{experiment.slug}` names {experiment.run!r}, no path as in 'package.room:run'"
        )


def _check_name(hook: str, name: Any) -> None:
    if not isinstance(name, str) or not KEBAB.fullmatch(name) or name in _RESERVED:
        raise Faulty(hook, f"badly formed name {name!r}: names are kebab-case, as in 'bm25' or 'dense-prf'")


def _check_texts(hook: str, declared: Any, *fields: str) -> None:
    for field in fields:
        if not isinstance(getattr(declared, field), str):
            raise Faulty(hook, f"`{declared[0]}` says {field}={getattr(declared, field)!r}, which is no text")


def _is_path(text: Any) -> bool:
    return isinstance(text, str) and _PATH.fullmatch(text) is not None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
