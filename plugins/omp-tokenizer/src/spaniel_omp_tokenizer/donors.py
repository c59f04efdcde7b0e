"""Where the donor's files are."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from spaniel import Context
from spaniel_neural.locating import download_model


def donor_folder(context: Context, name: str) -> Path:
    """Return a model's folder; of a GGUF file, or a name that stands for one, the folder that spaniel-lm makes and keeps.

    Raises:
        UsageError: there is no such model.
    """
    if find_spec("spaniel_lm") is not None:
        from spaniel_lm.local.gguf import FOLDER, find_gguf, gguf_need

        file = find_gguf(name)
        if file is not None:
            return context.obtain(gguf_need(context, file)).path / FOLDER
    return download_model(name, None, context.offline)
