"""Options of the encoder, two-phase search, the adapter, objectives and teachers."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from spaniel import Config
from spaniel.config import Expression, ref
from spaniel_neural.config import ModelConfig
from spaniel_sparse.config import SparseConfig

Activation = Literal["log1p_relu", "log1p_log1p_relu"]
_IDF = (
    "where query weights come from: `english` (counted over WordNet's glosses), a JSON file of token and weight, or the name "
    "or folder of a collection over which they are counted"
)
_BACKGROUND = Field(
    0.0, description="how many documents of the table `english` are mixed into the counts of a collection", ge=0
)
_DEFAULT = Field(
    1.0, description="weight of tokens that the table lacks; the reference's 1, sentence-transformers' 0", ge=0
)


class InferenceFreeConfig(ModelConfig):
    """Options of the encoder."""

    idf: str | None = Field(None, description=f"{_IDF}; by default the model's own", min_length=1)
    background: float = _BACKGROUND
    default_idf: float = _DEFAULT
    binary: bool = Field(True, description="whether a term that a query repeats counts once")
    activation: Activation | None = Field(
        None,
        description="of documents, once (v1, v2) or twice the logarithm (v3); by default what the model's folder says",
    )
    prune_ratio: float | None = Field(
        None, description="keep a document's weights above this share of its greatest", gt=0, lt=1
    )
    query_prune_ratio: float | None = Field(
        None, description="keep a query's weights above this share of its greatest", gt=0, lt=1
    )
    document_terms: int | None = Field(None, description="keep so many terms of a document, the greatest", ge=1)
    zero_special_tokens: bool = Field(
        True, description="whether documents have no weight on special tokens, which no query has"
    )


class TwoPhaseConfig(SparseConfig):
    """Options of two-phase search; ratio, expansion and window are those of OpenSearch, with its defaults."""

    encoder: Expression = ref(
        "encode", "inference-free-tiny", gives="sparse", description="encodes queries and documents"
    )
    ratio: float = Field(
        0.4, description="first the terms whose weight is above this share of the query's greatest; 0: all", ge=0, lt=1
    )
    expansion: float = Field(5.0, description="documents that are rescored, as a multiple of k", ge=1)
    window: int = Field(10_000, description="documents that are rescored, at most, though never fewer than k", ge=1)


class AdaptConfig(Config):
    """Options of making an inference-free encoder of a masked language model."""

    idf: str | None = Field(None, description=f"{_IDF}; by default the model's own", min_length=1)
    weights: Literal["idf", "ones"] = Field(
        "idf", description="of queries; ones: every token has the weight 1, which is plain SPLADE-doc"
    )
    background: float = _BACKGROUND
    default_idf: float = _DEFAULT
    activation: Activation = Field("log1p_relu", description="of documents: once (v1, v2) or twice the logarithm (v3)")
    max_length: int | None = Field(None, description="tokens after which a document is cut off", ge=4)
    train_idf: bool = Field(False, description="whether a training changes the table, too")
    terms: Literal["all", "counted"] = Field(
        "all",
        description="terms that documents can get: all but special tokens, or those with a document in the table's counts; "
        "the others' bias is set so low that no model scores them above 0",
    )
    text: Literal["as-is", "lowercase", "blank"] = Field(
        "as-is",
        description="what the tokenizer does first: nothing, lower-case (cased models), a leading blank (BPE)",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.terms == "counted" and (self.idf is None or self.idf.endswith(".json")):
            raise ValueError("terms=counted needs counts: give a collection, or english, as idf")
        return self


class GroupedFlopsConfig(Config):
    """Options of the regularisation of documents."""

    grouping: Literal["position", "pooled"] = Field(
        "position",
        description="one mean for each place of the groups, and their sum (the reference), or one over all documents "
        "(sentence-transformers), which is smaller by about the size of a group",
    )
    threshold: int | None = Field(
        None, description="documents with so many terms or fewer count as if they had none (l0 mask: 150 or 200)", ge=0
    )


class NegativesNceConfig(Config):
    """Options of the contrastive objective."""

    in_batch: bool = Field(True, description="whether the negatives of all rows count, or those of the row alone")
    temperature: float = Field(1.0, description="what scores are divided by", gt=0)


_MEMBERS = Field(
    ("minilm", "splade-tiny"),
    description="the teachers, as expressions: encoders (dense or sparse), or rerankers that score pairs",
    min_length=1,
)
_WEIGHTS = Field(None, description="weight of each teacher; by default all count alike")
_SCALE = Field(
    30.0, description="what the average, from 0 to 1, is multiplied with; 30 to fine-tune, 10 to pre-train", gt=0
)
Weight = Annotated[float, Field(ge=0)]


class EnsembleConfig(Config):
    """Options of a teacher of several members."""

    members: tuple[str, ...] = _MEMBERS
    weights: tuple[Weight, ...] | None = _WEIGHTS
    score_scale: float = _SCALE
    normalise: Literal["minmax", "none"] = Field(
        "minmax", description="min-max over the candidates of a query, or the members' scores as they are"
    )
    epsilon: float = Field(1e-6, description="added to the range that scores are divided by", gt=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.weights is not None and (len(self.weights) != len(self.members) or not sum(self.weights)):
            raise ValueError(f"weights has {len(self.weights)} numbers for {len(self.members)} members, not all 0")
        return self


class EnsembleLabelsConfig(EnsembleConfig):
    """Options of teacher scores that are written to rows."""

    least: int = Field(
        3,
        description="rows with fewer texts are left out: the scores of two are 0 and the scale, whatever they are",
        ge=2,
    )


class EnsembleObjectiveConfig(EnsembleConfig):
    """Options of distillation from teachers that run while the model is trained."""

    loss: Literal["kl", "margin-mse"] = Field("kl", description="how the teacher's scores are learned")
    in_batch: bool = Field(True, description="candidates are all texts of the batch, or those of the row alone")
    temperature: float = Field(1.0, description="what both models' scores are divided by", gt=0)
