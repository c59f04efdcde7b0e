"""What a cross-encoder's folder says about itself, read without loading the model.

The layouts are those of transformers (a model for sequence classification) and of sentence-transformers' ``CrossEncoder``,
with ``modules.json`` from version 5.4 on, and without it before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spaniel import UsageError
from spaniel.store import Store
from spaniel_neural.files import label_count, read_config, transformer_digest, weights
from spaniel_neural.modular import folder_digest, modules_of, said_of, settings_of

ACTIVATIONS = {"Sigmoid": "sigmoid", "Identity": "identity", "Tanh": "tanh"}
"""Class of torch in a folder's files → name here."""
_TEXT = {"text": {"method": "forward", "method_output_name": "logits"}}
_UNLIKE = ("do_lower_case", "query_length", "document_length", "query_expansion", "processing_kwargs")


@dataclass(frozen=True)
class Layout:
    """A cross-encoder's folder.

    Attributes:
        folder: the whole folder.
        labels: names of the model's outputs.
        activation: what is done with them: a value of :data:`ACTIVATIONS`.
        max_length: tokens after which a pair is cut off, where the folder says so itself.
        prompts: the model's own prompts by name.
        default_prompt: name of the prompt that is used where none is asked for.
        is_plain: whether scores are the outputs of a sequence classification; what is not is run by
            sentence-transformers.
    """

    folder: Path
    labels: Sequence[str]
    activation: str
    max_length: int | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    is_plain: bool = True

    def prompt(self, given: str | None) -> str:
        """Return what is put before a query: the option, or the prompt that it names, else the model's default."""
        if given is not None:
            return self.prompts.get(given, given)
        return self.prompts.get(self.default_prompt or "", "")

    def label(self, given: int | str | None) -> int:
        """Return the number of the label whose score counts.

        Raises:
            UsageError: there are several and none was chosen, or there is no such label.
        """
        if given is None and len(self.labels) == 1:
            return 0
        if isinstance(given, str) and given in self.labels:
            return list(self.labels).index(given)
        if type(given) is int and 0 <= given < len(self.labels):
            return given
        listed = ", ".join(f"{number} ({name})" for number, name in enumerate(self.labels))
        what = "the option label is needed" if given is None else f"label={given} is none of them"
        raise UsageError(f"the model in {self.folder} has the labels {listed}; {what}")

    def digest(self, store: Store) -> str:
        """Return the digest of all that decides the scores; the same wherever the files are."""
        if self.is_plain:
            return transformer_digest(self.folder, store, [self.activation, self.max_length])
        return folder_digest(self.folder, store)


def read_layout(folder: Path) -> Layout:
    """Read what a folder says about its model.

    Raises:
        UsageError: it holds no cross-encoder, weights in another form than safetensors, or asks for code of its own.
    """
    modules, said = modules_of(folder), said_of(folder)
    if modules is not None and said.get("model_type", "SentenceTransformer") != "CrossEncoder":
        raise UsageError(f"{folder} holds a {said.get('model_type', 'SentenceTransformer')}, which scores no pairs")
    config = read_config(folder)
    weights(folder)
    labels = _labels(config)
    is_plain = _is_plain(folder, config, modules)
    return Layout(
        folder,
        labels if is_plain else ("score",),
        _activation(folder, config, said, len(labels)) if is_plain else "identity",
        settings_of(folder).get("max_seq_length"),
        {str(name): str(text) for name, text in (said.get("prompts") or {}).items() if text},
        said.get("default_prompt_name"),
        is_plain,
    )


def _is_plain(folder: Path, config: Mapping[str, Any], modules: list[tuple[str, Path]] | None) -> bool:
    if modules is None:
        named = config.get("architectures") or []
        if named and str(named[0]).endswith("ForCausalLM"):
            return False
        if not any(str(name).endswith("ForSequenceClassification") for name in named):
            raise UsageError(
                f"{folder} holds {', '.join(map(str, named)) or 'a model'} and none for sequence classification, which "
                "scores pairs"
            )
        return True
    settings = settings_of(folder)
    return (
        len(modules) == 1
        and modules[0][0].endswith(".Transformer")
        and modules[0][1] == folder
        and settings.get("transformer_task", "sequence-classification") == "sequence-classification"
        and settings.get("modality_config", _TEXT) == _TEXT
        and not any(settings.get(key) for key in _UNLIKE)
    )


def _labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    names = config.get("id2label") or {}
    return tuple(str(names.get(str(number), f"LABEL_{number}")) for number in range(label_count(config)))


def _activation(folder: Path, config: Mapping[str, Any], said: Mapping[str, Any], labels: int) -> str:
    inner = config.get("sentence_transformers")
    path = said.get("activation_fn")
    path = path or (inner.get("activation_fn") if isinstance(inner, dict) else None)
    path = path or config.get("sbert_ce_default_activation_function")
    if path is None:
        return "sigmoid" if labels == 1 else "identity"
    name = str(path).rpartition(".")[2]
    if not str(path).startswith("torch.") or name not in ACTIVATIONS:
        raise UsageError(
            f"{folder} asks for the activation {path}; choose one with activation=, as in activation=identity"
        )
    return ACTIVATIONS[name]
