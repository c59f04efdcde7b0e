"""What the parts of known architectures are called: one small description each.

Names are relative to the model's base, or to a block. ``a|b`` is whichever of the two a model has; a name in brackets may
be absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

StackKind = Literal["encoder", "decoder"]


@dataclass(frozen=True)
class AttentionNames:
    """Names within a block: the module that returns attention weights, and its four projections."""

    module: str
    q: str
    k: str
    v: str
    o: str


@dataclass(frozen=True)
class StackNames:
    """A stack of like blocks.

    Attributes:
        kind: whether its blocks read texts whole or write them token by token.
        blocks: the list of blocks.
        attention: self-attention.
        up: the projection into the MLP.
        down: the projection out of it.
        norms: normalisations of a block, in the order in which they run.
        gate: the projection that gates ``up``, where there is one.
        cross: attention to another stack.
    """

    kind: StackKind
    blocks: str
    attention: AttentionNames
    up: str
    down: str
    norms: tuple[str, ...]
    gate: str = ""
    cross: AttentionNames | None = None


@dataclass(frozen=True)
class Architecture:
    """A family of models.

    Attributes:
        name: what it is called.
        model_types: the ``model_type`` of their configurations.
        stacks: one, or encoder and decoder.
        words: embeddings of tokens.
        positions: embeddings of positions, where they are learned.
        norms: normalisations outside the blocks.
    """

    name: str
    model_types: tuple[str, ...]
    stacks: tuple[StackNames, ...]
    words: str
    positions: tuple[str, ...] = ()
    norms: tuple[str, ...] = ()


def _within(module: str, q: str, k: str, v: str, o: str) -> AttentionNames:
    return AttentionNames(module, f"{module}.{q}", f"{module}.{k}", f"{module}.{v}", f"{module}.{o}")


_BERT = Architecture(
    "bert",
    ("bert", "roberta", "xlm-roberta", "camembert", "electra"),
    (
        StackNames(
            "encoder",
            "encoder.layer",
            AttentionNames(
                "attention.self",
                "attention.self.query",
                "attention.self.key",
                "attention.self.value",
                "attention.output.dense",
            ),
            up="intermediate.dense",
            down="output.dense",
            norms=("attention.output.LayerNorm", "output.LayerNorm"),
        ),
    ),
    words="embeddings.word_embeddings",
    positions=("embeddings.position_embeddings",),
    norms=("embeddings.LayerNorm",),
)

_MPNET = Architecture(
    "mpnet",
    ("mpnet",),
    (
        StackNames(
            "encoder",
            "encoder.layer",
            _within("attention.attn", "q", "k", "v", "o"),
            up="intermediate.dense",
            down="output.dense",
            norms=("attention.LayerNorm", "output.LayerNorm"),
        ),
    ),
    words="embeddings.word_embeddings",
    positions=("embeddings.position_embeddings", "encoder.relative_attention_bias"),
    norms=("embeddings.LayerNorm",),
)

_DISTILBERT = Architecture(
    "distilbert",
    ("distilbert",),
    (
        StackNames(
            "encoder",
            "transformer.layer",
            _within("attention", "q_lin", "k_lin", "v_lin", "out_lin"),
            up="ffn.lin1",
            down="ffn.lin2",
            norms=("sa_layer_norm", "output_layer_norm"),
        ),
    ),
    words="embeddings.word_embeddings",
    positions=("embeddings.position_embeddings",),
    norms=("embeddings.LayerNorm",),
)

_T5_SELF = _within("layer.0.SelfAttention", "q", "k", "v", "o")
_T5 = Architecture(
    "t5",
    ("t5", "mt5"),
    (
        StackNames(
            "encoder",
            "encoder.block",
            _T5_SELF,
            up="layer.1.DenseReluDense.wi|layer.1.DenseReluDense.wi_1",
            down="layer.1.DenseReluDense.wo",
            gate="[layer.1.DenseReluDense.wi_0]",
            norms=("layer.0.layer_norm", "layer.1.layer_norm"),
        ),
        StackNames(
            "decoder",
            "decoder.block",
            _T5_SELF,
            up="layer.2.DenseReluDense.wi|layer.2.DenseReluDense.wi_1",
            down="layer.2.DenseReluDense.wo",
            gate="[layer.2.DenseReluDense.wi_0]",
            norms=("layer.0.layer_norm", "layer.1.layer_norm", "layer.2.layer_norm"),
            cross=_within("layer.1.EncDecAttention", "q", "k", "v", "o"),
        ),
    ),
    words="shared",
    positions=(
        "[encoder.block.0.layer.0.SelfAttention.relative_attention_bias]",
        "[decoder.block.0.layer.0.SelfAttention.relative_attention_bias]",
    ),
    norms=("[encoder.final_layer_norm]", "[decoder.final_layer_norm]"),
)

_BART_SELF = _within("self_attn", "q_proj", "k_proj", "v_proj", "out_proj")
_BART = Architecture(
    "bart",
    ("bart", "mbart"),
    (
        StackNames(
            "encoder",
            "encoder.layers",
            _BART_SELF,
            up="fc1",
            down="fc2",
            norms=("self_attn_layer_norm", "final_layer_norm"),
        ),
        StackNames(
            "decoder",
            "decoder.layers",
            _BART_SELF,
            up="fc1",
            down="fc2",
            norms=("self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm"),
            cross=_within("encoder_attn", "q_proj", "k_proj", "v_proj", "out_proj"),
        ),
    ),
    words="shared|decoder.embed_tokens",
    positions=("[encoder.embed_positions]", "[decoder.embed_positions]"),
    norms=(
        "[encoder.layernorm_embedding]",
        "[encoder.layer_norm]",
        "[decoder.layernorm_embedding]",
        "[decoder.layer_norm]",
    ),
)

_LLAMA = Architecture(
    "llama",
    ("llama", "mistral", "qwen2", "qwen3"),
    (
        StackNames(
            "decoder",
            "layers",
            _within("self_attn", "q_proj", "k_proj", "v_proj", "o_proj"),
            up="mlp.up_proj",
            down="mlp.down_proj",
            gate="mlp.gate_proj",
            norms=("input_layernorm", "post_attention_layernorm"),
        ),
    ),
    words="embed_tokens",
    norms=("norm",),
)

ARCHITECTURES = (_BERT, _MPNET, _DISTILBERT, _T5, _BART, _LLAMA)
"""The architectures that :func:`spaniel_neural.walking.walk` knows."""
