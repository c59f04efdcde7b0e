"""Spaniel: a plugin-based framework for neural retrieval.

Importing this package loads nothing heavy: what is named here is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from spaniel.declare import Command, Component, Experiment, Kind
from spaniel.errors import ArtifactError, PluginError, SpanielError, UsageError
from spaniel.hookspecs import HOOKSPEC_VERSION, hookimpl, hookspec

if TYPE_CHECKING:
    from spaniel.config import Config, ref
    from spaniel.context import Context
    from spaniel.data import Corpus, Document, Qrels, Queries, Run
    from spaniel.explanation import Contribution, Explanation
    from spaniel.expression import Expression, Stage, parse

__version__ = "0.1.0"

_LATE = {
    "Config": "spaniel.config",
    "Context": "spaniel.context",
    "Contribution": "spaniel.explanation",
    "Corpus": "spaniel.data",
    "Document": "spaniel.data",
    "Explanation": "spaniel.explanation",
    "Expression": "spaniel.expression",
    "Qrels": "spaniel.data",
    "Queries": "spaniel.data",
    "Run": "spaniel.data",
    "Stage": "spaniel.expression",
    "parse": "spaniel.expression",
    "ref": "spaniel.config",
}

__all__ = [
    "HOOKSPEC_VERSION",
    "ArtifactError",
    "Command",
    "Component",
    "Config",
    "Context",
    "Contribution",
    "Corpus",
    "Document",
    "Experiment",
    "Explanation",
    "Expression",
    "Kind",
    "PluginError",
    "Qrels",
    "Queries",
    "Run",
    "SpanielError",
    "Stage",
    "UsageError",
    "hookimpl",
    "hookspec",
    "parse",
    "ref",
]


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module 'spaniel' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE})
