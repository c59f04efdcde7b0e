"""The models that are trained: what every kind of them does, where they come from, and how their parts are loaded.

Weights come from safetensors alone and no code of a model's own is run.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from spaniel import Context, UsageError
from spaniel_neural.files import read_config, read_json, weights
from spaniel_neural.loading import quietly
from spaniel_neural.locating import download_model
from torch import Tensor
from torch.nn import functional

from spaniel_train.batch import Batch, Outputs
from spaniel_train.recipe import Fresh, Model

if TYPE_CHECKING:
    from spaniel import Corpus

    from spaniel_train.data import Data
    from spaniel_train.protocols import Objective, Role, TraineeMaker

Item = tuple[str, ...]
"""What a model reads at once: a text and its role, a query and a text, whatever the kind of model makes of a batch."""
FAILURES = (OSError, ValueError, KeyError, RuntimeError, ImportError, TypeError, AttributeError, SafetensorError)
"""What loading a model raises where its folder is at fault."""


class Trainee(ABC):
    """A model in training: items → representations → what objectives read.

    Attributes:
        model: a module of torch with a ``device``. Its parameters that require gradients are trained, and are what a
            checkpoint holds.
        dtype: arithmetic of the model, ``"float32"`` or ``"bfloat16"``.
    """

    dtype: str = "float32"

    def __init__(self, model: Any) -> None:
        self.model = model

    @abstractmethod
    def items(self, batch: Batch) -> list[Item]:
        """Return what the model has to read for a batch."""

    @abstractmethod
    def represent(self, items: Sequence[Item]) -> Tensor:
        """Read items of one part, ``(items, …)`` float32, with gradients where they are on.

        Dimensions but the first may have other lengths in another part: parts are filled up with zeros when they come
        together.
        """

    @abstractmethod
    def outputs(self, representations: Tensor, batch: Batch) -> Outputs:
        """Return what objectives read, from the representations of all items of a batch.

        Where several processes train, each calls it over the whole batch, so it should be cheap.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the model as others load it."""

    def meet(self, objectives: Sequence[Objective], data: Data) -> None:  # noqa: B027 - most kinds learn nothing
        """Learn, before the training begins, what objectives and rows want of it."""

    def arithmetic(self) -> AbstractContextManager[object]:
        """Return the context in which the model computes."""
        device = torch.device(self.model.device).type
        return torch.autocast(device, torch.bfloat16) if self.dtype == "bfloat16" else nullcontext()


class SearchingTrainee(Trainee):
    """A model that compares whatever it has read: one that is measured by searching a collection."""

    @abstractmethod
    def read(self, texts: Sequence[str], role: Role) -> Any:
        """Return representations of texts that :meth:`compare` takes."""

    @abstractmethod
    def compare(self, queries: Any, documents: Any) -> NDArray[np.float32]:
        """Return the scores of queries with documents that were read: ``(queries, documents)`` float32."""

    def reader(self, corpus: Corpus) -> Callable[[NDArray[np.int64]], Any]:
        """Return what reads rows of a corpus, for :meth:`compare`."""
        return lambda rows: self.read(corpus.contents(rows), "document")


class ScoringTrainee(Trainee):
    """A model that is measured by reranking alone."""

    @abstractmethod
    def score(self, queries: Sequence[str], lists: Sequence[Sequence[str]]) -> NDArray[np.float32]:
        """Return the scores of queries with their texts, one list after the other."""


def load_trainee(context: Context, spec: Model, device: torch.device, scratch: Path) -> Trainee:
    """Load what a recipe trains.

    Args:
        context: the session; weights that the base lacks, fresh models and low-rank matrices are drawn from its seed.
        scratch: a folder in which a fresh model is written first.

    Raises:
        UsageError: there is no such model, or it cannot be loaded as one of its kind.
    """
    maker: TraineeMaker = context.create("trainee", spec.kind)
    maker.check(spec)
    with quietly(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(context.seed_for("spaniel-train", "model"))
        if spec.fresh is None:
            folder = locate(spec, context.offline)
        else:
            folder = write_fresh(spec.fresh, maker.task, context.offline, scratch)
        trainee = maker.load(spec, folder, device)
    trainee.model.to(device)
    return trainee


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


def write_fresh(fresh: Fresh, task: str, offline: bool, scratch: Path) -> Path:
    """Write a model with random weights and another one's tokenizer, and return its folder.

    Raises:
        UsageError: transformers knows no such family, the configuration does not suit it, or the kind of model has no use
            for it.
    """
    from spaniel_neural.loading import class_for
    from transformers import AutoConfig, AutoTokenizer

    if not task:
        raise UsageError("model.fresh: models of this kind need a base")
    source = download_model(fresh.tokenizer, None, offline)
    asked: Any = task
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(source), trust_remote_code=False, local_files_only=True)
        config = AutoConfig.for_model(
            fresh.family, **{"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, **fresh.settings}
        )
        if task == "sequence-classification":
            config.num_labels = 1
        class_for(asked, fresh.family).from_config(config).save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
    except FAILURES as error:
        raise UsageError(
            f"model.fresh: no model of the family {fresh.family!r} can be made: {first_line(error)}"
        ) from error
    return scratch


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says."""
    return str(error).strip().split("\n")[0]


def refuse(spec: Model, kind: str, *fields: str) -> None:
    """Refuse fields of a recipe's model that a kind has no use for.

    Raises:
        UsageError: one of them was given.
    """
    given = [
        name
        for name in fields
        if getattr(spec, name) != type(spec).model_fields[name].get_default(call_default_factory=True)
    ]
    if given:
        raise UsageError(f"model.{given[0]} is nothing for a {kind}")


def add_lora(spec: Model, part: Any, whole: Sequence[str] = ()) -> Any:
    """Return a model of transformers with low-rank matrices, which alone are trained, where the recipe asks for them.

    Args:
        part: of transformers.
        whole: names of layers that start at random and are trained whole.

    Raises:
        UsageError: peft is not installed, or the model has no layers of these names.
    """
    if spec.lora is None:
        return part
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise UsageError('model.lora needs peft: pip install "spaniel-train[lora]"') from error
    lora = spec.lora
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets,
        modules_to_save=list(whole) or None,
    )
    try:
        return get_peft_model(part, config)
    except ValueError as error:
        raise UsageError(f"model.lora.targets={lora.targets}: {error}") from error


def merge_lora(part: Any) -> Any:
    """Return a model of transformers with its low-rank matrices, if it has any, merged into the weights, for good."""
    return part.merge_and_unload() if hasattr(part, "merge_and_unload") else part


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Put parts behind each other, with their later dimensions filled up with zeros to the longest."""
    if not parts:
        return torch.zeros(0)
    longest = [max(lengths) for lengths in zip(*(part.shape[1:] for part in parts), strict=True)]
    filled = []
    for part in parts:
        missing = [n - length for n, length in zip(longest, part.shape[1:], strict=True)]
        pads = [size for gap in reversed(missing) for size in (0, gap)]
        filled.append(functional.pad(part, pads) if any(pads) else part)
    return torch.cat(filled)
