"""What a sparse encoder's folder says about itself, read without loading the model.

The layouts are those of transformers (a masked language model) and of sentence-transformers' ``SparseEncoder``, whose
``modules.json`` names the model, its pooling, or modules of other kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spaniel import UsageError
from spaniel.store import Store, canonical_json, digest_bytes
from spaniel_neural.files import read_config, read_json, transformer_digest, weights

_MLM = ("MLMTransformer", "Transformer")
_UNLIKE = ("do_lower_case", "query_length", "document_length", "query_expansion", "processing_kwargs")


@dataclass(frozen=True)
class Layout:
    """A model's folder.

    Attributes:
        folder: the whole folder.
        transformer: where the masked language model and its tokenizer are.
        pooling: ``"max"`` or ``"sum"``.
        activation: ``"relu"``: log(1 + relu(x)); ``"log1p_relu"``: the logarithm twice.
        max_length: tokens after which a text is cut off, where the folder says.
        prompts: what is put before texts, by role.
        is_plain: whether it is a masked language model, pooled; what is not is run by sentence-transformers.
    """

    folder: Path
    transformer: Path
    pooling: str = "max"
    activation: str = "relu"
    max_length: int | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    is_plain: bool = True

    def digest(self, store: Store) -> str:
        """Return the digest of all that decides the vectors; the same wherever the files are."""
        if self.is_plain:
            settings = [self.pooling, self.activation, self.max_length, dict(self.prompts)]
            return transformer_digest(self.transformer, store, settings)
        files = sorted(p for pattern in ("*.json", "*.safetensors", "*.txt") for p in self.folder.rglob(pattern))
        named = {path.relative_to(self.folder).as_posix(): store.digest_of(path) for path in files}
        return digest_bytes(canonical_json(named))


def read_layout(folder: Path) -> Layout:
    """Read what a folder says about its model.

    Raises:
        UsageError: it holds no model, weights in another form than safetensors, or asks for code of its own.
    """
    modules = read_json(folder / "modules.json", list) if (folder / "modules.json").is_file() else None
    layout = Layout(folder, folder) if modules is None else _read_modules(folder, modules)
    if layout.is_plain:
        read_config(layout.transformer)
        weights(layout.transformer)
    return layout


def _read_modules(folder: Path, modules: list[Any]) -> Layout:
    try:
        parts = [(str(m["type"]), _inside(folder, str(m["path"]))) for m in modules]
    except (TypeError, KeyError) as error:
        raise UsageError(f"{folder / 'modules.json'}: each module needs a type and a path") from error
    foreign = [name for name, _ in _deep(folder, parts) if not name.startswith("sentence_transformers.")]
    if foreign:
        raise UsageError(f"{folder} asks for the code of {foreign[0]}; only modules of sentence-transformers are run")
    _refuse_pickles(folder)
    said = read_json(p) if (p := folder / "config_sentence_transformers.json").is_file() else {}
    if said.get("model_type", "SparseEncoder") != "SparseEncoder":
        raise UsageError(f"{folder} holds a {said['model_type']}, which gives no weights of terms")
    prompts = {str(name): str(text) for name, text in (said.get("prompts") or {}).items() if text}
    names = [name.rpartition(".")[2] for name, _ in parts]
    if len(names) != 2 or names[0] not in _MLM or names[1] != "SpladePooling":
        return Layout(folder, folder, prompts=prompts, is_plain=False)
    transformer, pooled = parts[0][1], read_json(parts[1][1] / "config.json")
    settings: dict[str, Any] = next((read_json(p) for p in sorted(transformer.glob("sentence_*config.json"))), {})
    default = "fill-mask" if names[0] == "MLMTransformer" else ""
    is_plain = (
        settings.get("transformer_task", default) == "fill-mask"
        and not any(settings.get(key) for key in _UNLIKE)
        and not said.get("default_prompt_name")
    )
    return Layout(
        folder,
        transformer if is_plain else folder,
        str(pooled.get("pooling_strategy", "max")),
        str(pooled.get("activation_function", "relu")),
        settings.get("max_seq_length"),
        prompts,
        is_plain,
    )


def _deep(folder: Path, parts: list[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """Return the modules, and those that a router among them names."""
    found = list(parts)
    for name, path in parts:
        if name.endswith(".Router"):
            inner = read_json(path / "router_config.json").get("types", {})
            found += [(str(kind), _inside(folder, str(place))) for place, kind in inner.items()]
    return found


def _inside(folder: Path, relative: str) -> Path:
    path = folder / relative
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{folder / 'modules.json'} names a path outside its folder: {relative!r}")
    return path


def _refuse_pickles(folder: Path) -> None:
    for path in sorted(folder.rglob("pytorch_model.bin")):
        if not any(path.parent.glob("*.safetensors")):
            raise UsageError(f"{path}: weights are read from safetensors alone, since others can run code")
