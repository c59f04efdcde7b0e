"""What a recipe can say. See ``docs/training.md`` for a whole one."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from spaniel import Config
from spaniel.config import Expression, ref

Share = Annotated[float, Field(ge=0, lt=1)]
Steps = Annotated[int, Field(ge=0)]


class Lora(Config):
    """Low-rank adaptation (Hu et al., LoRA, ICLR 2022); merged into the weights when the training is done."""

    rank: int = Field(8, description="rank of the matrices that are trained", ge=1)
    alpha: int = Field(16, description="what they are multiplied with, divided by the rank", ge=1)
    dropout: float = Field(0.0, description="dropout before them", ge=0, lt=1)
    targets: list[str] = Field(
        ["query", "value"], description="ends of the names of the layers that get them", min_length=1
    )


class Fresh(Config):
    """A model with random weights."""

    family: str = Field(description="of transformers, such as `bert`")
    tokenizer: str = Field(description="folder or name of a model whose tokenizer it gets")
    settings: dict[str, Any] = Field({}, description="fields of its configuration, such as `hidden_size: 128`")


class Model(Config):
    """The model that is trained."""

    kind: Expression = ref("trainee", description="the kind of model, such as bi-encoder, sparse or cross-encoder")
    base: str | None = Field(
        None, description="what it starts from: a folder, `package:NAME/FOLDER`, or a name on the hub", min_length=1
    )
    revision: str | None = Field(None, description="branch, tag or commit of a name on the hub")
    fresh: Fresh | None = Field(None, description="in place of a base: random weights")
    max_length: int | None = Field(None, description="tokens after which a text, or a pair together, is cut off", ge=4)
    pooling: Literal["auto", "mean", "cls", "max"] = Field(
        "auto",
        description="of a bi-encoder, where the base does not say: how token vectors become one; auto: the mean",
    )
    similarity: Literal["auto", "cosine", "dot"] = Field(
        "auto", description="of a bi-encoder: how vectors are compared; auto: what the base says, else the cosine"
    )
    prompts: dict[Literal["query", "document"], str] = Field(
        {}, description="what is put before queries and documents, also by whoever loads the model later"
    )
    documents: Expression | None = ref(
        "encode",
        None,
        gives="dense",
        description="of a bi-encoder: the encoder whose vectors documents have, computed once; the model learns queries alone",
    )
    lora: Lora | None = Field(None, description="train low-rank matrices beside the weights alone")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.base is None) == (self.fresh is None):
            raise ValueError("a model has either a base or is fresh")
        return self


class Source(Config):
    """Training rows: of a file, of a collection's judgments, or made of a collection by a synthesizer."""

    rows: str | None = Field(None, description="file of training rows, one JSON object a line")
    collection: str | None = Field(None, description="name or folder of a collection")
    split: str | None = Field(None, description="split whose judgments are learned; by default `train`")
    synthesizer: Expression | None = ref(
        "synthesize", None, description="makes rows of the collection; by default they are its judgments"
    )
    name: str | None = Field(None, description="of this source, for batches of one dataset; by default its number")
    hold_out: int | None = Field(
        None, description="one query in so many, chosen by its text, is left out, for the evaluation", ge=2
    )
    repeat: int = Field(1, description="times that its rows are seen in an epoch", ge=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.rows is None) == (self.collection is None):
            raise ValueError("a source is either a file of rows or a collection")
        if self.rows is not None and (self.split is not None or self.synthesizer is not None):
            raise ValueError("split and synthesizer are for collections")
        return self


class Ramp(Config):
    """A weight that changes, counted in optimizer steps."""

    start: float = Field(0.0, description="before", ge=0)
    end: float = Field(description="after", ge=0)
    after: int = Field(0, description="steps before it begins to change", ge=0)
    steps: int = Field(description="steps that the change takes", ge=1)
    shape: Literal["linear", "quadratic", "cosine"] = Field("linear", description="how it changes")


class Term(Config):
    """One objective."""

    use: Expression = ref("objective", description="the objective")
    weight: Annotated[float, Field(ge=0)] | Ramp = Field(1.0, description="what its loss is multiplied with")


