"""The models that are trained: loaded, run over texts, and saved as sentence-transformers has them.

They are that library's own classes, so what is saved loads there, and scores there as it did here. Weights come from
safetensors alone and no code of a model's own is run.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from spaniel import UsageError
from spaniel_neural.files import read_config, read_json, weights
from spaniel_neural.loading import quietly
from spaniel_neural.locating import download_model
from torch import Tensor, nn
from torch.nn import functional

from spaniel_train.batch import Batch, Outputs
from spaniel_train.recipe import Fresh, Model

Item = tuple[str, str]
"""A text and its role, ``"query"`` or ``"document"``; of models that read pairs, a query and a text."""
_FAILURES = (OSError, ValueError, KeyError, RuntimeError, ImportError, TypeError, AttributeError, SafetensorError)
_TASKS = {"bi-encoder": "encoder", "sparse": "masked-lm", "cross-encoder": "sequence-classification"}


class Trainee(ABC):
    """A model in training: items → representations → what objectives read.

    Attributes:
        model: of sentence-transformers.
        gives: what it gives of what objectives can need.
    """

    gives: frozenset[str] = frozenset()

    def __init__(self, model: Any) -> None:
        self.model = model

    @abstractmethod
    def items(self, batch: Batch) -> list[Item]:
        """Return what the model has to read for a batch."""

    @abstractmethod
    def represent(self, items: Sequence[Item]) -> Tensor:
        """Read items of one part, ``(items, …)`` float32, with gradients where they are on."""

    @abstractmethod
    def outputs(self, representations: Tensor, batch: Batch) -> Outputs:
        """Return what objectives read, from the representations of all items of a batch."""

    def _features(self, inputs: Sequence[Any], prompt: str | None = None) -> dict[str, Any]:
        made: dict[str, Any] = self.model.preprocess(list(inputs), prompt=prompt)
        return {name: v.to(self.model.device) if isinstance(v, Tensor) else v for name, v in made.items()}


class EncoderTrainee(Trainee):
    """A bi-encoder or a sparse encoder: a vector a text."""

    gives = frozenset({"matrix", "vectors"})

    def items(self, batch: Batch) -> list[Item]:
        """Return the queries of a batch, instructions before them, then its texts."""
        return [(row.instruction + row.query, "query") for row in batch.rows] + [(t, "document") for t in batch.texts]

    def represent(self, items: Sequence[Item]) -> Tensor:
        """Return vectors, ``(items, dimensions)``."""
        made: list[Tensor] = []
        places: list[int] = []
        for role in ("query", "document"):
            chosen = [place for place, item in enumerate(items) if item[1] == role]
            if chosen:
                features = self._features([items[place][0] for place in chosen], self.prompt(role))
                made.append(self.model(features)["sentence_embedding"].float())
                places += chosen
        back = torch.tensor(places, device=made[0].device).argsort()
        return torch.cat(made)[back]

    def outputs(self, representations: Tensor, batch: Batch) -> Outputs:
        """Return scores by the model's own similarity."""
        queries, texts = representations[: len(batch)], representations[len(batch) :]
        if self.model.similarity_fn_name == "cosine":
            matrix = functional.normalize(queries, dim=1) @ functional.normalize(texts, dim=1).T
        else:
            matrix = queries @ texts.T
        scores = torch.where(batch.filled, matrix.gather(1, batch.groups.clamp(min=0)), 0.0)
        return Outputs(scores, matrix, queries, texts)

    def prompt(self, role: str) -> str | None:
        """Return what the model puts before texts of a role."""
        names = ("query",) if role == "query" else ("document", "passage", "corpus")
        prompts = self.model.prompts
        found = [prompts[name] for name in (*names, self.model.default_prompt_name or "") if prompts.get(name)]
        return found[0] if found else None


class CrossEncoderTrainee(Trainee):
    """A cross-encoder: a score a pair."""

    def items(self, batch: Batch) -> list[Item]:
        """Return each query of a batch with each text of its group."""
        groups = batch.groups.tolist()
        queries = (row.instruction + row.query for row in batch.rows)
        return [(q, batch.texts[t]) for q, group in zip(queries, groups, strict=True) for t in group if t >= 0]

    def represent(self, items: Sequence[Item]) -> Tensor:
        """Return scores, ``(items,)``, before any activation."""
        scores: Tensor = self.model(self._features(items))["scores"]
        return scores.float()[:, 0]

    def outputs(self, representations: Tensor, batch: Batch) -> Outputs:
        """Return the scores of the groups."""
        scores = representations.new_zeros(batch.groups.shape)
        return Outputs(scores.masked_scatter(batch.filled, representations))


