"""``spaniel plugins new``: writes a plugin from the templates beside this module."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from string import Template

from spaniel import __version__
from spaniel.errors import UsageError
from spaniel.kinds import KINDS
from spaniel.plugins.catalogue import owner
from spaniel.plugins.registry import Registry

_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_RESERVED = ("true", "false", "null", "spaniel")


def check_free(registry: Registry, name: str, kind: str) -> None:
    """Check that nothing installed, and nothing of the project, has the name that a new plugin would have.

    Raises:
        UsageError: something has; the message says what.
    """
    slug = name.removeprefix("spaniel-")
    taken = next((s for s in registry.plugins() if s.distribution == f"spaniel-{slug}" or s.name == slug), None)
    if taken is not None:
        raise UsageError(
            f"{name!r} is taken: {taken.distribution} is installed; a plugin of that name would replace it"
        )
    holder = owner(kind, slug) or next((r.distribution for r in registry.components(kind) if r.name == slug), None)
    if holder is not None:
        raise UsageError(f"{name!r} is taken: {holder} offers a component of kind {kind} with this name")


def write_plugin(name: str, kind: str, output: Path) -> Path:
    """Write a plugin with one component, and return its folder.

    Args:
        name: name of the component; ``spaniel-`` before it is left out.
        kind: one of the core's six kinds.
        output: the folder that gets a folder ``spaniel-<name>``.

    Raises:
        UsageError: the name or the kind is none, the folder is there already, or it cannot be written.
    """
    slug = name.removeprefix("spaniel-")
    if not _NAME.fullmatch(slug) or slug in _RESERVED or len(slug) > 60:
        raise UsageError(f"{name!r} is no name of a component; names are kebab-case, as in word-overlap")
    kinds = [known.name for known in KINDS]
    if kind not in kinds:
        raise UsageError(f"there is no template for the kind {kind!r}; there are: {', '.join(kinds)}")
    folder = output / f"spaniel-{slug}"
    if folder.exists():
        raise UsageError(f"{folder} is there already; nothing is overwritten")
    values = {
        "name": slug,
        "kind": kind,
        "distribution": f"spaniel-{slug}",
        "package": f"spaniel_{slug.replace('-', '_')}",
        "class_name": "".join(part.title() for part in slug.split("-")),
        "spaniel_version": __version__,
    }
    try:
        output.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".spaniel-{slug}-", dir=output))
        try:
            for path, text in _templates(kind):
                file = draft / Template(path).substitute(values)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(Template(text).substitute(values), encoding="utf-8")
            draft.chmod(0o777 & ~_umask())
            draft.rename(folder)
        except BaseException:
            shutil.rmtree(draft)
            raise
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error}") from error
    return folder


def _templates(kind: str) -> Iterator[tuple[str, str]]:
    """Yield path and text of each file: what all kinds share, then the kind's own."""
    root = files("spaniel.plugins").joinpath("template")
    for part in ("common", kind):
        yield from _walk(root.joinpath(part), PurePosixPath())


def _walk(folder: Traversable, path: PurePosixPath) -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _walk(entry, path / entry.name)
        elif entry.name.endswith(".txt"):
            # The templates are no Python files, lest tools of this tree take them for some.
            yield str(path / entry.name.removesuffix(".txt")), entry.read_text(encoding="utf-8")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
