"""The encoders of the space as a family of transformers; importing this room makes transformers know it.

Spaniel imports it where a folder is of this family; elsewhere ``import spaniel_w_pca.family``, and then
``AutoModel.from_pretrained(folder)`` or ``SentenceTransformer(folder)``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from spaniel_w_pca.network import Affine, Encoder, Layer, Sizes

MODEL_TYPE = "nlu-bert-mobilebert"


class NluEncoderConfig(PretrainedConfig):  # type: ignore[no-untyped-call]
    """What an encoder is made of.

    Args:
        blocks: for each block its family, ``"bert"`` or ``"mobilebert"``, and the width of its feed-forward network.
        embedding_size: width of the embeddings of tokens.
        bottleneck_size: width inside of MobileBERT's blocks.
        hidden_size, num_attention_heads, vocab_size, max_position_embeddings, hidden_dropout_prob, pad_token_id: as in BERT.
    """

    model_type = MODEL_TYPE

    def __init__(
        self,
        blocks: list[list[Any]] | None = None,
        hidden_size: int = 528,
        num_attention_heads: int = 12,
        bottleneck_size: int = 132,
        embedding_size: int = 128,
        vocab_size: int = 30522,
        max_position_embeddings: int = 512,
        hidden_dropout_prob: float = 0.1,
        pad_token_id: int = 0,
        **more: Any,
    ) -> None:
        self.blocks: list[list[Any]] = [[str(family), int(width)] for family, width in blocks or []]
        self.num_hidden_layers = len(self.blocks)
        self.hidden_size = hidden_size
        self.num_attention_heads = num_attention_heads
        self.bottleneck_size = bottleneck_size
        self.embedding_size = embedding_size
        self.vocab_size = vocab_size
        self.max_position_embeddings = max_position_embeddings
        self.hidden_dropout_prob = hidden_dropout_prob
        more.pop("num_hidden_layers", None)
        self.pad_token_id = pad_token_id
        super().__init__(**more)

    @classmethod
    def of(cls, layers: list[Layer], sizes: Sizes, **more: Any) -> NluEncoderConfig:
        """Return the configuration of a network."""
        return cls(
            [list(layer) for layer in layers],
            sizes.hidden,
            sizes.heads,
            sizes.bottleneck,
            sizes.embedding,
            sizes.vocabulary,
            sizes.positions,
            sizes.dropout,
            **more,
        )

    @property
    def sizes(self) -> Sizes:
        """What all blocks share."""
        return Sizes(
            self.hidden_size,
            self.num_attention_heads,
            self.bottleneck_size,
            self.vocab_size,
            self.embedding_size,
            self.max_position_embeddings,
            self.hidden_dropout_prob,
        )

    @property
    def layers(self) -> list[Layer]:
        """The blocks."""
        return [Layer(family, width) for family, width in self.blocks]


class NluEncoder(PreTrainedModel):  # type: ignore[no-untyped-call]
    """An encoder of the space: tokens → a vector for each."""

    config_class = NluEncoderConfig
    base_model_prefix = "encoder"

    def __init__(self, config: NluEncoderConfig) -> None:
        super().__init__(config)
        self.encoder = Encoder(config.layers, config.sizes)
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm | Affine):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)

    def get_input_embeddings(self) -> nn.Module:
        """The embeddings of tokens."""
        return self.encoder.embeddings.words

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        **_: Any,
    ) -> BaseModelOutput:
        """``(B, L)`` int64 → ``last_hidden_state``, ``(B, L, hidden_size)``."""
        mask = torch.ones_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask.bool()
        hidden = self.encoder(self.encoder.embed(input_ids), mask, token_type_ids)
        return BaseModelOutput(last_hidden_state=hidden)


AutoConfig.register(MODEL_TYPE, NluEncoderConfig, exist_ok=True)
AutoModel.register(NluEncoderConfig, NluEncoder, exist_ok=True)
