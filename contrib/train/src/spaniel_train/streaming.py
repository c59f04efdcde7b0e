"""Writing training rows piece by piece, so that a synthesis that was stopped goes on."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spaniel import Context, UsageError

from spaniel_train.material import Material, collection_material
from spaniel_train.protocols import Synthesizer
from spaniel_train.rows import read_rows, to_lines

PIECE = 64
"""Units made and synced together; a synthesis that was killed loses at most one piece."""


def stream_rows(
    context: Context, method: str, data: str, split: str | None, out: Path, resume: bool = False, again: bool = False
) -> dict[str, Any]:
    """Make the rows of all units, write them to ``out``, and return the report, which is written beside it.

    What is unfinished lies beside it: the rows, and a journal of the units that are done, the length of the file then,
    and the counts. Rows that were written after the journal's last word are cut off, and made again.

    Raises:
        UsageError: there is no such method or data, or a synthesis was stopped here and the arguments do not say what to
            do with it.
    """
    if resume and again:
        raise UsageError("--resume goes on with what was stopped and --again throws it away: give one of them")
    bound = context.bind("synthesize", method)
    synthesizer: Synthesizer = context.make(bound)
    material = _open(context, data, split)
    units = synthesizer.units(material)
    rows, journal = out.with_name(f".{out.name}.rows"), out.with_name(f".{out.name}.journal")
    job = {"method": bound.digest, "data": material.digest, "seed": context.seed}
    state = _begin(rows, journal, job, resume, again)
    counts: Counter[str] = Counter(state["counts"])
    with rows.open("r+b") as file, context.stage(f"synthesize {method}", units, "units", phase="build"):
        file.truncate(state["bytes"])
        file.seek(state["bytes"])
        context.advance(state["units"])
        for start in range(state["units"], units, PIECE):
            stop = min(units, start + PIECE)
            made = synthesizer.make(material, start, stop)
            file.write(to_lines(made.rows).encode())
            file.flush()
            os.fsync(file.fileno())
            counts.update(made.counts)
            state = {
                **state,
                "units": stop,
                "bytes": file.tell(),
                "counts": counts,
                "rows": state["rows"] + len(made.rows),
            }
            _write(journal, state)
            context.advance(stop - start)
    report = {
        "method": str(bound.expression),
        "data": material.name,
        "seed": context.seed,
        "units": units,
        "rows": state["rows"],
        "counts": dict(counts),
        "summary": dict(synthesizer.summary(counts)),
    }
    _write(out.with_name(f"{out.name}.json"), report)
    rows.replace(out)
    journal.unlink()
    return report


def _open(context: Context, data: str, split: str | None) -> Material:
    path = Path(data)
    if not path.is_file():
        return collection_material(context, data, split)
    if split is not None:
        raise UsageError(f"--split is for collections, and {data} is a file of training rows")
    return Material(path.name, context.store.digest_of(path), rows=list(read_rows(path)))


def _begin(rows: Path, journal: Path, job: Mapping[str, Any], resume: bool, again: bool) -> dict[str, Any]:
    if again:
        journal.unlink(missing_ok=True)
    if not journal.is_file():
        if resume:
            raise UsageError("there is nothing unfinished to resume; leave --resume away")
        try:
            rows.write_bytes(b"")
        except OSError as error:
            raise UsageError(f"{rows.parent} cannot be written to: {error}") from error
        state = {"job": dict(job), "units": 0, "bytes": 0, "rows": 0, "counts": {}}
        _write(journal, state)
        return state
    try:
        state = json.loads(journal.read_text(encoding="utf-8"))
        whole = rows.stat().st_size >= state["bytes"]
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{journal} is damaged ({error}); throw it away with --again") from error
    if not resume:
        raise UsageError(
            f"a synthesis was stopped here after {state['units']} units: --resume goes on with it, --again throws it away"
        )
    changed = [name for name, value in job.items() if state["job"].get(name) != value]
    if changed or not whole:
        what = f"its {', '.join(changed)} changed" if changed else f"{rows} is shorter than it was"
        raise UsageError(f"what was stopped here cannot be gone on with: {what}; throw it away with --again")
    return dict(state)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    draft = path.with_name(f"{path.name}.draft")
    try:
        with draft.open("w", encoding="utf-8") as file:
            json.dump(content, file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error}") from error
    finally:
        draft.unlink(missing_ok=True)
