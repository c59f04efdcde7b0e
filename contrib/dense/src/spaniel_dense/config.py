"""Options of dense retrieval."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from spaniel import Config
from spaniel.config import Expression, ref


class SentenceTransformer(Config):
    """A model, and how its token vectors become one vector a text."""

    model: str = Field(description="folder of a model, or its name on the hub")
    revision: str | None = Field(None, description="revision on the hub; by default the newest")
    pooling: Literal["auto", "mean", "cls", "max", "lasttoken"] = Field(
        "auto", description="how token vectors are pooled; auto is the model's own way, mean where it states none"
    )
    normalize: bool | None = Field(
        None, description="scale vectors to length 1; by default where the model's similarity is the cosine"
    )
    dimensions: int | None = Field(None, description="keep only the first dimensions, for models trained so", ge=1)
    query_prompt: str | None = Field(None, description="text put before queries; by default the model's own")
    document_prompt: str | None = Field(None, description="text put before documents; by default the model's own")
    max_length: int | None = Field(
        None, description="tokens read of a text; by default as many as the model states", ge=1
    )
    dtype: Literal["float32", "float16", "bfloat16"] = Field("float32", description="precision of the weights")


class Flat(Config):
    """Exact search has no options."""


class Dense(Config):
    """What encodes, what searches, and how much is retrieved."""

    encoder: Expression = ref("encode", "minilm", gives="dense", description="encodes queries and documents")
    index: Expression = ref("index", "flat", takes="dense", description="searches the documents' vectors")
    k: int = Field(1000, description="documents retrieved per query", ge=1)


class Occlusion(Config):
    """Whose words are left out, one at a time."""

    words: Literal["query", "document"] = Field("query", description="whose words are left out")
