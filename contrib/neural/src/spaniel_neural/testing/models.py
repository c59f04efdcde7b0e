"""Tiny transformers with random weights."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from spaniel import UsageError

from spaniel_neural.loading import Task, class_for, quietly
from spaniel_neural.words import write_tokenizer

HIDDEN, LAYERS, HEADS, INNER, POSITIONS = 32, 2, 4, 64, 64
SPREAD = 0.3
"""Standard deviation of the weights; large, so that every part of a tiny model makes a visible difference."""
_WIDE = {
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": INNER,
    "max_position_embeddings": POSITIONS,
    "initializer_range": SPREAD,
}
TINY: dict[str, dict[str, Any]] = {
    "bert": _WIDE,
    "roberta": _WIDE,
    "distilbert": {
        "dim": HIDDEN,
        "n_layers": LAYERS,
        "n_heads": HEADS,
        "hidden_dim": INNER,
        "max_position_embeddings": POSITIONS,
        "initializer_range": SPREAD,
    },
    "t5": {
        "d_model": HIDDEN,
        "num_layers": LAYERS,
        "num_decoder_layers": LAYERS,
        "num_heads": HEADS,
        "d_kv": HIDDEN // HEADS,
        "d_ff": INNER,
        "feed_forward_proj": "gated-gelu",
        "initializer_factor": 1.0,
    },
    "bart": {
        "d_model": HIDDEN,
        "encoder_layers": LAYERS,
        "decoder_layers": LAYERS,
        "encoder_attention_heads": HEADS,
        "decoder_attention_heads": HEADS,
        "encoder_ffn_dim": INNER,
        "decoder_ffn_dim": INNER,
        "max_position_embeddings": POSITIONS,
        "init_std": SPREAD,
    },
    "llama": {**_WIDE, "num_key_value_heads": HEADS // 2},
}
"""The families, and the fields of their configurations that make them tiny."""


def write_model(
    folder: Path,
    family: str = "bert",
    task: Task = "encoder",
    *,
    texts: Iterable[str] = (),
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    max_length: int | None = None,
    lowercase: bool = False,
    **config: Any,
) -> Path:
    """Save a random model, with a tokenizer of the words of some texts, and return the folder.

    Two layers of 32 dimensions with four heads; the Llama's share two heads of keys and values.

    Args:
        family: one of :data:`TINY`.
        task: which head the model has.
        texts: their words are the tokenizer's.
        seed: of the weights.
        dtype: of the saved weights.
        max_length: tokens that the tokenizer says the model reads; by default all it does.
        lowercase: whether the tokenizer lowercases texts first.
        config: fields of the configuration that replace the tiny ones.

    Raises:
        UsageError: there is no such family.
    """
    from transformers import AutoConfig

    if family not in TINY:
        raise UsageError(f"family={family!r}; it can be {', '.join(TINY)}")
    fields = {**TINY[family], **config}
    reads = int(fields.get("max_position_embeddings", 512)) - (2 if family == "roberta" else 0)
    tokenizer = write_tokenizer(folder, texts, family, max_length=max_length or reads, lowercase=lowercase)
    made = AutoConfig.for_model(family, vocab_size=len(tokenizer), **{**_special(tokenizer, family), **fields})
    with quietly(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = class_for(task, family).from_config(made)
        model.to(dtype).save_pretrained(folder)
    return folder


def _special(tokenizer: Any, family: str) -> dict[str, int | None]:
    roles = ("pad", "bos", "eos")
    numbers = {f"{role}_token_id": getattr(tokenizer, f"{role}_token_id") for role in roles}
    if family == "t5":
        numbers["decoder_start_token_id"] = tokenizer.pad_token_id
    if family == "bart":
        numbers["decoder_start_token_id"] = tokenizer.eos_token_id
        numbers["forced_eos_token_id"] = tokenizer.eos_token_id
    return numbers
