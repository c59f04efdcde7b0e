"""Options of the transplantation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from spaniel import Config

Method = Literal[
    "omp",
    "interpolation",
    "clp",
    "focus",
    "wechsel",
    "landmark-pca",
    "sparse-basis",
    "rope-pursuit",
    "subword",
    "mean",
    "zero",
    "normal",
    "gaussian",
]
Matrices = Literal["no", "input", "output", "both"]
_WHICH = "for the vectors that are read (input), those that are predicted with (output), both, or no"


class OmpTokenizerConfig(Config):
    """Options of the transplantation; the published defaults."""

    donor: str | None = Field(
        None,
        description="the model whose tokenizer it is: a folder (also of a static embedding), `package:NAME/FOLDER`, a name "
        "on the hub, or with spaniel-lm a GGUF file; for methods that read no vectors also a tokenizer alone: its folder, or "
        "its tokenizer.json",
        min_length=1,
    )
    train_on: str | None = Field(
        None,
        description="in place of a donor: a collection whose texts a tokenizer of the base's own kind is trained on; for "
        "methods that read no vectors, as subword",
        min_length=1,
    )
    tokens: int = Field(30_000, description="of a tokenizer that is trained: how many, at most", ge=100)
    measure_on: str | None = Field(
        None,
        description="a collection by which the report tells what the model is worth before and after: bits a byte of its texts "
        "for causal language models, nDCG@10 of a sample for encoders",
        min_length=1,
    )
    method: Method = Field(
        "omp",
        description="where new tokens' vectors come from: omp (the paper's), the k nearest shared tokens (interpolation), all "
        "similar ones (clp, focus, wechsel), a map between the spaces (landmark-pca, sparse-basis), rotated tokens "
        "(rope-pursuit), the pieces that the base reads the token as (subword), or none (mean, zero, normal, gaussian)",
    )
    k: int = Field(64, description="shared tokens that a new one is made of, at most", ge=1)
    normalise_atoms: bool = Field(
        False, description="omp: whether shared tokens are chosen by angle; else long vectors are chosen more often"
    )
    metric: Literal["euclidean", "cosine"] = Field("euclidean", description="interpolation: how near tokens are")
    weights: Literal["distance", "barycentric", "least-squares"] = Field(
        "distance", description="interpolation: how the nearest tokens are weighted"
    )
    pieces: Literal["mean", "sum", "weighted", "last"] = Field(
        "mean",
        description="subword: how pieces are combined; weighted: the n-th counts n times; last: the last one, and for the "
        "output the first",
    )
    prefix_match: Matrices = Field(
        "no", description=f"whether the longest known prefix stands for a new token, {_WHICH}"
    )
    byte_match: Matrices = Field("no", description=f"whether bytes written as characters and as <0xHH> match, {_WHICH}")
    well_trained: bool = Field(
        False, description="whether tokens that a model seems never to have been trained on serve as anchors no more"
    )
    digits: Literal["as-donor", "warn", "keep-base"] = Field(
        "warn",
        description="how numbers are split: as the donor does, with or without a warning, or digit by digit where the base "
        "does so",
    )
    template: Literal["auto", "donor", "base"] = Field(
        "auto",
        description="whose special tokens frame a text; auto: the donor's for causal language models, else the base's, which "
        "are added to the vocabulary where they are missing",
    )
    special: tuple[str, ...] = Field(
        (), description='which special token of the base stands for one of the donor: "DONOR -> BASE" each'
    )
    held_out: float = Field(
        0.05, description="share of shared tokens that are hidden and predicted once, to say how good it is", ge=0, lt=1
    )
    examples: tuple[str, ...] = Field((), description="new tokens, as text, whose anchors the report lists")
    noise: float = Field(0.0, description="standard deviation of normal noise added to new vectors", ge=0)
    scale: float = Field(1.0, description="what new vectors are multiplied with, after the noise")
    batch_size: int = Field(512, description="new tokens at once; 0.2 MB each for a donor of 768 dimensions", ge=1)
    dtype: Literal["float32", "float64"] = Field("float32", description="arithmetic; files keep the base's own")
