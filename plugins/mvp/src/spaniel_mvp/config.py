"""Options of the reranker, the trainee, the objectives and the lists."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from spaniel import Config
from spaniel.config import Expression, ref
from spaniel_neural.config import ModelConfig

MOST_VIEWS = 32
Views = Annotated[int, Field(ge=1, le=MOST_VIEWS)]
View = Annotated[int, Field(ge=0, lt=MOST_VIEWS)]
Aggregate = Literal["mean", "max", "logsumexp"]


class MvpConfig(ModelConfig):
    """Options of the reranker; what is ``auto`` or left out is read from the model's own files."""

    model: str = Field(
        "Jun421/MVP-base",
        description="folder of the model, `package:NAME/FOLDER` for one that a Python package carries, or its name on "
        "the Hugging Face hub",
        min_length=1,
    )
    max_length: int | None = Field(
        None,
        description="tokens after which a prompt of query and passage is cut off; by default what the model's folder says, "
        "else 256",
        ge=MOST_VIEWS + 8,
    )
    views: Literal["auto"] | Views = Field(
        "auto", description="views that the model was trained with; auto: what its folder says, else 4"
    )
    aggregate: Literal["auto", "mean", "max", "logsumexp"] | View = Field(
        "auto",
        description="how the scores of the views become one; a number takes one view alone, from 0. auto: what the model's "
        "folder says, else the mean",
    )
    tokenizer: str | None = Field(
        None, description="folder or name of a model whose tokenizer is used; by default that of the model's folder"
    )
    title: bool = Field(True, description="whether a document's title is read with its text")
    k: int = Field(100, description="documents of each list that are reranked; the rest is dropped", ge=1)
    cache: bool = Field(
        False,
        description="whether the views of pairs are kept in the store, so that a list in which a few documents changed "
        "costs these and one decoding step",
    )


class MvpTraineeConfig(Config):
    """Options of a model in training; those of a model that was trained before must be the same, or left out."""

    views: Views = Field(4, description="views of a passage")
    score: Literal["dot", "cosine"] = Field("dot", description="how an anchor and a passage are compared")
    aggregate: Aggregate = Field("mean", description="how the scores of the views become one")
    decoder_layers: int = Field(
        1, description="layers of the decoder that a base without one gets; it starts at random", ge=1
    )


class InverseRankConfig(Config):
    """Options of the loss over lists."""

    loss: Literal["listnet", "ranknet", "ranknet-weighted"] = Field(
        "listnet",
        description="the cross-entropy of the target; or each pair in its order, alike or by the inverse of the sum of "
        "their ranks",
    )
    target: Literal["inverse-rank", "exp"] = Field(
        "inverse-rank", description="of a text at rank r: 1/r, or exp(1 - r); listnet alone has a target"
    )
    tau: float = Field(0.8, description="temperature of target and scores, for listnet", gt=0)
    grades: Literal["teacher", "relevant"] = Field(
        "teacher", description="what ranks the texts of a list: a teacher's scores, or whether they are relevant"
    )
    lift: bool = Field(True, description="whether texts that are relevant are ranked before all others")
    compat: Literal["none", "reference"] = Field(
        "none", description="reference: as in the published code, whose listnet takes the softmax of the scores twice"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.compat == "reference" and self.loss != "listnet":
            raise ValueError("compat=reference is about listnet")
        return self


class SampledListsConfig(Config):
    """Options of the lists that are drawn."""

    ranker: Expression = ref(
        ("retrieve", "rerank"),
        "bm25(k=100)",
        description="the pipeline whose list of a query is drawn from; its scores are the teacher's",
    )
    lists: int = Field(100, description="lists drawn of each query's", ge=1)
    size: int = Field(5, description="texts of a list", ge=2)
    depth: int = Field(100, description="documents of a query's list that are drawn from, the first ones", ge=2)
    positive: Literal["judged", "teacher"] = Field(
        "judged",
        description="what is relevant in a list: one of the query's judged documents, which is put into every list; or the "
        "one that the teacher ranks first",
    )
