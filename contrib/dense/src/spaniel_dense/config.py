"""Options of the encoders, of the retriever and of the explainer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from spaniel import Config
from spaniel.config import Expression, ref


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


class OcclusionConfig(Config):
    """Options of the explanation by leaving words out."""

    side: Literal["query", "document"] = Field("query", description="whose words are left out, one at a time")