class Group(Config):
    """Parameters that are treated apart from the others. Each condition that is given must hold; the first group wins."""

    shape: Literal["any", "matrices", "embeddings", "vectors"] = Field(
        "any",
        description="two-dimensional weights of layers, tables of embeddings, or what has one dimension (norms, biases)",
    )
    names: list[str] = Field([], description="patterns of names, as in `*.attention.*`", min_length=0)
    layers: list[int] = Field([], description="numbers of blocks; negative ones count from the last")
    rate: float = Field(1.0, description="what the learning rate is multiplied with", ge=0)
    weight_decay: float | None = Field(None, description="in place of the optimizer's own", ge=0)
    use: Expression | None = ref("optimizer", None, description="an optimizer of its own")
    frozen: bool = Field(False, description="whether it is not trained at all")


class Rate(Config):
    """The learning rate over the optimizer steps, as a share of its peak."""

    warmup: Steps | Share = Field(0.1, description="steps over which it rises, or their share of all steps")
    shape: Literal["linear", "cosine", "constant"] = Field("linear", description="how it falls after them")
    floor: float = Field(0.0, description="where it falls to", ge=0, le=1)


class Optimization(Config):
    """How parameters change."""

    use: Expression = ref("optimizer", "adamw", description="the optimizer of all that has none of its own")
    groups: list[Group] = Field(
        [Group(shape="vectors", weight_decay=0.0)],
        description="parameters that are treated apart; by default norms and biases do not decay",
    )
    rate: Rate = Field(default_factory=Rate, description="the learning rate over the steps")
    clip: float | None = Field(1.0, description="length to which longer gradients are cut", gt=0)


class Batches(Config):
    """How rows come together."""

    size: int = Field(32, description="rows of a batch", ge=1)
    accumulation: int = Field(1, description="batches of an optimizer step; each has its own in-batch negatives", ge=1)
    positives: int = Field(1, description="positives drawn of a row, at most", ge=1)
    negatives: int = Field(0, description="negatives drawn of a row, at most", ge=0)
    together: Literal["any", "dataset", "task", "domain"] = Field(
        "any", description="what all rows of a batch have in common"
    )
    distinct: bool = Field(
        False, description="whether no batch holds two rows with the same query or a positive in common"
    )
    part: int = Field(32, description="texts, or pairs, that go through the model at once", ge=1)
    cached: bool = Field(
        False,
        description="gradient caching: memory for one part in place of the batch, for a second pass through the model",
    )


class Evaluation(Config):
    """Measuring while training."""

    collection: str = Field(description="name or folder of a collection")
    split: str | None = Field(None, description="its split; by default `test`, or its only one")
    held_out: int | None = Field(
        None, description="only the queries that `hold_out` with this number leaves out of the training", ge=2
    )
    measure: str = Field("nDCG@10", description="by its ir-measures name; higher is better")
    every: int = Field(description="optimizer steps between two evaluations", ge=1)
    rerank: Expression | None = ref(
        ("retrieve", "rerank"),
        None,
        description="a pipeline whose lists the model reranks; without one, encoders search the whole collection",
    )
    patience: int | None = Field(
        None, description="evaluations without a better one after which the training ends", ge=1
    )
    keep: Literal["best", "last"] = Field("best", description="which weights are the result")


class Recipe(Config):
    """A whole training."""

    model: Model = Field(description="what is trained")
    data: list[Source] = Field(description="what it learns from", min_length=1)
    objectives: list[Term] = Field(description="what it minimises: the weighted sum", min_length=1)
    optimizer: Optimization = Field(default_factory=Optimization, description="how parameters change")
    batches: Batches = Field(default_factory=Batches, description="how rows come together")
    evaluation: Evaluation | None = Field(None, description="measuring while training")
    steps: int | None = Field(None, description="optimizer steps", ge=1)
    epochs: int | None = Field(None, description="in place of steps: times that all rows are seen", ge=1)
    checkpoint: int = Field(100, description="optimizer steps between two checkpoints", ge=1)
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="arithmetic of the model; weights and losses are float32 always"
    )
    seed: int = Field(0, description="of every random stream", ge=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs")
        return self
