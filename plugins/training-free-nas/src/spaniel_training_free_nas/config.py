"""Options of the spaces and proxies; the defaults are the published ones."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from spaniel import Config
from spaniel_neural.config import ProbeConfig

Operation = Literal["SDP", "WMA", "DFT", "DCT", "DSC5", "DSC9"]


class FlexiBertConfig(ProbeConfig):
    """What the encoders of the space are made of, and how candidates are built."""

    hidden: tuple[int, ...] = Field((128, 256), description="widths of the model", min_length=1)
    layers: tuple[int, ...] = Field((2, 4), description="numbers of blocks", min_length=1)
    ops: tuple[Operation, ...] = Field(
        ("SDP", "WMA", "DFT", "DCT", "DSC5", "DSC9"),
        description="operations of a block: dot-product or weighted attention, a Fourier or cosine transform, or "
        "attention beside dynamic convolutions of width 5 or 9",
        min_length=1,
    )
    heads: tuple[int, ...] = Field((2, 4), description="numbers of heads", min_length=1)
    ff_dim: tuple[int, ...] = Field((512, 1024), description="widths of feed-forward linears", min_length=1)
    num_ff: tuple[int, ...] = Field((1, 3), description="numbers of feed-forward linears", min_length=1)
    build: Literal["as-trained", "declared-operations", "declared"] = Field(
        "as-trained",
        description="as-trained: the networks of the published benchmark, which attend whatever is declared, and whose first "
        "feed-forward linear is 4 × hidden wide; declared-operations: the declared operations with these "
        "widths; declared: both as the candidate says, for searching in earnest",
    )
    compat: Literal["", "reference"] = Field(
        "",
        description="reference: the networks that the published proxies were measured on (256 wide, 1024 in the feed-forward "
        "part, transforms without residual), with dropout, with padding, and with gradients of the plain sum",
    )
    embedding: int = Field(128, description="width of the embeddings", ge=1)
    vocab_size: int = Field(30522, description="tokens that the models know", ge=6)
    positions: int = Field(512, description="longest text", ge=2)
    std: float = Field(0.02, description="standard deviation of fresh weights", gt=0)
    dropout: float = Field(0.1, description="share of numbers left out in training", ge=0, lt=1)

    @model_validator(mode="after")
    def _fits(self) -> FlexiBertConfig:
        if self.seq_len > self.positions:
            raise ValueError(f"seq_len={self.seq_len} is more than positions={self.positions}")
        for width in self.hidden:
            for heads in self.heads:
                if width % heads:
                    raise ValueError(f"hidden={width} is no multiple of heads={heads}")
        for name in ("hidden", "layers", "heads", "ff_dim", "num_ff"):
            if min(getattr(self, name)) < 1 or len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ValueError(f"{name} are different numbers of at least 1")
        if any(op.startswith("DSC") for op in self.ops) and any(heads % 2 for heads in self.heads):
            raise ValueError("DSC takes half of the heads, so that heads are even")
        return self


class RnnCellsConfig(ProbeConfig):
    """How large recurrent networks are; the defaults are those of NAS-Bench-NLP."""

    seq_len: int = Field(70, description="time steps", ge=2)
    packed: bool = Field(True, description="whether texts follow one another without padding, as one stream")
    readout: Literal["signs", "sum"] = Field(
        "sum", description="what gradients are of: outputs under random signs, or their sum"
    )
    layers: int = Field(3, description="cells on top of one another", ge=1)
    hidden: int = Field(600, description="width of the states", ge=1)
    embedding: int = Field(400, description="width of the embeddings", ge=1)
    vocab_size: int = Field(10_000, description="tokens that the networks know", ge=6)
    nodes: int = Field(24, description="most nodes of a cell", ge=4)
    states: int = Field(3, description="most states of a cell", ge=1, le=3)
    bounded: bool = Field(
        True,
        description="whether cells are drawn, changed and crossed so that their states stay bounded; others may overflow",
    )


class ScoreConfig(Config):
    """Which scores are better."""

    direction: Literal["maximise", "minimise"] = Field(
        "maximise", description="which scores are better; the default is the sign that the published tables have"
    )


class NormalisedConfig(ScoreConfig):
    """Whether a sum over tensors is their mean."""

    normalise: bool = Field(False, description="whether the sum is divided by the number of tensors that add to it")


class HiddenSaliencyConfig(NormalisedConfig):
    """Less is better in the published table."""

    direction: Literal["maximise", "minimise"] = Field("minimise", description="which scores are better")


class HiddenCovarianceConfig(ScoreConfig):
    """Which layer is looked at."""

    layer: int = Field(1, description="layer, the first is 1", ge=1)
    eps: float = Field(1e-5, description="what is added to each eigenvalue", gt=0)


class JacobianConfig(ScoreConfig):
    """Gradients in what."""

    of: Literal["tokens", "positions"] = Field(
        "tokens",
        description="embedded tokens, a row a text; or embeddings of positions, a row a feature (as published for BERT)",
    )
    eps: float = Field(1e-5, description="what is added to each eigenvalue of the covariance score", gt=0)


class NoisedConfig(ScoreConfig):
    """What is compared under noise."""

    score: Literal["covariance", "cosine"] = Field("cosine", description="score of a Jacobian")
    eps: float = Field(1e-5, description="what is added to each eigenvalue of the covariance score", gt=0)


class LargeNoiseConfig(NoisedConfig):
    """How large the noise is; less is better in the published table."""

    direction: Literal["maximise", "minimise"] = Field("minimise", description="which scores are better")
    amplitude: float = Field(10.0, description="noise in the embedded tokens, as a multiple of their variance", ge=0)


class ActivationDistanceConfig(NormalisedConfig):
    """Which codes are compared."""

    compat: Literal["", "reference"] = Field(
        "",
        description="reference: the sum of agreements between the tokens of the first text, as published for BERT, which "
        "measures size; otherwise the log-determinant of the agreements between texts",
    )


class ConfidenceConfig(NormalisedConfig):
    """What the largest is taken over."""

    compat: Literal["", "reference"] = Field(
        "", description="reference: attention weights have their maximum taken over heads, not over keys"
    )