def load_trainee(spec: Model, device: torch.device, offline: bool, seed: int, scratch: Path) -> Trainee:
    """Load what a recipe trains.

    Args:
        seed: of weights that the base lacks, of fresh models, and of low-rank matrices.
        scratch: a folder in which a fresh model is written first.

    Raises:
        UsageError: there is no such model, or it cannot be loaded as one of its kind.
    """
    with quietly(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        folder = locate(spec, offline) if spec.fresh is None else write_fresh(spec, spec.fresh, offline, scratch)
        model = _load(spec, folder, device)
        _set(spec, model)
        if spec.lora is not None:
            _add_lora(spec, model)
    model.to(device)
    return CrossEncoderTrainee(model) if spec.kind == "cross-encoder" else EncoderTrainee(model)


def locate(spec: Model, offline: bool) -> Path:
    """Return the folder of the base, checked as far as it can be without loading it.

    Raises:
        UsageError: there is none, its weights are not in safetensors, or it asks for code of its own.
    """
    folder = download_model(str(spec.base), spec.revision, offline)
    if not (folder / "modules.json").is_file():
        read_config(folder)
        weights(folder)
        return folder
    foreign = [
        str(module.get("type"))
        for module in read_json(folder / "modules.json", list)
        if not str(module.get("type")).startswith("sentence_transformers.")
    ]
    if foreign:
        raise UsageError(f"{folder} asks for the code of {foreign[0]}; only modules of sentence-transformers are run")
    pickled = [p for p in sorted(folder.rglob("pytorch_model.bin")) if not any(p.parent.glob("*.safetensors"))]
    if pickled:
        raise UsageError(f"{pickled[0]}: weights are read from safetensors alone, since others can run code")
    return folder


def write_fresh(spec: Model, fresh: Fresh, offline: bool, scratch: Path) -> Path:
    """Write a model with random weights and another one's tokenizer, and return its folder.

    Raises:
        UsageError: transformers knows no such family, or the configuration does not suit it.
    """
    from spaniel_neural.loading import class_for
    from transformers import AutoConfig, AutoTokenizer

    source = download_model(fresh.tokenizer, None, offline)
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(source), trust_remote_code=False, local_files_only=True)
        config = AutoConfig.for_model(
            fresh.family, **{"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, **fresh.settings}
        )
        task: Any = _TASKS[spec.kind]
        if spec.kind == "cross-encoder":
            config.num_labels = 1
        class_for(task, fresh.family).from_config(config).save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
    except _FAILURES as error:
        reason = str(error).strip().split("\n")[0]
        raise UsageError(f"model.fresh: no model of the family {fresh.family!r} can be made: {reason}") from error
    return scratch


def _load(spec: Model, folder: Path, device: torch.device) -> Any:
    from sentence_transformers import CrossEncoder, SentenceTransformer, SparseEncoder
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    has_modules = (folder / "modules.json").is_file()
    kwargs: dict[str, Any] = {"use_safetensors": True, "dtype": torch.float32}
    whole: dict[str, Any] = {
        "trust_remote_code": False,
        "local_files_only": True,
        "model_kwargs": kwargs,
        "device": "cpu",
    }
    safe = {"trust_remote_code": False, "local_files_only": True}
    parts: dict[str, Any] = {"model_kwargs": {**kwargs, **safe}, "config_kwargs": safe, "processor_kwargs": safe}
    try:
        if spec.kind == "cross-encoder":
            return CrossEncoder(
                str(folder), num_labels=1, activation_fn=nn.Identity(), max_length=spec.max_length, **whole
            )
        if spec.kind == "sparse":
            if has_modules:
                return SparseEncoder(str(folder), **whole)
            transformer = Transformer(str(folder), transformer_task="fill-mask", **parts)
            return SparseEncoder(modules=[transformer, SpladePooling("max")], device="cpu")
        if has_modules:
            return SentenceTransformer(str(folder), **whole)
        transformer = Transformer(str(folder), **parts)
        size = transformer.get_embedding_dimension()
        modules: list[nn.Module] = [transformer, Pooling(size, "mean" if spec.pooling == "auto" else spec.pooling)]
        if spec.similarity != "dot":
            modules.append(Normalize())
        return SentenceTransformer(modules=modules, device="cpu")
    except _FAILURES as error:
        reason = str(error).strip().split("\n")[0]
        raise UsageError(f"model: {folder} cannot be loaded as a {spec.kind}: {reason}") from error


def _set(spec: Model, model: Any) -> None:
    if spec.max_length is not None:
        reads = getattr(model[0].config, "max_position_embeddings", None)
        if reads is not None and spec.max_length > reads:
            raise UsageError(f"model.max_length={spec.max_length}: the model reads {reads} tokens at most")
        model.max_seq_length = spec.max_length
    if spec.kind == "bi-encoder":
        model.similarity_fn_name = (
            spec.similarity if spec.similarity != "auto" else model.similarity_fn_name or "cosine"
        )
    if spec.kind != "cross-encoder" and model.similarity_fn_name not in ("cosine", "dot"):
        raise UsageError(f"model: vectors are compared by {model.similarity_fn_name}; choose similarity: cosine or dot")
    if spec.prompts:
        model.prompts = {**model.prompts, **spec.prompts}


def _add_lora(spec: Model, model: Any) -> None:
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise UsageError('model.lora needs peft: pip install "spaniel-train[lora]"') from error
    assert spec.lora is not None
    lora = spec.lora
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets,
        # A head that starts at random is trained whole.
        modules_to_save=["classifier"] if spec.kind == "cross-encoder" else None,
    )
    try:
        model[0].model = get_peft_model(model[0].model, config)
    except ValueError as error:
        raise UsageError(f"model.lora.targets={lora.targets}: {error}") from error


def save_model(spec: Model, model: Any, folder: Path) -> None:
    """Write a model as sentence-transformers loads it; low-rank matrices are merged into the weights, for good."""
    if spec.lora is not None:
        model[0].model = model[0].model.merge_and_unload()
    with quietly():
        model.save_pretrained(str(folder), create_model_card=False)
