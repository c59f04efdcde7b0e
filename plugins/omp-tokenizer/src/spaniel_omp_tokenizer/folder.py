"""A model's folder with another vocabulary: weights, configuration, tokenizer, and what sentence-transformers keeps."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from spaniel import UsageError
from spaniel_neural.files import read_json
from torch import Tensor

from spaniel_omp_tokenizer.layout import Layout, empty_model
from spaniel_omp_tokenizer.vocabulary import NEAR, Vocabulary

_TOKENIZER = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt"),
    *("vocab.json", "merges.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "chat_template.jinja"),
)
_STALE = (
    "onnx",
    "openvino",
    "*.safetensors",
    "*.bin",
    "*.pt",
    "*.pth",
    "*.onnx",
    "*.h5",
    "*.msgpack",
    "*.ot",
    "*.gguf",
)
"""The same weights in other forms, which would still have the old vocabulary."""
_FROM_PADDING = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "data2vec-text")
"""Families that count positions from the padding's id on."""


def copy_rest(model: Path, out: Path, layout: Layout) -> Path:
    """Copy all files but the transformer's weights and tokenizer, and return where the transformer goes."""
    inner = layout.folder.relative_to(model)
    shutil.copytree(model, out, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*_STALE))
    for path in model.rglob("*.safetensors"):
        if path.parent != layout.folder:
            shutil.copy2(path, out / path.relative_to(model))
    for name in _TOKENIZER:
        (out / inner / name).unlink(missing_ok=True)
    return out / inner


def write_weights(layout: Layout, out: Path, replaced: Mapping[str, Tensor]) -> None:
    """Write every file of weights again, one at a time, with some tensors replaced; the others keep every bit."""
    by_file: dict[Path, list[str]] = defaultdict(list)
    for name, path in layout.files.items():
        by_file[path].append(name)
    size = 0
    for path, names in by_file.items():
        with safe_open(path, "pt") as file:
            kept = {name: replaced[name] if name in replaced else file.get_tensor(name) for name in names}
            save_file(kept, out / path.name, file.metadata())
        size += sum(tensor.numel() * tensor.element_size() for tensor in kept.values())
    index = layout.folder / "model.safetensors.index.json"
    if index.is_file():
        said = read_json(index)
        said.setdefault("metadata", {})["total_size"] = size
        _write(out / index.name, said)


def write_config(
    layout: Layout,
    out: Path,
    sizes: Mapping[str, int],
    base: Vocabulary,
    made: Vocabulary,
    donor: Mapping[str, Any],
    same: Mapping[int, int],
) -> None:
    """Write configuration and generation settings with the new sizes and the new ids of special tokens.

    Args:
        sizes: fields of the configuration that say how large something is, ``vocab_size`` among them.
        base: vocabulary of the base.
        made: vocabulary of the result.
        donor: the donor's configuration where its special tokens rule, else nothing.
        same: id of the base → id of the result.
    """

    def patched(said: Mapping[str, Any]) -> dict[str, Any]:
        config: dict[str, Any] = {}
        for key, value in said.items():
            if key == "text_config" and isinstance(value, dict):
                config[key] = patched(value)
            elif key in sizes:
                config[key] = sizes[key]
            elif key.endswith("_token_id"):
                config[key] = _number(key.removesuffix("_token_id"), value, base, made, donor.get(key), same)
            else:
                config[key] = value
        return config

    _write(out / "config.json", patched(layout.config))
    generation = layout.folder / "generation_config.json"
    if generation.is_file():
        _write(out / generation.name, patched(read_json(generation)))


def write_poolings(out: Path, old: Any, rows: int) -> None:
    """Tell the poolings of a sparse encoder, whose vectors have one dimension a token, the new size.

    Args:
        out: the model's folder.
        old: the old size.
        rows: the new one.
    """
    for path in sorted(out.glob("*_SpladePooling/config.json")):
        said = read_json(path)
        if old in said.values():
            _write(path, {key: rows if value == old else value for key, value in said.items()})


def shift_positions(layout: Layout, pad: int | None) -> dict[str, Tensor]:
    """Return the position vectors of a family that counts from the padding's id, moved to the new id.

    Raises:
        UsageError: the new id lies too far away.
    """
    if layout.config.get("model_type") not in _FROM_PADDING:
        return {}
    old = int(layout.config["pad_token_id"])
    if pad is None or pad - old > 1024:
        raise UsageError(
            f"{layout.folder} counts positions from the padding's id on, {old} now and {pad} with the donor's tokenizer: "
            "give the donor's padding a small id"
        )
    moved = {}
    for name in layout.files if pad != old else ():
        if name.endswith("position_embeddings.weight"):
            table = layout.read(name)
            moved[name] = (
                torch.cat([table[:1].repeat(pad - old, 1), table]) if pad > old else table[old - pad :].clone()
            )
    return moved


def check_shapes(out: Path) -> None:
    """Check that every tensor fits the written configuration.

    Raises:
        UsageError: one does not: it, too, depends on the vocabulary, and is not known to.
    """
    wanted = {name: part.shape for name, part in empty_model(out).state_dict(keep_vars=True).items()}
    for path in sorted(out.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 - it is no mapping
                shape = wanted.get(name)
                if shape is not None and list(shape) != file.get_slice(name).get_shape():
                    raise UsageError(
                        f"{name} has to be {list(shape)} for the new vocabulary, and is not known to depend on it"
                    )


def _number(role: str, value: Any, base: Vocabulary, made: Vocabulary, donor: Any, same: Mapping[int, int]) -> Any:
    """Return the new id for a role: the donor's, else the tokenizer's, else that of the same token."""
    if donor is not None:
        return donor
    found = made.roles.get(role, made.roles.get(NEAR.get(role, "")))
    if found is not None and value is not None:
        return found
    if isinstance(value, list):
        return [same[number] for number in value if number in same] or None
    return same.get(value)


def _write(path: Path, said: Any) -> None:
    path.write_text(json.dumps(said, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
