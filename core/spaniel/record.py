"""The record beside a run file: all that is needed to repeat the run."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spaniel.errors import ArtifactError, UsageError
from spaniel.store import digest_file

if TYPE_CHECKING:
    from spaniel.context import Context
    from spaniel.system import System, Task

FORMAT = 1
_TEXTS = ("expression", "data", "split", "device", "run_sha256", "run", "on_error")
_NUMBERS = ("seed",)
_MAPPINGS: dict[str, type | tuple[type, ...]] = {"task": object, "measures": (int, float), "made_with": str}


def record_path(run_file: Path) -> Path:
    """Return where the record of a run file is."""
    return run_file.with_name(run_file.name + ".json")


def write_record(
    context: Context, system: System, task: Task, data: str, on_error: str, run_file: Path
) -> dict[str, Any]:
    """Write the record of a run that has just been written, and return it."""
    from spaniel.system import describe_task

    record = {
        "format": FORMAT,
        "expression": str(system.pipeline.expression),
        "data": data,
        "on_error": on_error,
        "split": task.split,
        "seed": context.seed,
        "device": context.device,
        "batch_size": context.batch_size,
        "run": run_file.name,
        "run_sha256": digest_file(run_file),
        "task": describe_task(task),
        "pipeline": system.pipeline.description,
        "measures": dict(system.evaluation.means) if system.evaluation else {},
        "cost": system.cost,
        "made_with": versions(context),
        "tie_rule": "score descending, then document id descending",
    }
    record_path(run_file).write_text(json.dumps(record, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return record


def read_record(path: Path) -> dict[str, Any]:
    """Read the record at ``path``, or beside the run file at ``path``.

    Raises:
        UsageError: there is none.
        ArtifactError: it is damaged.
    """
    where = path if path.suffix == ".json" else record_path(path)
    if not where.is_file():
        raise UsageError(f"there is no record {where}; `spaniel run … -o FILE` writes one beside the run")
    try:
        record = json.loads(where.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ArtifactError(where, f"is no record of a run: {error}") from error
    if not isinstance(record, dict) or "format" not in record:
        raise ArtifactError(where, "is no record of a run: write one with `spaniel run … -o FILE`")
    if record["format"] != FORMAT:
        raise ArtifactError(where, f"has format {record['format']!r}; this version reads {FORMAT}")
    wrong = _first_wrong(record)
    if wrong:
        raise ArtifactError(where, f"is damaged: its {wrong} is missing or of another type; write it again")
    return record


def _first_wrong(record: dict[str, Any]) -> str | None:
    """Return the first field of a record that does not hold what it should."""
    for field in _TEXTS:
        if not isinstance(record.get(field), str):
            return field
    for field in _NUMBERS:
        if type(record.get(field)) is not int:
            return field
    if not (record.get("batch_size") is None or type(record["batch_size"]) is int):
        return "batch_size"
    for field, held in _MAPPINGS.items():
        values = record.get(field)
        if not isinstance(values, dict) or not all(isinstance(value, held) for value in values.values()):
            return field
    return None


def versions(context: Context) -> dict[str, str]:
    """Return the versions of Python, of the platform, and of every distribution that offers a component."""
    found = {registered.distribution: registered.version for registered in context.registry.components()}
    return {"python": platform.python_version(), "platform": platform.platform(), **dict(sorted(found.items()))}
