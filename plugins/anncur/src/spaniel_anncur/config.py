"""Options."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from spaniel import Config
from spaniel.config import Expression, ref

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Selection = Literal["random", "kmeans", "leverage"]

_SELECTION: Selection = Field(
    "random",
    description="how anchor documents are chosen: at random; the documents next to the centres of k-means over their "
    "scores; at random in proportion to their leverage",
)


class CurIndexConfig(Config):
    """Options of the index."""

    anchors: int = Field(50, description="anchor documents", ge=1)
    selection: Selection = _SELECTION


class ScorerConfig(Config):
    """What scores, and within what budget."""

    scorer: Expression = ref(
        "rerank", "maxsim(documents='stored')", description="the expensive scorer: any reranker that scores pairs"
    )
    split: str | None = Field(
        None, description="split of the collection of queries; by default `train`, or its only one"
    )
    anchor_queries: int = Field(500, description="anchor queries, at most; chosen at random", ge=1)
    dtype: Literal["float32", "float16"] = Field("float32", description="how scores, or fitted vectors, are kept")
    ridge: float = Field(1e-2, description="weight of ridge regression, in units of the mean squared feature", gt=0)
    budget: int = Field(200, description="calls of the scorer for a query, at most", ge=1)


class MatrixConfig(ScorerConfig):
    """What anchor queries are scored with all documents, and how other queries are fitted to them."""

    queries: str = Field(
        "documents",
        description="where anchor queries come from: a collection, or a file of queries (JSON lines); documents: the "
        "beginnings of documents of the collection itself",
        min_length=1,
    )
    words: int = Field(32, description="words of a document that stand for a query", ge=1)
    solver: Literal["pinv", "ridge"] = Field(
        "pinv", description="how a query is fitted to anchor queries: shortest least squares, or ridge regression"
    )
    rcond: float = Field(
        1e-2,
        description="of pinv: singular values below this share of the largest count as zero; without it the fit breaks "
        "down where there are about as many anchors as anchor queries",
        ge=0,
        lt=1,
    )
    center: bool = Field(
        False, description="whether each document's mean score over the anchor queries is taken off before the fit"
    )


class SearchConfig(Config):
    """What a retriever returns."""

    k: int = Field(100, description="documents returned", ge=1)
    fill: bool = Field(
        False,
        description="whether lists longer than the budget are filled up by estimates, ranked behind everything scored",
    )


class AnncurConfig(MatrixConfig, SearchConfig):
    """Options of ANNCUR."""

    anchors: Share | Count | Literal["auto"] = Field(
        0.25,
        description="anchor documents: their share of the budget, or their number; auto: the share among 0.25, 0.5 and "
        "0.75 that finds most of the best for anchor queries held out",
    )
    selection: Selection = _SELECTION
    solver: Literal["pinv", "ridge", "direct"] = Field(  # type: ignore[assignment]
        "pinv",
        description="pinv and ridge fit the query to the anchor queries; direct: the anchor documents are themselves the "
        "anchor queries, and the scores with them are the query's vector",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if isinstance(self.anchors, int) and self.anchors > self.budget:
            raise ValueError(f"anchors={self.anchors} is more than the budget of {self.budget} calls")
        if self.solver == "direct" and (self.queries != "documents" or self.center):
            raise ValueError("solver=direct needs queries=documents, and no center")
        return self


class Rounds(Config):
    """How documents are chosen in rounds."""

    rounds: int = Field(5, description="rounds; each scores an equal share of the budget", ge=1)
    next: Literal["topk", "softmax"] = Field(
        "topk", description="what is scored next: the best by the estimate, or draws from its softmax"
    )
    temperature: float = Field(1.0, description="of the softmax", gt=0)
    last: float = Field(
        0.0, description="share of the budget that is kept for one last round, always of the best", ge=0, lt=1
    )


class AdacurConfig(MatrixConfig, SearchConfig, Rounds):
    """Options of ADACUR; behind another retriever, it begins with that one's best instead of random documents."""


class AdacurRerankConfig(MatrixConfig, Rounds):
    """Options of ADACUR among the documents of a list; it begins with the list's first."""

    k: int = Field(1000, description="documents of each list that may be scored; the rest is dropped", ge=1)


class AxnConfig(ScorerConfig, SearchConfig, Rounds):
    """Options of AXN."""

    queries: str = Field(
        description="where anchor queries come from: a collection, or a file of queries (JSON lines)", min_length=1
    )
    encoder: Expression = ref("encode", "minilm", gives="dense", description="whose vectors the factors begin from")
    per_query: int = Field(
        100, description="documents scored for each anchor query: half the encoder's best, half at random", ge=2
    )
    factors: Literal["transductive", "inductive"] = Field(
        "transductive",
        description="transductive: the documents' vectors themselves are fitted; inductive: a small network over the "
        "encoder's vectors is, which carries over to documents that were never scored",
    )
    epochs: int = Field(50, description="times that all scores are seen", ge=1)
    learning_rate: float = Field(1e-2, description="of Adam", gt=0)
    smoothing: float = Field(
        0.0, description="how much the encoder's own vector of the query counts beside the fitted one", ge=0, le=1
    )


class MarkersConfig(Config):
    """Markers of the cross-encoder that compares the vectors at them."""

    markers: tuple[str, str, str] = Field(
        ("[unused0]", "[unused1]", "[unused2]"),
        description="tokens before the query, behind it, and before the document",
    )


class EmbCrossEncoderConfig(MarkersConfig):
    """Options of the reranker."""

    model: str = Field(
        "package:cognition/model",
        description="a transformer's folder, `package:NAME/FOLDER`, or its name on the hub",
        min_length=1,
    )
    revision: str | None = Field(None, description="branch, tag or commit of a name on the hub")
    max_length: int = Field(256, description="tokens after which a pair is cut off, the document first", ge=8)
    k: int = Field(100, description="documents of each list that are reranked; the rest is dropped", ge=1)
