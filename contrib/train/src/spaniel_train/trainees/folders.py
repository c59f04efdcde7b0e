"""Models of sentence-transformers in training: loaded, set by the recipe, run and saved.

They are that library's own classes, so what is saved loads there, and scores there as it did here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from spaniel import UsageError
from spaniel_neural.families import know_family
from spaniel_neural.loading import quietly
from torch import Tensor

from spaniel_train.models import FAILURES, Trainee, add_lora, first_line, merge_lora
from spaniel_train.recipe import Model

BATCH = 32
"""Texts, or pairs, that go through a model at once where it is measured."""
_SAFE: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
_WEIGHTS: dict[str, Any] = {"use_safetensors": True, "dtype": torch.float32}


class LibraryTrainee(Trainee):
    """A model of sentence-transformers."""

    def save(self, folder: Path) -> None:
        """Write the model as sentence-transformers loads it; low-rank matrices are merged."""
        first = transformer_of(self.model)
        if first is not None:
            first.model = merge_lora(first.model)
        with quietly():
            self.model.save_pretrained(str(folder), create_model_card=False)

    def features(self, inputs: Sequence[Any], **options: Any) -> dict[str, Any]:
        """Return texts or pairs as the model reads them, on its device."""
        made: dict[str, Any] = self.model.preprocess(list(inputs), **options)
        return {name: v.to(self.model.device) if isinstance(v, Tensor) else v for name, v in made.items()}

    def prompt(self, role: str) -> str | None:
        """Return what the model puts before texts of a role."""
        names = ("query",) if role == "query" else ("document", "passage", "corpus")
        prompts = self.model.prompts
        found = [prompts[name] for name in (*names, self.model.default_prompt_name or "") if prompts.get(name)]
        return found[0] if found else None


def load_whole(kind: str, folder: Path, name: str, **options: Any) -> Any:
    """Load a folder by a class of sentence-transformers.

    Args:
        kind: the class.
        name: of the kind of model, for messages.
        options: of the class.

    Raises:
        UsageError: the folder holds no such model.
    """
    import sentence_transformers

    know_family(folder)
    try:
        return getattr(sentence_transformers, kind)(
            str(folder), device="cpu", model_kwargs=dict(_WEIGHTS), **_SAFE, **options
        )
    except FAILURES as error:
        raise UsageError(f"model: {folder} cannot be loaded as a {name}: {first_line(error)}") from error


def load_transformer_module(folder: Path, name: str, **options: Any) -> Any:
    """Load a folder of transformers as the first module of a model.

    Raises:
        UsageError: the folder holds no such model.
    """
    from sentence_transformers.base.modules import Transformer

    know_family(folder)
    parts = {"model_kwargs": {**_WEIGHTS, **_SAFE}, "config_kwargs": _SAFE, "processor_kwargs": _SAFE}
    try:
        return Transformer(str(folder), **parts, **options)
    except FAILURES as error:
        raise UsageError(f"model: {folder} cannot be loaded as a {name}: {first_line(error)}") from error


def transformer_of(model: Any) -> Any | None:
    """Return the first ``Transformer`` among a model's modules, inside of routes as well: the one of documents."""
    from sentence_transformers.base.modules import Transformer

    return next((module for module in model.modules() if isinstance(module, Transformer)), None)


def set_length(spec: Model, model: Any) -> None:
    """Cut texts off where the recipe says.

    Raises:
        UsageError: the model cannot read as many tokens.
    """
    if spec.max_length is None:
        return
    first = transformer_of(model)
    reads = getattr(first.config, "max_position_embeddings", None) if first is not None else None
    if reads is not None and spec.max_length > reads:
        raise UsageError(f"model.max_length={spec.max_length}: the model reads {reads} tokens at most")
    if first is not None and first is not model[0]:
        first.max_seq_length = spec.max_length
    else:
        model.max_seq_length = spec.max_length


def finish(spec: Model, model: Any, whole: Sequence[str] = ()) -> None:
    """Give a loaded model what the recipe says of lengths, prompts and low-rank matrices."""
    set_length(spec, model)
    if spec.prompts:
        model.prompts = {**model.prompts, **spec.prompts}
    first = transformer_of(model)
    if spec.lora is not None and first is None:
        raise UsageError("model.lora: the model has no transformer that could be adapted")
    if first is not None:
        first.model = add_lora(spec, first.model, whole)
