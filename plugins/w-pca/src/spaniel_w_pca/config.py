"""Options of the space, the proxies, the encoder and the distillation; the defaults are the published ones."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from spaniel import Config
from spaniel.config import Expression, ref
from spaniel_neural.config import ProbeConfig

Family = Literal["bert", "mobilebert"]


class NluConfig(ProbeConfig):
    """The space of the paper (section 4); the defaults are those of W-PCA-Small."""

    layers: int = Field(12, description="blocks; 6 for W-PCA-Tiny", ge=1)
    hidden: int = Field(528, description="width of the model", ge=1)
    heads: int = Field(12, description="heads of attention, in blocks of both families", ge=1)
    embed: int = Field(128, description="width of the embeddings of tokens", ge=1)
    ffn_units: int = Field(132, description="steps of the feed-forward width, and the width of a bottleneck", ge=1)
    sizes: int = Field(6, description="feed-forward widths: so many steps", ge=1)
    families: tuple[Family, ...] = Field(
        ("bert", "mobilebert"),
        description="blocks: BERT's, or MobileBERT's with a bottleneck around attention and feed-forward network",
        min_length=1,
    )
    max_params: int | None = Field(
        None, description="parameters that a candidate may have; 15,700,000 and 10,000,000 in the paper", ge=1
    )
    count_embeddings: bool = Field(
        True,
        description="whether embeddings count, for that limit and where W-PCA weighs by parameters; which of the two the "
        "paper counts is open",
    )
    vocab_size: int = Field(30522, description="tokens that the models know", ge=6)
    positions: int = Field(512, description="longest text", ge=2)
    dropout: float = Field(0.1, description="share of numbers left out in training", ge=0, lt=1)
    shared: int = Field(
        256,
        description="megabytes for what blocks gave that candidates begin with alike, which are then not run again; 0: none",
        ge=0,
    )

    @model_validator(mode="after")
    def _fits(self) -> NluConfig:
        if len(set(self.families)) < len(self.families):
            raise ValueError("families are different ones")
        for name in ("hidden", "ffn_units"):
            if getattr(self, name) % self.heads and (name == "hidden" or "mobilebert" in self.families):
                raise ValueError(f"{name}={getattr(self, name)} is no multiple of heads={self.heads}")
        if self.seq_len > self.positions:
            raise ValueError(f"seq_len={self.seq_len} is more than positions={self.positions}")
        return self


class PcaConfig(Config):
    """What of a network's feed-forward linears is counted."""

    eta: float = Field(0.99, description="share of the variance that the components explain", gt=0, lt=1)
    bottleneck_eta: float | None = Field(
        None,
        description="the same for blocks with a bottleneck, of the space `nlu-bert-mobilebert`; 0.9 in the published code; "
        "left out: eta",
        gt=0,
        lt=1,
    )
    linears: Literal["first", "all"] = Field(
        "first", description="of a block that has several feed-forward linears in a row: the first, or all"
    )
    over: Literal["sum", "mean"] = Field(
        "sum", description="over blocks: the sum, as in the paper, or the mean, as in the published search"
    )
    normalise: bool = Field(
        False, description="whether each count is divided by the width, so that it says nothing of size"
    )


class AveragedConfig(Config):
    """Which proxy, over how much."""

    proxy: Expression = ref("search_space", "w-pca", role="proxy", description="what is averaged")
    seeds: int = Field(1, description="fresh weights", ge=1)
    batches: int = Field(3, description="batches of texts, of a space that reads such; 3 in the published search", ge=1)


class LayerwiseTraineeConfig(Config):
    """From whom a student learns."""

    teacher: str | None = Field(
        None,
        description="the teacher: a folder, `package:NAME/FOLDER`, or a name on the hub, with the same tokenizer; left out: "
        "the base as it is before the training",
        min_length=1,
    )


class LayerwiseConfig(Config):
    """How layers are compared."""

    layer_map: Literal["last-of-group", "first-of-group"] = Field(
        "last-of-group",
        description="of the group of teacher layers that a student layer stands for: the last or the first",
    )
    features: Literal["mse", "pkd"] = Field(
        "mse",
        description="what is compared: features as they are, or standardised over the tokens of a text, each by itself (PKD)",
    )


class PredictionConfig(Config):
    """How predictions are compared; the weight of the objective in a recipe is the paper's γ."""

    loss: Literal["soft-cross-entropy", "dist"] = Field(
        "soft-cross-entropy", description="or by correlations of rows and columns (DIST)"
    )
    temperature: float = Field(1.0, description="what logits are divided by", gt=0)
    scale: float = Field(20.0, description="what similarities are multiplied with to be logits", gt=0)
    compat: Literal["", "reference"] = Field(
        "", description="reference: the cross-entropy is divided by the number of classes too, as in the published code"
    )
