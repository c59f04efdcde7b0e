"""Adapting a model: the folder and its report, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from spaniel import Context
from spaniel.context import blame
from spaniel.data.files import write_text
from spaniel.learning import read_lessons, write_lessons
from spaniel_neural.locating import download_model
from spaniel_neural.modular import folder_digest

from spaniel_train.lessons import merged
from spaniel_train.protocols import Adapter


def adapt_model(context: Context, method: str, model: str, out: Path) -> dict[str, Any]:
    """Run an adapter on a model, write the folder and beside it the report, and return the report.

    Raises:
        UsageError: there is no such method or model, or the two do not suit each other.
    """
    bound = context.bind("adapt", method)
    adapter: Adapter = context.make(bound)
    source = download_model(model, None, context.offline)
    draft = out.parent / f".{out.name}.{os.getpid()}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        known = {"model": folder_digest(source, context.store), "others": dict(adapter.fingerprint())}
        with (
            context.stage(f"adapt {bound.expression}", phase="build"),
            blame(bound.registered.distribution, f"adapt `{bound.registered.name}`"),
        ):
            said = dict(adapter.adapt(source, draft))
        write_lessons(draft, merged([*read_lessons(source), *read_lessons(draft)]))
        report = {
            "method": str(bound.expression),
            "source": model,
            "digests": known,
            "seed": context.seed,
            "report": said,
        }
        with write_text(out.with_name(f"{out.name}.json")) as file:
            json.dump(report, file, ensure_ascii=False, indent=1)
        draft.replace(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return report
