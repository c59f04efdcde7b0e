"""Options of the encoders, of the indexes and of the retriever."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from spaniel import Config
from spaniel.config import SEARCHES, Expression, Filter, ref
from spaniel_neural.config import ModelConfig


class SpladeConfig(ModelConfig):
    """Options of a sparse encoder; what is ``auto`` or left out is read from the model's own files."""

    pooling: Literal["auto", "max", "sum"] = Field(
        "auto",
        description="how the weights of a text's tokens become one: the greatest (SPLADE v2) or their sum (SPLADE v1); "
        "auto: what the model's folder says, else max",
    )
    query_terms: int | None = Field(None, description="keep a query's terms with the greatest weights, so many", ge=1)
    document_terms: int | None = Field(
        None, description="keep a document's terms with the greatest weights, so many", ge=1
    )


class ImpactConfig(Config):
    """Options of the exact index."""

    precision: Literal["float32", "uint8"] = Field(
        "float32",
        description="how weights are stored; uint8: in 255 steps up to the greatest weight of each term, a quarter of "
        "the bytes",
    )
    method: Literal["auto", "sweep", "maxscore"] = Field(
        "auto",
        description="how postings are searched; both give the same run. auto: MaxScore where it was measured to be "
        "faster: for few documents retrieved from many by frequent terms",
        json_schema_extra=SEARCHES,
    )


class SeismicConfig(Config):
    """Options of the approximate index; names and defaults are Seismic's own."""

    n_postings: int = Field(
        3500, description="postings kept per term on average, those with the greatest weights", ge=1
    )
    centroid_fraction: float = Field(0.1, description="clusters of a term's postings, as a share of these", gt=0, le=1)
    summary_energy: float = Field(0.4, description="share of a cluster's weight that its summary keeps", gt=0, le=1)
    min_cluster_size: int = Field(2, description="documents of a cluster at the least", ge=1)
    query_cut: int = Field(
        20,
        description="terms of a query whose postings are searched, the greatest weights",
        ge=1,
        json_schema_extra=SEARCHES,
    )
    heap_factor: float = Field(
        0.7,
        description="clusters are passed over below this share of the least score kept; lower finds more",
        gt=0,
        le=1,
        json_schema_extra=SEARCHES,
    )


class SparseConfig(Config):
    """Options of learned sparse retrieval."""

    encoder: Expression = ref("encode", "splade-tiny", gives="sparse", description="encodes queries and documents")
    index: Expression = ref("index", "impact", takes="sparse", description="searches the vectors of the documents")
    k: int = Field(1000, description="documents retrieved per query", ge=1)
    filter: Filter | None = Field(
        None, description="only documents whose metadata pass, as in filter=\"year >= 2000 and domain = 'news'\""
    )
