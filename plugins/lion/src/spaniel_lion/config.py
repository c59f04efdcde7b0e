"""Options of the optimizers, of the space of programs, and of the proxies."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator
from spaniel import Config
from spaniel.config import SEARCHES, Expression, Filter, ref

Part = Literal["training", "validation", "held-out"]

_STEPS: Any = Field(100, description="steps of a training", ge=1)
_BATCH: Any = Field(64, description="rows of a batch", ge=1)
_RATE: Any = Field(
    10.0, description="what programs are given as `lr` at its peak; 10 makes the 0.001 of AdamW suit so few steps", gt=0
)
_RUNS: Any = Field(1, description="trainings that are averaged, each with weights and batches of its own", ge=1)


class LionConfig(Config):
    """Options of Lion; the defaults are the paper's."""

    learning_rate: float = Field(1e-4, description="at its peak: how far each weight moves in a step", gt=0)
    weight_decay: float = Field(0.0, description="share of a weight taken off at the learning rate of 1", ge=0)
    adamw_ratio: float = Field(
        1.0,
        description="the two options above are AdamW's: the learning rate is divided and the decay multiplied by this "
        "(section 5: 3 to 10)",
        ge=1,
    )
    beta1: float = Field(
        0.9, description="share of the momentum in the direction; 0.95 for language models", ge=0, lt=1
    )
    beta2: float = Field(0.99, description="share of it in the next momentum; 0.98 for language models", ge=0, lt=1)
    caution: float = Field(
        1.0, description="what is left of moves against the gradient's sign: 1 is Lion, 0 Cautious Lion", ge=0, le=1
    )
    independent_decay: bool = Field(
        False, description="whether weight_decay is what a weight loses at the peak, whatever the learning rate is"
    )
    momentum_dtype: Literal["parameter", "float32", "bfloat16"] = Field(
        "parameter", description="in which the momentum is kept"
    )
    steps: Literal["single", "foreach", "compiled"] = Field(
        "foreach", description="one parameter after the other, many in one call, or fused by torch.compile"
    )
    skip_empty_rows: bool = Field(
        False, description="whether rows of tables whose gradient is all zero stay as they are"
    )
    skip_nonfinite: bool = Field(
        False,
        description="whether a step with a gradient that is not finite is left out; it would stay in the momentum",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.steps == "compiled" and self.caution < 1:
            raise ValueError("compiled steps are plain Lion's: with caution below 1 give steps=foreach or steps=single")
        return self


class ProgramOptimizerConfig(Config):
    """Options of a program as an optimizer."""

    program: str = Field(
        "lion", description="a published program (adamw, discovered, lion), a file of one, or its text", min_length=1
    )
    learning_rate: float = Field(1.0, description="what the program is given as `lr` at its peak", gt=0)


class ProgramsConfig(Config):
    """Options of the space of programs; the defaults are the paper's."""

    start: str = Field(
        "adamw", description="the program that a search starts from: a published one, a file, or text", min_length=1
    )
    change: Literal["all", "constants"] = Field(
        "all", description="what mutations change: everything, or the constants alone, the baseline of tuning"
    )
    functions: tuple[str, ...] = Field((), description="functions that are put in; by default all")
    insert: float = Field(1.0, description="weight of insertions among mutations", ge=0)
    delete: float = Field(1.0, description="weight of deletions", ge=0)
    modify: float = Field(1.0, description="weight of changed arguments", ge=0)
    longest: int | None = Field(None, description="statements above which nothing is put in; by default no bound", ge=1)
    sampled: int = Field(8, description="statements of a program that is sampled", ge=1)
    trials: int = Field(1000, description="attempts at a valid mutation of one sort", ge=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.insert + self.delete + self.modify:
            raise ValueError("insert, delete and modify are all 0, and nothing would ever change")
        return self


class RankingProgramsConfig(ProgramsConfig):
    """Options of the space of programs that score documents."""

    start: str = Field(
        "bm25", description="the program that a search starts from: a published one, a file, or text", min_length=1
    )


class RankedIndex(Config):
    """Options of the index of counts, and of the program that it is searched by."""

    program: str = Field(
        "bm25",
        description="what scores a word of the query in a document: a published program (bm25), a file of one, or its text",
        min_length=1,
        json_schema_extra=SEARCHES,
    )
    analyzer: Expression = ref("analyzer", "english", description="turns documents and queries into tokens")


class Ranked(RankedIndex):
    """Options of the index, and of searching it."""

    k: int = Field(1000, description="documents retrieved per query", ge=1)
    filter: Filter | None = Field(
        None, description="only documents whose metadata pass, as in filter=\"year >= 2000 and domain = 'news'\""
    )

    def index(self) -> RankedIndex:
        """Return the options of the index."""
        return RankedIndex(program=self.program, analyzer=self.analyzer)


class JudgmentsConfig(Config):
    """Options of how well a program ranks the judged queries of a collection."""

    collection: str = Field("python-docs", description="name or folder of a collection with judgments")
    split: str | None = Field(None, description="split of the collection; by default its only one, or test")
    part: Part = Field(
        "training",
        description="which of its queries are scored: three of five train, one validates, and one is held out; the seed "
        "draws them",
    )
    measure: Literal["nDCG", "AP"] = Field("nDCG", description="what is averaged over the queries")
    depth: int = Field(10, description="documents of a list that count", ge=1)
    analyzer: Expression = ref("analyzer", "english", description="turns documents and queries into tokens")


class DigitsConfig(Config):
    """Options of training on handwritten digits."""

    hidden: int = Field(32, description="units of the hidden layer; 0: none, a logistic regression", ge=0)
    steps: int = _STEPS
    batch: int = _BATCH
    learning_rate: float = _RATE
    runs: int = _RUNS
    measure: Literal["loss", "error"] = Field(
        "loss", description="of the validation: cross-entropy, or share of errors"
    )


class TitlesConfig(Config):
    """Options of training a small encoder on titles and their texts."""

    collection: str = Field("python-docs", description="name or folder of a collection whose documents have titles")
    buckets: int = Field(4096, description="rows of the table that words are hashed to", ge=16)
    width: int = Field(32, description="numbers of a vector", ge=2)
    steps: int = _STEPS
    batch: int = Field(128, description="pairs of a batch", ge=2)
    learning_rate: float = _RATE
    runs: int = _RUNS
    scale: float = Field(20.0, description="what cosines are multiplied with", gt=0)
    rows: int = Field(2000, description="pairs that are used, at most; a fifth of them validate", ge=20)
