"""What indexers promise of artifacts whose digests are right and whose numbers are not."""

from __future__ import annotations

import faulthandler
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spaniel.context import Context
from spaniel.data import Run
from spaniel.errors import ArtifactError
from spaniel.indexing import index_need, open_index
from spaniel.leash import end, start
from spaniel.store import Artifact
from spaniel.store.artifact import MANIFEST, FileEntry, render_manifest
from spaniel.store.digests import digest_bytes
from spaniel.testing.alterations import alter, alter_info
from spaniel.testing.case import Case, expect
from spaniel.testing.promises.sources import CLUSTERED, Source, clustered, sources

_K = 10
_MOST = 160
"""Alterations of one index that are tried, drawn at random where there are more."""
_PATIENCE = 300
_MEMORY = 2**35


def hostile_contents_are_found(case: Case) -> None:
    """Numbers that are out of bounds, under right digests, are an :class:`ArtifactError` or harmless, and never a crash.

    The alterations are tried in a process of its own, which a crash ends, unless the plugin is at hand in this one.
    """
    if case.plugins:
        for what in try_alterations(case):
            expect(not what.partition("\t")[2], what.replace("\t", ": "))
        return
    told = {"component": f"{case.kind}/{case.expression.name}", "options": dict(case.expression.options)}
    said = json.dumps({**told, "folder": str(case.folder / "hostile")}, default=str)
    case.folder.mkdir(parents=True, exist_ok=True)
    output, errors = case.folder / "output", case.folder / "errors"
    with output.open("wb") as out, errors.open("wb") as err:
        process = start("spaniel.testing.promises.hostile", [said], stdout=out, stderr=err)
        try:
            code = process.wait(_PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"it never ends: {_last(output)}") from error
        finally:
            end(process)
    trace = errors.read_text(encoding="utf-8", errors="replace")[-3000:]
    expect(code == 0, f"the process ended with {code} at {_last(output)}\n{trace}")


def try_alterations(case: Case) -> Iterator[str]:
    """Try alterations of the case's indexes; yield what is tried before, and again behind a tab what went wrong, if it did."""
    forms = case.registered.component.takes
    exact = float(getattr(case.make(case.context()), "recall", 1.0)) == 1
    for source in [*sources(case), *(clustered(form) for form in forms if form in CLUSTERED and not exact)]:
        context = case.context("sound")
        artifact = context.obtain(index_need(context, case.expression, source.need, source.name))
        index = open_index(context, case.expression, source.need, source.name)
        known = [index.search(source.queries, k) for k in (_K, source.size)]
        made = list(_alterations(artifact))
        chosen = np.sort(np.random.default_rng(1).permutation(len(made))[:_MOST])
        for number in chosen:
            what, name, data, info = made[number]
            what = f"{source.name or 'corpus'}, {name}: {what}"
            yield what
            store = _altered(context, artifact, case.folder / "altered", name, data, info)
            wrong = _try(Context(store, device="cpu", registry=case.registry), case, source, known, exact)
            shutil.rmtree(store)
            if wrong:
                yield f"{what}\t{wrong}"


def _alterations(artifact: Artifact) -> list[tuple[str, str, bytes | None, Mapping[str, Any]]]:
    made: list[tuple[str, str, bytes | None, Mapping[str, Any]]] = []
    for name in artifact.files:
        made += [(what, name, data, artifact.info) for what, data in alter(name, (artifact.path / name).read_bytes())]
    for what, info in alter_info(artifact.info):
        try:
            json.dumps(info, allow_nan=False)
        except ValueError:
            continue  # what is no JSON, or has too many digits, is found by the store
        made.append((what, MANIFEST, None, info))
    return made


def _altered(
    context: Context, artifact: Artifact, root: Path, name: str, data: bytes | None, info: Mapping[str, Any]
) -> Path:
    """Make a store in which the artifact is altered, with right digests, and everything else is the same."""
    shutil.copytree(context.store.root / "artifacts", root / "artifacts", copy_function=os.link)
    shutil.copy(context.store.root / "format", root / "format") if (context.store.root / "format").exists() else None
    folder = root / artifact.path.relative_to(context.store.root)
    files = dict(artifact.files)
    if data is not None:
        (folder / name).unlink()
        (folder / name).write_bytes(data)
        files[name] = FileEntry(len(data), digest_bytes(data))
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).write_bytes(render_manifest(replace(artifact, path=folder, files=files, info=info)))
    return root


def _try(context: Context, case: Case, source: Source, known: list[Run], exact: bool) -> str:
    try:
        index = open_index(context, case.expression, source.need, source.name)
        if len(index) != source.size:
            return f"holds {len(index)} documents instead of {source.size}"
        for k, before in zip((_K, source.size), known, strict=True):
            found = index.search(source.queries, k)
            if exact and found != before:
                return f"finds something else for k={k}"
            if not exact and not _is_true(found, known[-1], k, source.size):
                return f"finds scores or rows that are none for k={k}"
    except ArtifactError:
        return ""
    except Exception as error:
        return f"raises {type(error).__name__}: {error}"
    return ""


def _is_true(found: Run, everything: Run, k: int, size: int) -> bool:
    """Whether an approximate index, which may find other documents, gives those that it finds their true scores."""
    if len(found.rows) and not 0 <= int(found.rows.min()) <= int(found.rows.max()) < size:
        return False
    for query in range(len(found)):
        rows, scores = found.of(query)
        true = dict(zip(*(values.tolist() for values in everything.of(query)), strict=True))
        if len(rows) > k or not np.allclose(
            scores, [true.get(row, scores[at]) for at, row in enumerate(rows.tolist())]
        ):
            return False
    return True


def _last(output: Path) -> str:
    text = output.read_text(encoding="utf-8", errors="replace")
    return next(iter(text.strip().splitlines()[-1:]), "its start").replace("\t", ": ")


def _main(told: Mapping[str, Any]) -> None:
    faulthandler.enable()
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    except (ImportError, ValueError, OSError):
        pass  # a machine without such limits is held by its memory
    for what in try_alterations(Case(told["component"], Path(told["folder"]), options=told["options"])):
        print(what, flush=True)
        if "\t" in what:
            sys.exit(1)


PROMISES = {"hostile contents are found": hostile_contents_are_found}

if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
