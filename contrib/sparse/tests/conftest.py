"""A tiny masked language model, fresh and random, in the layouts that real ones come in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from spaniel import Context

WORDS = "a the dog cat ship bread star river sleeps sails shines runs in on of north winter water salt which what does"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def write_masked_lm(folder: Path, family: str = "bert", seed: int = 0) -> Path:
    """Write a random model of two layers with a tokenizer of whole words, in the layout of transformers."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    words = (*SPECIAL, *WORDS.split())
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    torch.manual_seed(seed)
    shape: dict[str, Any] = {"vocab_size": len(words), "max_position_embeddings": 48, "initializer_range": 0.6}
    if family == "distilbert":
        config: Any = transformers.DistilBertConfig(**shape, dim=32, n_layers=2, n_heads=4, hidden_dim=64)
        model: Any = transformers.DistilBertForMaskedLM(config)
    else:
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
        config = (transformers.BertConfig if family == "bert" else transformers.RobertaConfig)(**shape, **sizes)
        model = (transformers.BertForMaskedLM if family == "bert" else transformers.RobertaForMaskedLM)(config)
    model.save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=40,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(folder)
    return folder


def write_modules(folder: Path, pooling: str = "max", activation: str = "relu", legacy: bool = False) -> Path:
    """Add to a masked language model what sentence-transformers' SparseEncoder writes."""
    kind = "sparse_encoder.models.MLMTransformer" if legacy else "base.modules.transformer.Transformer"
    pool = "sparse_encoder.modules.splade_pooling.SpladePooling"
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": f"sentence_transformers.{kind}"},
        {"idx": 1, "name": "1", "path": "1_SpladePooling", "type": f"sentence_transformers.{pool}"},
    ]
    settings: dict[str, Any] = {"max_seq_length": 12, "do_lower_case": False}
    if not legacy:
        text = {"method": "forward", "method_output_name": "logits"}
        settings = {
            "transformer_task": "fill-mask",
            "modality_config": {"text": text},
            "module_output_name": "token_embeddings",
            "max_seq_length": 12,
        }
    (folder / "1_SpladePooling").mkdir()
    for name, content in (
        ("modules.json", modules),
        ("1_SpladePooling/config.json", {"pooling_strategy": pooling, "activation_function": activation}),
        ("sentence_bert_config.json", settings),
        ("config_sentence_transformers.json", {"model_type": "SparseEncoder"}),
    ):
        (folder / name).write_text(json.dumps(content))
    return folder


class Tiny:
    """What tests ask for: ways to write models, and one that is there."""

    write_masked_lm = staticmethod(write_masked_lm)
    write_modules = staticmethod(write_modules)


@pytest.fixture(scope="session")
def tiny() -> type[Tiny]:
    return Tiny


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A session on the CPU with a store of its own."""
    return Context(tmp_path / "store", device="cpu", offline=True)
