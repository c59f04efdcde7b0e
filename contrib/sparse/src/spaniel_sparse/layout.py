"""What a sparse encoder's folder says about itself, read without loading the model.

The layouts are those of transformers (a masked language model) and of sentence-transformers' ``SparseEncoder``, whose
``modules.json`` names the model, its pooling, or modules of other kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from spaniel import UsageError
from spaniel.store import Store
from spaniel_neural.files import read_config, read_json, transformer_digest, weights
from spaniel_neural.modular import folder_digest, modules_of, said_of, settings_of

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
        return folder_digest(self.folder, store)


def read_layout(folder: Path) -> Layout:
    """Read what a folder says about its model.

    Raises:
        UsageError: it holds no model, weights in another form than safetensors, or asks for code of its own.
    """
    parts = modules_of(folder)
    layout = Layout(folder, folder) if parts is None else _read_modules(folder, parts)
    if layout.is_plain:
        read_config(layout.transformer)
        weights(layout.transformer)
    return layout


def _read_modules(folder: Path, parts: list[tuple[str, Path]]) -> Layout:
    said = said_of(folder)
    if said.get("model_type", "SparseEncoder") != "SparseEncoder":
        raise UsageError(f"{folder} holds a {said['model_type']}, which gives no weights of terms")
    prompts = {str(name): str(text) for name, text in (said.get("prompts") or {}).items() if text}
    names = [name.rpartition(".")[2] for name, _ in parts]
    if len(names) != 2 or names[0] not in _MLM or names[1] != "SpladePooling":
        return Layout(folder, folder, prompts=prompts, is_plain=False)
    transformer, pooled = parts[0][1], read_json(parts[1][1] / "config.json")
    settings = settings_of(transformer)
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
