"""Options that every plugin with a transformer offers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from spaniel import Config


class ModelConfig(Config):
    """Options of a transformer; a plugin's own options inherit from these."""

    model: str = Field(
        description="folder of the model, `package:NAME/FOLDER` for one that a Python package carries, or its name on "
        "the Hugging Face hub",
        min_length=1,
    )
    revision: str | None = Field(None, description="branch, tag or commit of a model on the hub")
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        "auto",
        description="arithmetic of the model; auto: float32 on a CPU, the stored precision on an accelerator",
    )
    max_length: int | None = Field(None, description="tokens after which a text is cut off", ge=1)


class ProbeConfig(Config):
    """Options of a space of models: on what a candidate is run once, and how, see :mod:`spaniel_neural.taps`."""

    data: str = Field(
        "python-docs", description="collection whose documents are read: a name or a folder", min_length=1
    )
    tokenizer: str = Field(
        "",
        description="model whose tokenizer is used: a folder, `package:NAME/FOLDER` or a name; empty: whole words; "
        "`characters`: those of ASCII, 128 of them",
    )
    batch_size: int = Field(16, description="texts that a candidate is run on", ge=2)
    seq_len: int = Field(128, description="tokens after which a text is cut off", ge=2)
    batch: int = Field(0, description="which texts: each number draws others", ge=0)
    packed: bool = Field(False, description="whether texts follow one another without padding, as one stream")
    mask_padding: bool = Field(True, description="whether padding is left out; if not, it is padded to the full length")
    train_mode: bool = Field(False, description="whether dropout is on")
    readout: Literal["signs", "sum"] = Field(
        "signs",
        description="what gradients are of: the outputs under random signs, or their plain sum, which behind a "
        "layer normalisation is constant",
    )
