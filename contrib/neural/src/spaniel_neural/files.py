"""A transformer's folder, read without loading the model: its configuration, its weights, its digest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spaniel import UsageError
from spaniel.store import Store, canonical_json, digest_bytes

_TRIVIA = ("_name_or_path", "transformers_version")
_TOKENIZER = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt"),
    *("vocab.json", "merges.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model"),
)


def read_json(path: Path, form: type = dict) -> Any:
    """Read a JSON file of a model.

    Raises:
        UsageError: it is not there, damaged, or holds something else.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no readable JSON ({error})") from error
    if not isinstance(content, form):
        raise UsageError(f"{path} holds no {'list' if form is list else 'mapping'}")
    return content


def read_config(folder: Path) -> dict[str, Any]:
    """Read the configuration of a transformer's folder.

    Raises:
        UsageError: there is none.
    """
    if not (folder / "config.json").is_file():
        raise UsageError(
            f"{folder} is no model: it has no config.json; give a folder in the layout of transformers or "
            "sentence-transformers"
        )
    config: dict[str, Any] = read_json(folder / "config.json")
    return config


def label_count(config: Mapping[str, Any]) -> int:
    """Return how many scores a classifier gives, as its configuration says; transformers leaves out its default, two."""
    return len(config.get("id2label") or {}) or int(config.get("num_labels") or 2)


def weights(folder: Path) -> list[Path]:
    """Return the weight files of a transformer.

    Raises:
        UsageError: there are none in safetensors, or one is missing.
    """
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    if not index.is_file():
        raise UsageError(
            f"{folder} has no model.safetensors; weights in other forms are not read, since they can run code: "
            "load them once where you trust them and `save_pretrained` them again"
        )
    names = sorted(set(read_json(index).get("weight_map", {}).values()))
    missing = [name for name in names if Path(name).name != name or not (folder / name).is_file()]
    if missing:
        raise UsageError(f"{folder} lacks the weight file {missing[0]}, which {index.name} names")
    return [index, *(folder / name for name in names)]


def transformer_digest(folder: Path, store: Store, settings: Any = ()) -> str:
    """Return the digest of a transformer's weights, tokenizer and configuration; the same wherever the files are.

    Args:
        store: remembers the digests of big files.
        settings: whatever else decides what the model gives, as JSON; part of the digest.
    """
    config = {key: value for key, value in read_config(folder).items() if key not in _TRIVIA}
    files = weights(folder) + [path for name in _TOKENIZER if (path := folder / name).is_file()]
    digests = {path.name: store.digest_of(path) for path in files}
    return digest_bytes(canonical_json({"config": config, "files": digests, "settings": settings}))


def model_fingerprint(name: str, revision: str | None, store: Store) -> Mapping[str, str]:
    """Return what identifies a model in a recipe; nothing is loaded or fetched.

    The digest of its files where this machine has them, else ``name@revision``.

    Raises:
        UsageError: there cannot be such a model.
    """
    from spaniel_neural.locating import find_model

    folder = find_model(name, revision)
    if folder is None:
        return {"model": f"{name}@{revision or 'main'}"}
    return {"model": transformer_digest(folder, store)}
