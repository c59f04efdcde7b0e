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
