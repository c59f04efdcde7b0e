"""Every known architecture, with every head, taken apart."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from spaniel import UsageError
from spaniel_neural.architectures import ARCHITECTURES
from spaniel_neural.loading import Transformer
from spaniel_neural.testing import TinyConvNet
from spaniel_neural.walking import walk, walk_convolutions
from torch import nn

CASES = [
    ("bert", "encoder", 1, ["pooler"], None),
    ("bert", "masked-lm", 1, ["cls"], "cls.predictions.decoder"),
    ("bert", "sequence-classification", 1, ["bert.pooler", "classifier"], None),
    ("roberta", "masked-lm", 1, ["lm_head"], "lm_head.decoder"),
    ("distilbert", "encoder", 1, [], None),
    ("distilbert", "masked-lm", 1, ["vocab_transform", "vocab_layer_norm", "vocab_projector"], "vocab_projector"),
    ("t5", "encoder", 1, [], None),
    ("t5", "seq2seq", 2, ["lm_head"], "lm_head"),
    ("bart", "encoder", 2, [], None),
    ("bart", "seq2seq", 2, ["lm_head"], "lm_head"),
    ("llama", "encoder", 1, [], None),
    ("llama", "causal-lm", 1, ["lm_head"], "lm_head"),
    ("llama", "sequence-classification", 1, ["score"], None),
]


@pytest.mark.parametrize(("family", "task", "stacks", "heads", "unembedding"), CASES)
def test_parts(
    loaded: Callable[..., Transformer], family: str, task: str, stacks: int, heads: list[str], unembedding: str | None
) -> None:
    model = loaded(family, task).model
    anatomy = walk(model)
    modules = dict(model.named_modules())
    assert len(anatomy.blocks) == 2 * stacks
    assert [part.name for part in anatomy.heads] == heads
    assert (anatomy.unembedding and anatomy.unembedding.name) == unembedding
    assert anatomy.words.module is model.get_input_embeddings()
    inside: list[nn.Module] = [anatomy.words.module, *(part.module for part in (*anatomy.positions, *anatomy.norms))]
    inside += [part.module for part in anatomy.heads]
    for block in anatomy.blocks:
        assert modules[block.name] is block.module
        attentions = [attention for attention in (block.attention, block.cross) if attention]
        for attention in attentions:
            assert modules[attention.name] is attention.module
            assert (attention.heads, attention.kv_heads, attention.head_dim) == (4, 2 if family == "llama" else 4, 8)
            assert attention.group == (2 if family == "llama" else 1)
            assert attention.q.module.weight.shape == (32, 32)
            assert attention.v.module.weight.shape == (8 * attention.kv_heads, 32)
            inside += [part.module for part in (attention.q, attention.k, attention.v, attention.o)]
        assert block.mlp.width == 64
        inside += [part.module for part in (block.mlp.up, block.mlp.down, block.mlp.gate) if part]
        inside += [part.module for part in block.norms]
        assert all(part.name.startswith(f"{block.name}.") for part in (*attentions, block.mlp.up, *block.norms))
    # Nothing is left out: every parameter is of some part, but for those that tell one type of text from another.
    found = {id(parameter) for module in inside for parameter in module.parameters()}
    left = [name for name, parameter in model.named_parameters() if id(parameter) not in found]
    assert all("token_type" in name for name in left), left


def test_stacks_and_gates(loaded: Callable[..., Transformer]) -> None:
    anatomy = walk(loaded("t5", "seq2seq").model)
    assert [block.stack for block in anatomy.blocks] == ["encoder"] * 2 + ["decoder"] * 2
    assert [block.cross is not None for block in anatomy.blocks] == [False, False, True, True]
    assert [block.index for block in anatomy.stack("decoder")] == [0, 1]
    gate = anatomy.blocks[0].mlp.gate
    assert gate is not None
    assert gate.name == "encoder.block.0.layer.1.DenseReluDense.wi_0"
    assert anatomy.architecture == "t5"


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_a_head_is_where_its_description_says(loaded: Callable[..., Transformer], family: str) -> None:
    """Taking a head's share of the output projection away is taking its part of the output away."""
    model = loaded(family, attention="eager").model
    attention = walk(model).blocks[0].attention
    ids = torch.tensor([[3, 6, 7, 9]])
    outputs: list[torch.Tensor] = []
    handle = attention.o.module.register_forward_pre_hook(lambda module, given: outputs.append(given[0]))
    values: list[torch.Tensor] = []
    other = attention.v.module.register_forward_hook(lambda module, given, made: values.append(made))
    weights: list[torch.Tensor] = []
    third = attention.module.register_forward_hook(lambda module, given, made: weights.append(made[1]))
    with torch.no_grad():
        model(input_ids=ids)
    for hook in (handle, other, third):
        hook.remove()
    size, head = attention.head_dim, 3
    shared = head // attention.group
    expected = weights[0][0, head] @ values[0][0, :, shared * size : (shared + 1) * size]
    assert torch.allclose(outputs[0][0, :, head * size : (head + 1) * size], expected, atol=1e-6)


def test_unknown_architectures_are_named() -> None:
    from transformers import GPT2Config, GPT2Model

    known = [name for architecture in ARCHITECTURES for name in architecture.model_types]
    with pytest.raises(UsageError, match="gpt2") as caught:
        walk(GPT2Model(GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=10)))
    assert all(name in str(caught.value) for name in known)
    with pytest.raises(UsageError, match="no model of transformers"):
        walk(TinyConvNet())
    with pytest.raises(UsageError, match="has no convolutions"):
        walk_convolutions(nn.Linear(2, 2))


def test_families_of_one_description_are_walked() -> None:
    """The families that no tiny model is written for, made from their configurations."""
    import transformers

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    seq2seq = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24}
    special = {
        "mt5": {"d_model": 16, "num_layers": 1, "num_heads": 2, "d_kv": 8, "d_ff": 24},
        "mbart": {**seq2seq, "encoder_attention_heads": 2, "decoder_attention_heads": 2},
        "electra": {**small, "embedding_size": 8},
        "qwen3": {**small, "num_key_value_heads": 1, "head_dim": 12},
    }
    written = {"bert", "roberta", "distilbert", "t5", "bart", "llama"}
    for name in {name for architecture in ARCHITECTURES for name in architecture.model_types} - written:
        config = transformers.AutoConfig.for_model(name, vocab_size=30, pad_token_id=1, **special.get(name, small))
        blocks = walk(transformers.AutoModel.from_config(config)).blocks
        assert all(block.attention.heads == 2 and block.mlp.width == 24 for block in blocks), name


def test_convolutions_in_the_order_in_which_they_run() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Conv2d(4, 4, 1)
            self.unused = nn.Conv2d(4, 4, 1)
            self.first = nn.Conv2d(1, 4, 1)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.last(self.first(images))

    model = Backwards()
    assert [part.name for part in walk_convolutions(model).convolutions] == ["last", "unused", "first"]
    found = walk_convolutions(model, torch.zeros(1, 1, 2, 2))
    assert [part.name for part in found.convolutions] == ["first", "last"]
    assert found.last.name == "last"
    with pytest.raises(RuntimeError):
        walk_convolutions(model, torch.zeros(1, 7, 2, 2))
    assert not any(part._forward_hooks for part in model.modules())
    tiny = walk_convolutions(TinyConvNet())
    assert [len(parts) for parts in (tiny.convolutions, tiny.norms, tiny.linears)] == [3, 1, 1]
