"""Families of models that transformers does not know, and an installed distribution brings.

A distribution names them in its entry points of the group ``spaniel_neural.families``: the type of model, as ``config.json``
says it, and the module whose import registers it with transformers (``AutoConfig.register``, ``AutoModel.register``).
"""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

from spaniel import PluginError, UsageError

from spaniel_neural.files import read_json

GROUP = "spaniel_neural.families"


def know_family(folder: Path) -> None:
    """Let transformers know the families of a model's folder, and of the modules in it; those that it knows cost nothing.

    Raises:
        PluginError: what a distribution names cannot be imported.
    """
    from transformers import CONFIG_MAPPING

    for path in (path for place in ("", "*/", "*/*/") for path in sorted(folder.glob(f"{place}config.json"))):
        try:
            name = read_json(path).get("model_type")
        except UsageError:
            continue  # what is damaged is named by whoever needs it
        if not isinstance(name, str) or name in CONFIG_MAPPING:
            continue
        for found in entry_points(group=GROUP, name=name):
            try:
                found.load()
            except Exception as error:
                owner = found.dist.name if found.dist is not None else found.value
                raise PluginError(owner, f"its family of models {name!r} cannot be imported: {error}") from error
