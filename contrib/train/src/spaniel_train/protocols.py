"""What objectives, optimizers, adapters and synthesizers promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from spaniel_train.batch import Batch, Outputs
    from spaniel_train.material import Material
    from spaniel_train.models import Trainee
    from spaniel_train.recipe import Model
    from spaniel_train.rows import Row

Need = str
"""What an objective reads beside the scores of the groups: ``"matrix"``, the scores of every query with every text of the
batch; ``"vectors"``; ``"teacher"``, its scores; ``"masked tokens"`` and ``"next tokens"``, their losses by a language
model; or a word of a plugin's own, for something in :attr:`spaniel_train.batch.Outputs.more`."""
LANGUAGE: frozenset[Need] = frozenset({"masked tokens", "next tokens"})
"""What language models give; they compare no texts, and need no queries."""
Role = Literal["query", "document"]
Evaluates = Literal["search", "rerank"]


@runtime_checkable
class TraineeMaker(Protocol):
    """A kind of model that recipes train."""

    @property
    def task(self) -> str:
        """What a fresh model is written for, a :data:`spaniel_neural.loading.Task`; empty where none can be."""
        ...

    @property
    def gives(self) -> frozenset[Need]:
        """What its models give of what objectives need."""
        ...

    @property
    def evaluates(self) -> frozenset[Evaluates]:
        """How its models can be measured while they are trained: by searching a collection, by reranking lists."""
        ...

    def check(self, spec: Model) -> None:
        """Check what a recipe says of the model; nothing is loaded.

        Raises:
            UsageError: it says something that does not suit the kind.
        """
        ...

    def load(self, spec: Model, folder: Path, device: torch.device) -> Trainee:
        """Return the model in training.

        Args:
            folder: the base, or a fresh model, with weights in safetensors alone. Random numbers are seeded.
            device: where it is moved to afterwards.

        Raises:
            UsageError: the folder holds no model of this kind.
        """
        ...


@runtime_checkable
class Objective(Protocol):
    """A loss over a batch of training rows.

    One that reads files has a method ``fingerprint() -> Mapping[str, Any]`` as well, for what decides the result beyond
    its options; a training is only gone on with where that is the same.
    """

    @property
    def needs(self) -> frozenset[Need]:
        """What it reads; a recipe whose model or data cannot give it is refused before anything is loaded."""
        ...

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Return the mean loss over the queries of the batch: a scalar, float32, with gradients."""
        ...


class ParameterGroup(NamedTuple):
    """Parameters that are treated alike.

    Attributes:
        name: of the group, for reports.
        parameters: name → parameter.
        rate: what the optimizer's learning rate is multiplied with.
        decay: weight decay in place of the optimizer's own; ``None`` leaves that.
    """

    name: str
    parameters: Mapping[str, torch.nn.Parameter]
    rate: float = 1.0
    decay: float | None = None


@runtime_checkable
class OptimizerMaker(Protocol):
    """An optimizer of torch over groups of parameters."""

    def make(self, groups: Sequence[ParameterGroup]) -> torch.optim.Optimizer:
        """Return the optimizer, with one of its own groups for each of these, in their order.

        What it keeps of a parameter must be tensors, so that its state can be written, restored and counted.
        """
        ...


@runtime_checkable
class Adapter(Protocol):
    """Model surgery."""

    def fingerprint(self) -> Mapping[str, Any]:
        """What decides the result beyond the options and the model, such as the digests of other models."""
        ...

    def adapt(self, model: Path, out: Path) -> Mapping[str, Any]:
        """Read the model in a folder, write another one into the empty folder ``out``, and return a report as JSON.

        Whatever loads the first folder loads the second: tokenizer, pooling and configurations are consistent.

        Raises:
            UsageError: the method does not suit the model.
        """
        ...


class Made(NamedTuple):
    """Training rows, and what was counted while they were made; counts of several parts are added up."""

    rows: Sequence[Row]
    counts: Mapping[str, float]


@runtime_checkable
class Synthesizer(Protocol):
    """Training rows from a collection, or from other training rows.

    The work is cut into units that do not depend on each other (queries, documents, rows), so that it can be streamed
    and gone on with.
    """

    def units(self, material: Material) -> int:
        """Return how many units there are.

        Raises:
            UsageError: the material lacks what the method needs.
        """
        ...

    def make(self, material: Material, start: int, stop: int) -> Made:
        """Make the rows of some units; the same whatever the bounds are."""
        ...

    def summary(self, counts: Mapping[str, float]) -> Mapping[str, Any]:
        """Return what the counts of all units say, for the report."""
        ...
