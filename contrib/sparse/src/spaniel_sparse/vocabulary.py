"""A masked language model whose scores of the vocabulary are pooled as they are made.

The scores of all tokens of a batch would be the largest thing by far (1,024 tokens × 30,522 terms are 125 MB in float32). So
the model's last layer, a matrix of the vocabulary, is taken off: the model gives what that layer would have read, and the
scores are made and pooled for a part of the vocabulary at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from spaniel import UsageError
from spaniel.data import SparseVectors
from spaniel_neural.batching import Batch, batches, tokenize
from spaniel_neural.loading import Transformer, load_for

from spaniel_sparse.config import SpladeConfig
from spaniel_sparse.layout import Layout
from spaniel_sparse.pruning import Rows, join_rows, keep_greatest

if TYPE_CHECKING:
    from spaniel import Context

SCORES = 2**22
"""Scores made at once: 16 MiB in float32, which stay in a processor's cache until they are pooled."""

LEAST = 256
"""Terms whose scores are made at once, at the least."""

OFF = -1e4
"""A bias down to which a term counts as switched off: no score comes above 0 from there, so that none is made."""


class PooledVocabulary:
    """Weights of terms by SPLADE: log(1 + relu(score)), pooled over the tokens of a text.

    Raises:
        UsageError: the folder's model cannot be loaded, or an option does not suit it.
    """

    def __init__(self, layout: Layout, config: SpladeConfig, context: Context) -> None:
        self.context = context
        self.pooling = layout.pooling if config.pooling == "auto" else config.pooling
        self.activation = layout.activation
        self.transformer = load_for(context, layout.transformer, "masked-lm", dtype=config.dtype)
        self.max_length = self.transformer.max_length(config.max_length, layout.max_length)
        self.weight, self.bias = _take_off(self.transformer)
        self._width = len(self.weight)
        self.live: torch.Tensor | None = None
        if self.bias is not None and bool((self.bias <= OFF).any()):
            self.live = (self.bias > OFF).nonzero()[:, 0]
            self.weight, self.bias = self.weight[self.live], self.bias[self.live]

    @property
    def width(self) -> int:
        """Size of the vocabulary."""
        return self._width

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, which knows the names of terms."""
        return self.transformer.tokenizer

    def embed(self, texts: Sequence[str], role: str, keep: int | None) -> SparseVectors:
        """Return one vector a text; a text without a token has no terms.

        Args:
            texts: with their prompts.
            role: not looked at: one model reads both.
            keep: terms kept of each text, those with the greatest weights.
        """
        tokens = tokenize(self.tokenizer, texts, max_length=self.max_length)
        made: list[Rows] = []
        with torch.inference_mode(), self.transformer.autocast():
            for batch in batches(self.transformer, tokens, self.context.batch_size):
                weights = self._pooled(self.transformer.model(**batch.inputs).logits, batch)
                made.append(keep_greatest(weights, batch.positions, keep))
        self.context.count("model calls", len(made))
        self.context.count("tokens", len(tokens.ids))
        return join_rows(made, len(texts), self.width)

    def _pooled(self, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return the weights of all terms, ``(texts, vocabulary)`` float32, of ``(texts, tokens, hidden)``."""
        mask = batch.inputs.get("attention_mask")
        if mask is not None and self.pooling == "max":
            # A repeated token changes no maximum.
            hidden = torch.where(mask[:, :, None].bool(), hidden, hidden[:, :1])
        texts, length, size = hidden.shape
        flat = hidden.reshape(-1, size)
        pooled = torch.empty((texts, len(self.weight)), device=hidden.device)
        terms = max(LEAST, SCORES // len(flat))
        for start in range(0, len(self.weight), terms):
            part = slice(start, start + terms)
            bias = None if self.bias is None else self.bias[part]
            scores = torch.nn.functional.linear(flat, self.weight[part], bias).view(texts, length, -1)
            if self.pooling == "max":
                # The logarithm rises, so that it is taken of the greatest score alone.
                pooled[:, part] = self._activated(scores.amax(dim=1).float())
            else:
                weights = self._activated(scores.float())
                pooled[:, part] = (weights if mask is None else weights * mask[:, :, None]).sum(dim=1)
        if self.live is None:
            return pooled
        return pooled.new_zeros((texts, self.width)).index_copy_(1, self.live, pooled)

    def _activated(self, scores: torch.Tensor) -> torch.Tensor:
        weights = scores.relu_().log1p_()
        return weights.log1p_() if self.activation == "log1p_relu" else weights


def _take_off(transformer: Transformer) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Replace the model's matrix of the vocabulary by nothing, and return it with its bias.

    Raises:
        UsageError: the model's scores are not what that matrix makes of its input, and so cannot be made in parts.
    """
    model: Any = transformer.model
    layer = model.get_output_embeddings()
    place = next((name for name, module in model.named_modules() if module is layer), None)
    ids = torch.arange(4, device=transformer.device)[None] % int(model.config.get_text_config().vocab_size)
    if isinstance(layer, torch.nn.Linear) and place is not None:
        above, _, name = place.rpartition(".")
        weight, bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
        with torch.inference_mode():
            expected = model(input_ids=ids).logits.float()
            setattr(model.get_submodule(above), name, torch.nn.Identity())
            hidden = _try(lambda: model(input_ids=ids).logits)
            if hidden is not None and hidden.shape[-1] == layer.in_features:
                made = torch.nn.functional.linear(hidden, weight, bias).float()
                if made.shape == expected.shape and torch.allclose(made, expected, rtol=1e-2, atol=1e-2):
                    return weight, bias
    raise UsageError(
        f"the model in {transformer.folder} ({type(model).__name__}) does not end in a matrix of its vocabulary; "
        "SPLADE needs a masked language model that does, as those of the BERT, RoBERTa and DistilBERT families"
    )


def _try(work: Callable[[], torch.Tensor]) -> torch.Tensor | None:
    try:
        return work()
    except (AttributeError, RuntimeError, TypeError):
        return None  # its code asks the layer for more than its output
