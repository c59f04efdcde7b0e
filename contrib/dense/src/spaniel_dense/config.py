"""Options of the encoders, of the retriever and of the explainer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator
from spaniel import Config
from spaniel.config import SEARCHES, Expression, Filter, ref


class SentenceEncoderConfig(Config):
    """Options of a sentence encoder; what is ``auto`` or left out is read from the model's own files."""

    model: str = Field(description="folder of the model, or its name on the Hugging Face hub", min_length=1)
    revision: str | None = Field(None, description="branch, tag or commit of a model on the hub")
    pooling: Literal["auto", "mean", "cls", "last-token", "max"] = Field(
        "auto", description="how token vectors become one; a model that does not say is pooled by the mean"
    )
    normalize: Literal["auto"] | bool = Field(
        "auto",
        description="whether vectors are scaled to length 1, so that they compare by the cosine; "
        "auto: unless the model compares by the inner product",
    )
    dimensions: int | None = Field(
        None, description="keep this many leading dimensions, for models trained so (Matryoshka)", ge=1
    )
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        "auto",
        description="arithmetic of the model; auto: float32 on a CPU, the stored precision on an accelerator; "
        "vectors are float32 always",
    )
    max_length: int | None = Field(None, description="tokens after which a text is cut off", ge=1)
    prompt_query: str | None = Field(
        None, description="text put before queries, or the name of one of the model's own prompts; empty for none"
    )
    prompt_document: str | None = Field(
        None, description="text put before documents, or the name of one of the model's own prompts; empty for none"
    )


class DenseConfig(Config):
    """Options of dense retrieval."""

    encoder: Expression = ref("encode", "minilm", gives="dense", description="encodes queries and documents")
    index: Expression = ref("index", "flat", takes="dense", description="searches the vectors of the documents")
    k: int = Field(1000, description="documents retrieved per query", ge=1)
    filter: Filter | None = Field(
        None, description="only documents whose metadata pass, as in filter=\"year >= 2000 and domain = 'news'\""
    )


class MultiVectorConfig(Config):
    """Options of retrieval by several vectors a text."""

    encoder: Expression = ref("encode", gives="multi-vector", description="encodes queries and documents")
    index: Expression = ref(
        "index", "maxsim", takes="multi-vector", description="searches the vectors of the documents"
    )
    k: int = Field(1000, description="documents retrieved per query", ge=1)
    filter: Filter | None = Field(
        None, description="only documents whose metadata pass, as in filter=\"year >= 2000 and domain = 'news'\""
    )


class FaissConfig(Config):
    """Options of an index of faiss."""

    factory: str = Field("HNSW32,Flat", description="faiss' own description of the index", min_length=1)
    ef_search: int = Field(
        128, description="candidates that a graph (HNSW) is searched with", ge=1, json_schema_extra=SEARCHES
    )
    nprobe: int = Field(
        32, description="lists that an inverted file (IVF) is searched in", ge=1, json_schema_extra=SEARCHES
    )
    rescore: int | None = Field(
        None,
        description="candidates per document wanted, which are scored by their vectors; "
        "by default 4 where codes are not the vectors themselves, else 1",
        ge=1,
        json_schema_extra=SEARCHES,
    )
    train: int = Field(131072, description="vectors, drawn at random, that lists and codes are learned from", ge=1)

    @field_validator("factory")
    @classmethod
    def _check_factory(cls, factory: str) -> str:
        from spaniel_dense.factories import check_factory

        return check_factory(factory)


class UsearchConfig(Config):
    """Options of an index of usearch."""

    dtype: Literal["f32", "bf16", "f16", "i8"] = Field("bf16", description="type of the numbers in the graph")
    connectivity: int = Field(16, description="neighbours of a node", ge=2)
    ef_build: int = Field(128, description="candidates that the graph is built with", ge=1)
    ef_search: int = Field(
        128, description="candidates that the graph is searched with", ge=1, json_schema_extra=SEARCHES
    )
    rescore: int = Field(
        1,
        description="candidates per document wanted, which are scored by their vectors",
        ge=1,
        json_schema_extra=SEARCHES,
    )


class QuantizedConfig(Config):
    """Options of bytes or bits with rescoring."""

    bits: Literal[1, 8] = Field(8, description="bits that are kept of each number")
    rescore: int | None = Field(
        None,
        description="candidates per document wanted, which are scored by their vectors; "
        "by default 4 over bytes, and 32 over bits",
        ge=1,
        json_schema_extra=SEARCHES,
    )


class ShardedConfig(Config):
    """Options of an index in shards."""

    index: Expression = ref("index", "flat", takes="dense", description="what each shard is")
    shards: int = Field(4, description="how many", ge=1, le=4096)
