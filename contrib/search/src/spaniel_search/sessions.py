"""What makes a session again in another process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spaniel import Context
from spaniel.plugins import load_registry
from spaniel.store import digest_file


def settings_of(context: Context) -> dict[str, Any]:
    """Return what :func:`open_session` makes the same session of, as JSON: its store, settings, and one-file plugins."""
    return {
        "store": str(context.store.root),
        "device": context.device,
        "seed": context.seed,
        "batch_size": context.batch_size,
        "offline": context.offline,
        "keep": context.keep,
        "files": plugin_files(context),
    }


def open_session(settings: Mapping[str, Any]) -> Context:
    """Make a session in a worker process; of plugins that fail the first process has told."""
    given = dict(settings)
    registry = load_registry(files=tuple(given.pop("files")), warn=False)
    return Context(given.pop("store"), registry=registry, **given)


def plugin_files(context: Context) -> list[str]:
    """Return the paths of the session's plugins in one file each."""
    return [status.found.value for status in context.registry.plugins() if status.found.value.endswith(".py")]


def files_digest(context: Context) -> list[str]:
    """Return the digests of one-file plugins, which have no version: what they scored is not that of another text."""
    return [digest_file(Path(path)) for path in plugin_files(context)]
