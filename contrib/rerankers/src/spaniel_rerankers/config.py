"""Options of the rerankers and of the token encoder."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from spaniel import Config
from spaniel.config import Expression, ref
from spaniel_neural.config import ModelConfig

_K = Field(100, description="documents of each list that are reranked; the rest is dropped", ge=1)
_CACHE = Field(True, description="whether scores are kept in the store, so that no pair is scored twice")
Share = Annotated[float, Field(ge=0, le=1)]


class CrossEncoderConfig(ModelConfig):
    """Options of a cross-encoder; what is ``auto`` or left out is read from the model's own files."""

    label: int | str | None = Field(
        None,
        description="number or name of the label whose score counts, for models with several; those with one need none",
    )
    activation: Literal["auto", "identity", "sigmoid", "tanh", "softmax"] = Field(
        "auto",
        description="what is done with the model's output; softmax is over the labels. auto: what the model's folder "
        "says, else sigmoid for one label and identity for several",
    )
    prompt: str | None = Field(
        None, description="text put before queries, or the name of one of the model's own prompts; empty for none"
    )
    k: int = _K
    weight: float = Field(
        1.0,
        description="how much the model's score counts beside that of the stage before, both standardised over the list; "
        "1: alone",
        ge=0,
        le=1,
    )
    cache: bool = _CACHE


class TinyCrossEncoderConfig(Config):
    """Options of the cross-encoder that is trained when it is first used: the recipe, then how it reranks."""

    data: str = Field(
        "python-docs",
        description="collection that it learns from: a name, or a folder in BEIR layout; from the judgments of the split, "
        "or, where there is none, from sentences and the texts that they were taken from",
        min_length=1,
    )
    split: str | None = Field(
        None, description="split whose judgments it learns from; by default `train`, where the collection has it"
    )
    base: str = Field(
        "package:cognition/model",
        description="model that it starts from: a folder, `package:NAME/FOLDER`, or a name on the hub",
        min_length=1,
    )
    retriever: Expression = ref(
        "retrieve", "bm25(k=100)", description="finds the documents that it learns to tell from the right ones"
    )
    negatives: int = Field(5, description="wrong documents beside each right one", ge=1)
    groups: int = Field(1000, description="sentences to learn from, at most, where there are no judgments", ge=1)
    epochs: int = Field(3, description="times that all groups are seen", ge=1)
    batch: int = Field(16, description="groups of a right and several wrong documents per step", ge=1)
    learning_rate: float = Field(3e-4, description="of AdamW, at its peak", gt=0)
    max_length: int = Field(192, description="tokens after which a query and a text together are cut off", ge=8)
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        "auto",
        description="arithmetic of the model; auto: float32 on a CPU, the stored precision on an accelerator",
    )
    k: int = Field(50, description="documents of each list that are reranked; the rest is dropped", ge=1)
    weight: Literal["auto"] | Share = Field(
        "auto",
        description="how much the model's score counts beside that of the stage before, both standardised over the list, "
        "from 0 to 1 (alone); auto: what was best on the queries that the training held out, 0.2 where it had no judgments",
    )
    cache: bool = _CACHE


class TokenEncoderConfig(ModelConfig):
    """Options of a token-level encoder; what is ``auto`` or left out is read from the model's own files."""

    model: str = Field(
        "sentence-transformers/all-MiniLM-L6-v2",
        description="folder of the model, `package:NAME/FOLDER` for one that a Python package carries, or its name on "
        "the Hugging Face hub",
        min_length=1,
    )
    normalize: Literal["auto"] | bool = Field(
        "auto",
        description="whether token vectors are scaled to length 1; auto: unless the model's folder leaves it out",
    )
    skip_punctuation: Literal["auto"] | bool = Field(
        "auto", description="whether a document's punctuation gets no vectors; auto: what the model's folder says"
    )
    query_length: Literal["auto"] | Annotated[int, Field(ge=0)] = Field(
        "auto",
        description="queries are filled up to so many tokens with [MASK], and cut there, as in ColBERT; 0: they are not. "
        "auto: what the model's folder says, else 0",
    )
    prompt_query: str | None = Field(
        None, description="text put before queries, or the name of one of the model's own prompts; empty for none"
    )
    prompt_document: str | None = Field(
        None, description="text put before documents, or the name of one of the model's own prompts; empty for none"
    )
    precision: Literal["float32", "float16"] = Field(
        "float32", description="how vectors are kept; float16: half the bytes, scores apart by about a thousandth"
    )


class MaxSimConfig(Config):
    """Options of reranking by late interaction."""

    encoder: Expression = ref(
        "encode", "token-encoder", gives="multi-vector", description="encodes queries and documents, a vector a token"
    )
    documents: Literal["listed", "stored"] = Field(
        "listed",
        description="listed: the documents of the lists are encoded as they come, each once; stored: the whole corpus is "
        "encoded once and kept in the store",
    )
    k: int = _K
    weight: float = Field(
        1.0,
        description="how much the similarity counts beside the score of the stage before, both standardised over the "
        "list; 1: alone",
        ge=0,
        le=1,
    )
