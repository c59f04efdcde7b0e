"""Folders of sentence-transformers: what they say of themselves, read without loading a model, and loading them whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from spaniel import UsageError
from spaniel.store import Store, canonical_json, digest_bytes

from spaniel_neural.files import read_json

if TYPE_CHECKING:
    import torch

    from spaniel_neural.devices import Dtype

Class = Literal["SentenceTransformer", "SparseEncoder", "MultiVectorEncoder", "CrossEncoder"]
BATCH = 32
"""Texts in a batch of a model that is run whole, where the session leaves it open."""
_PATTERNS = ("*.json", "*.safetensors", "*.txt", "*.jinja", "*.metadata")
_PROMPTS = {"query": ("query",), "document": ("document", "passage", "corpus")}


def modules_of(folder: Path, known: Sequence[str] = ("sentence_transformers.",)) -> list[tuple[str, Path]] | None:
    """Return type and path of each module of a folder; ``None`` where it has no ``modules.json``.

    Args:
        folder: the model's.
        known: beginnings of the types whose code is run; all others are refused.

    Raises:
        UsageError: the file is damaged, names a path outside the folder or code of the model's own, or weights are pickled.
    """
    if not (folder / "modules.json").is_file():
        return None
    try:
        named = [(str(m["type"]), str(m["path"])) for m in read_json(folder / "modules.json", list)]
    except (TypeError, KeyError) as error:
        raise UsageError(f"{folder / 'modules.json'}: each module needs a type and a path") from error
    parts = [(name, inside(folder, path)) for name, path in named]
    for name, path in list(parts):
        if name.endswith(".Router") and (path / "router_config.json").is_file():
            inner = read_json(path / "router_config.json").get("types", {})
            refuse_foreign(folder, [str(kind) for kind in inner.values()], known)
            for place in inner:
                inside(folder, str(place))
    refuse_foreign(folder, [name for name, _ in parts], known)
    for path in sorted(folder.rglob("pytorch_model.bin")):
        if not any(path.parent.glob("*.safetensors")):
            raise UsageError(f"{path}: weights are read from safetensors alone, since others can run code")
    return parts


def refuse_foreign(folder: Path, types: Sequence[str], known: Sequence[str]) -> None:
    """Refuse modules whose code is none of the known libraries'.

    Raises:
        UsageError: there is one.
    """
    foreign = [name for name in types if not name.startswith(tuple(known))]
    if foreign:
        raise UsageError(f"{folder} asks for the code of {foreign[0]}; only modules of sentence-transformers are run")


def inside(folder: Path, relative: str) -> Path:
    """Return a path below a model's folder.

    Raises:
        UsageError: it lies elsewhere.
    """
    path = folder / relative
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{folder / 'modules.json'} names a path outside its folder: {relative!r}")
    return path


def said_of(folder: Path) -> dict[str, Any]:
    """Return what ``config_sentence_transformers.json`` says; nothing where there is none."""
    path = folder / "config_sentence_transformers.json"
    said: dict[str, Any] = read_json(path) if path.is_file() else {}
    return said


def settings_of(transformer: Path) -> dict[str, Any]:
    """Return the settings of a ``Transformer`` module; nothing where there are none."""
    settings: dict[str, Any] = next((read_json(p) for p in sorted(transformer.glob("sentence_*config.json"))), {})
    return settings


def choose_prompt(prompts: Mapping[str, str], default: str | None, role: str, given: str | None) -> str:
    """Return what is put before a text: the option, or the prompt that it names, else the model's own for the role."""
    if given is not None:
        return prompts.get(given, given)
    return next((prompts[name] for name in (*_PROMPTS[role], default or "") if name in prompts), "")


def folder_digest(folder: Path, store: Store) -> str:
    """Return the digest of all files that decide what a model gives that is run whole; the same wherever they are."""
    files = sorted(path for pattern in _PATTERNS for path in folder.rglob(pattern))
    named = {path.relative_to(folder).as_posix(): store.digest_of(path) for path in files}
    return digest_bytes(canonical_json(named))


def load_modular(
    kind: Class, folder: Path, device: torch.device, dtype: Dtype, max_length: int | None, distribution: str
) -> Any:
    """Return a model of sentence-transformers, in evaluation mode.

    Args:
        kind: which of its classes.
        folder: the model's.
        device: where it runs.
        dtype: arithmetic.
        max_length: tokens after which texts are cut off; ``None`` leaves it to the model.
        distribution: whose extra installs the library.

    Raises:
        UsageError: sentence-transformers is not installed, or cannot load the folder.
    """
    try:
        import sentence_transformers
    except ImportError as error:
        raise UsageError(
            f'{folder} has modules that sentence-transformers runs: pip install "{distribution}[sentence-transformers]"'
        ) from error
    from spaniel_neural.devices import weights_dtype
    from spaniel_neural.families import know_family

    know_family(folder)
    try:
        model: Any = getattr(sentence_transformers, kind)(
            str(folder),
            device=str(device),
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"use_safetensors": True, "dtype": weights_dtype(device, dtype)},
        ).eval()
    except MemoryError:
        raise
    except Exception as error:  # whatever a folder's settings make of the library
        reason = str(error).strip().split("\n")[0]
        raise UsageError(f"the model in {folder} cannot be loaded: {reason}") from error
    if max_length is not None:
        model.max_seq_length = max_length
    return model
