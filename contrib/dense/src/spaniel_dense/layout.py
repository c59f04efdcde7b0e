"""What a model's folder says about itself, read without loading the model.

The layouts are those of transformers (``config.json`` and weights) and of sentence-transformers, whose
``modules.json`` names the transformer, its pooling, and what follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from spaniel import UsageError
from spaniel.store import Store
from spaniel_neural.files import read_config, read_json, transformer_digest, weights
from spaniel_neural.modular import choose_prompt, folder_digest, modules_of, said_of, settings_of

POOLING = {"mean": "mean", "cls": "cls", "lasttoken": "last-token", "max": "max", "weightedmean": "weighted-mean"}
"""Name of a pooling in sentence-transformers' files → name here."""
_LEGACY = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_TEXT = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
_UNLIKE = ("query_length", "document_length", "query_expansion", "processing_kwargs", "tokenizer_name_or_path")


@dataclass(frozen=True)
class Layout:
    """A model's folder.

    Attributes:
        folder: the whole folder.
        transformer: where the transformer's configuration, weights and tokenizer are.
        pooling: how token vectors become one.
        normalizes: whether a module of the model scales vectors to length 1.
        metric: how the model's vectors are compared, in sentence-transformers' terms.
        max_length: tokens after which a text is cut off, where the folder says.
        lowercase: whether texts are lowercased first.
        prompts: the model's own prompts by name.
        default_prompt: name of the prompt for any role that has none.
        is_plain: whether the vectors are the transformer's output, pooled; what is not is run by sentence-transformers.
    """

    folder: Path
    transformer: Path
    pooling: str = "mean"
    normalizes: bool = False
    metric: str = "cosine"
    max_length: int | None = None
    lowercase: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    is_plain: bool = True

    def prompt(self, role: str, given: str | None) -> str:
        """Return what is put before a text: the option, or the prompt that it names, else the model's own."""
        return choose_prompt(self.prompts, self.default_prompt, role, given)

    def digest(self, store: Store) -> str:
        """Return the digest of the weights, the tokenizer and the settings; the same wherever the files are."""
        if not self.is_plain:
            return folder_digest(self.folder, store)
        settings = [self.pooling, self.normalizes, self.metric, self.max_length, self.lowercase]
        return transformer_digest(self.transformer, store, settings)


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
    names = [name.rpartition(".")[2] for name, _ in parts]
    layout = Layout(
        folder,
        folder,
        normalizes="Normalize" in names,
        metric=str(said.get("similarity_fn_name") or "cosine"),
        prompts={str(k): str(v) for k, v in (said.get("prompts") or {}).items()},
        default_prompt=said.get("default_prompt_name"),
        is_plain=False,
    )
    if names not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        return layout
    transformer, pooled = parts[0][1], parts[1][1]
    settings = settings_of(transformer)
    pooling = read_json(pooled / "config.json")
    mode = _pooling_mode(pooling)
    is_plain = (
        mode in POOLING
        and pooling.get("include_prompt", True) is True
        and settings.get("transformer_task", "feature-extraction") == "feature-extraction"
        and settings.get("modality_config", _TEXT) == _TEXT
        and not any(settings.get(key) for key in _UNLIKE)
    )
    if not is_plain:
        return layout
    return replace(
        layout,
        transformer=transformer,
        pooling=POOLING[mode],
        max_length=_length(transformer, settings.get("max_seq_length")),
        lowercase=bool(settings.get("do_lower_case")),
        is_plain=True,
    )


def _length(folder: Path, length: Any) -> int | None:
    if length is not None and (type(length) is not int or length < 1):
        raise UsageError(f"{folder} says max_seq_length {length!r}; it is a number of tokens from 1 on")
    return length


def _pooling_mode(config: Mapping[str, Any]) -> str:
    modes = config.get("pooling_mode") or [mode for key, mode in _LEGACY.items() if config.get(key)] or "mean"
    if isinstance(modes, str):
        return modes
    return str(modes[0]) if len(modes) == 1 else "several"
