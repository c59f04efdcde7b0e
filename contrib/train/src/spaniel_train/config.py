"""Options of objectives, optimizers, synthesizers and adapters."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator
from spaniel import Config
from spaniel.config import Expression, ref

_GRADES: Any = Field(
    "relevant",
    description="what orders the texts of a group: whether they are relevant, or the teacher's scores",
)
_MARGIN = Field(1.0, description="by how much, at the least", ge=0)


class InfoNceConfig(Config):
    """Options of InfoNCE."""

    scale: float = Field(
        20.0, description="what scores are multiplied with, the inverse of the temperature; 1 for logits", gt=0
    )
    in_batch: bool = Field(
        True, description="whether the texts of other rows count as wrong, too; cross-encoders cannot"
    )
    symmetric: bool = Field(False, description="whether each right text also has to find its query among all queries")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.symmetric and not self.in_batch:
            raise ValueError("symmetric=true looks at other rows of the batch: it needs in_batch=true")
        return self


class KlConfig(Config):
    """Options of distillation by distributions."""

    temperature: float = Field(
        1.0, description="what both models' scores are divided by; the loss is multiplied with its square", gt=0
    )


class TripletConfig(Config):
    """Options of the triplet loss."""

    margin: float = _MARGIN
    distance: Literal["euclidean", "cosine"] = Field("euclidean", description="how far apart two vectors are")


class HingeConfig(Config):
    """Options of the hinge loss."""

    margin: float = _MARGIN
    grades: Literal["relevant", "teacher"] = _GRADES


class RankNetConfig(Config):
    """Options of RankNet."""

    sigma: float = Field(1.0, description="what differences of scores are multiplied with", gt=0)
    grades: Literal["relevant", "teacher"] = _GRADES


class LambdaRankConfig(RankNetConfig):
    """Options of LambdaRank."""

    grades: Literal["relevant", "teacher"] = Field(
        "relevant",
        description="what orders the texts of a group: whether they are relevant (gains 1 and 0), or the teacher's scores "
        "(their exponentials, the best one's 1)",
    )
    k: int | None = Field(None, description="nDCG is cut at this rank; by default it is not", ge=1)


class ListConfig(Config):
    """Options of losses over lists."""

    scale: float = Field(1.0, description="what scores are multiplied with", gt=0)
    grades: Literal["relevant", "teacher"] = _GRADES


class SparsityConfig(Config):
    """Options of regularisation."""

    of: Literal["queries", "texts", "both"] = Field("both", description="whose vectors; both: the sum of the two")


_WEIGHTS: Any = Field(
    "none",
    description="what a token counts: none: all alike; idf: by how few of the training texts hold it; or a file: JSON of "
    "token → weight, or .npy of weights by number",
)


class MaskedLmConfig(Config):
    """Options of masked language modelling."""

    share: float = Field(
        0.15, description="share of a text's tokens that are predicted, one word at the least", gt=0, lt=1
    )
    whole_words: bool = Field(True, description="whether words are drawn, with all their tokens, in place of tokens")
    masked: float = Field(0.8, description="of these, share that is read as the mask", ge=0, le=1)
    random: float = Field(
        0.1, description="share that is read as a random token; the rest is read as it is", ge=0, le=1
    )
    weights: str = _WEIGHTS

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.masked + self.random > 1:
            raise ValueError(f"masked={self.masked} and random={self.random} are more than all")
        return self


class CausalLmConfig(Config):
    """Options of causal language modelling."""

    weights: str = _WEIGHTS


class MultiVectorConfig(Config):
    """Options of multi-vector encoders that start from a folder of transformers; others say so themselves."""

    dimensions: int | None = Field(
        128, description="of a token vector, by a projection that starts at random; null: the model's own", ge=1
    )
    query_tokens: int = Field(
        0, description="queries are filled up to so many tokens with the mask, as in ColBERT", ge=0
    )
    skip_punctuation: bool = Field(True, description="whether punctuation in documents gets no vectors")


class LanguageConfig(Config):
    """Options of language models in training."""

    reads: Literal["texts", "queries", "both"] = Field(
        "texts", description="what of a row is read: its texts, its query, or each of them by itself"
    )


class AdamWConfig(Config):
    """Options of AdamW."""

    learning_rate: float = Field(2e-5, description="at its peak", gt=0)
    weight_decay: float = Field(0.01, description="share of a weight taken off at the learning rate of 1", ge=0)
    beta1: float = Field(0.9, description="memory of the gradient's mean", ge=0, lt=1)
    beta2: float = Field(0.999, description="memory of its square", ge=0, lt=1)
    epsilon: float = Field(1e-8, description="added to the root of the square", gt=0)


class SgdConfig(Config):
    """Options of gradient descent."""

    learning_rate: float = Field(1e-2, description="at its peak", gt=0)
    weight_decay: float = Field(0.0, description="share of a weight added to its gradient", ge=0)
    momentum: float = Field(0.0, description="memory of earlier steps", ge=0, lt=1)
    nesterov: bool = Field(False, description="whether the gradient is looked up ahead; needs momentum")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov=true needs a momentum above 0")
        return self


class AdafactorConfig(Config):
    """Options of Adafactor."""

    learning_rate: float = Field(
        1e-3, description="at its peak; with scale_parameter a share of the weights' size", gt=0
    )
    weight_decay: float = Field(0.0, description="share of a weight taken off at the learning rate of 1", ge=0)
    scale_parameter: bool = Field(
        False, description="whether steps are as long as a weight's root mean square says (section 8)"
    )
    clip: float = Field(1.0, description="root mean square to which longer steps are cut (section 6)", gt=0)
    decay_rate: float = Field(
        -0.8, description="exponent of the step by which the memory of squares grows (section 7.2)", lt=0
    )
    epsilon: float = Field(1e-30, description="added to squared gradients", gt=0)
    least_scale: float = Field(1e-3, description="what a weight's root mean square counts for at the least", gt=0)


class NegativesConfig(Config):
    """Options of mining, and its rules; a candidate that breaks one is rejected and counted."""

    retriever: Expression = ref(
        ("retrieve", "rerank"), "bm25(k=100)", description="the pipeline that finds candidates for each query"
    )
    count: int = Field(8, description="negatives of a row, at most", ge=1)
    take: Literal["first", "random"] = Field(
        "first", description="which of the candidates that pass: the first, or any of them"
    )
    first_rank: int = Field(1, description="candidates begin at this rank", ge=1)
    last_rank: int = Field(100, description="and end at this one", ge=1)
    scorer: Expression | None = ref(
        ("rerank", "encode"),
        None,
        description="what scores queries with texts for the rules below: a reranker that scores pairs, or a dense encoder",
    )
    percent_of_positive: float | None = Field(
        None,
        description="a negative scores below this percentage of the lowest positive's score (TopK-PercPos: 95), a "
        "negative score s at s − |s|·(1 − percentage)",
        gt=0,
    )
    margin: float | None = Field(
        None, description="a negative scores below the lowest positive's score less this (TopK-MarginPos)", ge=0
    )
    highest: float | None = Field(None, description="a negative scores below this (TopK-Abs)")
    keep_empty: bool = Field(False, description="whether queries for which nothing passes give rows without negatives")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.last_rank < self.first_rank:
            raise ValueError(f"last_rank={self.last_rank} is before first_rank={self.first_rank}")
        rules = {name: getattr(self, name) for name in ("percent_of_positive", "margin", "highest")}
        given = [name for name, value in rules.items() if value is not None]
        if given and self.scorer is None:
            raise ValueError(f"{given[0]} needs a scorer")
        if self.scorer is not None and not given:
            raise ValueError("the scorer serves no rule: give percent_of_positive, margin or highest")
        return self


class TitlesConfig(Config):
    """Options of rows from titles."""

    words: int = Field(3, description="words of a title, at the least", ge=1)
    text_words: int = Field(10, description="words of a text, at the least", ge=1)


class DocumentsConfig(Config):
    """Options of texts alone."""

    words: int | None = Field(None, description="documents are cut into passages of so many words", ge=1)


class LabelsConfig(Config):
    """Options of teacher scores."""

    scorer: Expression = ref(
        ("rerank", "encode"), description="the teacher: a reranker that scores pairs, or a dense encoder"
    )
    again: bool = Field(False, description="whether scores that a row has already are made anew")


class LmQueriesConfig(Config):
    """Options of generated queries."""

    lm: Expression = ref("language_model", description="the language model")
    prompt: str = Field(
        "Write one short search query that the following passage answers. Answer with the query alone.\n\n{text}",
        description="what the model is asked, with {text} in the passage's place",
    )
    queries: int = Field(1, description="queries of a document", ge=1)
    max_tokens: int = Field(32, description="tokens of a query, at most", ge=1)
    temperature: float = Field(0.7, description="0 takes the likeliest token, above 0 one is drawn", ge=0)
    words: int = Field(3, description="words of a query, at the least; shorter ones are rejected", ge=1)
    text_characters: int = Field(1500, description="characters of a passage that the model reads", ge=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if "{text}" not in self.prompt:
            raise ValueError("the prompt has no {text}")
        if self.queries > 1 and not self.temperature:
            raise ValueError("several queries of a document need a temperature above 0")
        return self


class AverageConfig(Config):
    """Options of averaging."""

    models: tuple[str, ...] = Field(
        description="the other models: folders, `package:NAME/FOLDER`, or names on the hub", min_length=1
    )
    weight: float | None = Field(
        None,
        description="share of the first model, the others sharing the rest alike; by default all count alike",
        ge=0,
        le=1,
    )
