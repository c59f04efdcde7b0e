"""Pooled hidden states of chosen layers, kept in the store by text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError
from spaniel.observe import loaded_property

from spaniel_neural.batching import Batch, run_batches, tokenize
from spaniel_neural.content import ContentCache, Kept, content_keys
from spaniel_neural.devices import Dtype
from spaniel_neural.families import know_family
from spaniel_neural.files import transformer_digest
from spaniel_neural.loading import Transformer, load_for
from spaniel_neural.locating import download_model
from spaniel_neural.pooling import Pooling, check_layers, pool_layers

if TYPE_CHECKING:
    from spaniel import Context


class HiddenStates:
    """The hidden states of texts, pooled: ``(texts, layers, dimensions)`` float32.

    A text is run through the model once for each choice of model, layers, pooling, length and arithmetic, in whatever
    list and session it comes. The model is loaded when a text is new.

    Args:
        context: the session.
        model: a folder or a name; see :func:`spaniel_neural.locating.find_model`.
        layers: 0 is the embeddings' output, 1 the first block's …; negative ones count from the last. The last is what the
            model gives as its last hidden state. Of an encoder and decoder, the encoder's.
        pooling: how token vectors become one.
        revision: branch, tag or commit of a name on the hub.
        dtype: arithmetic of the model.
        max_length: tokens after which a text is cut off; by default those that the model reads.

    Raises:
        UsageError: there is no such model or layer.
    """

    def __init__(
        self,
        context: Context,
        model: str | Path,
        layers: Sequence[int] = (-1,),
        pooling: Pooling = "mean",
        *,
        revision: str | None = None,
        dtype: Dtype = "auto",
        max_length: int | None = None,
    ) -> None:
        self.context = context
        self.folder = download_model(str(model), revision, context.offline)
        self.pooling = pooling
        self.dtype: Dtype = dtype
        self.asked = max_length
        config = _text_config(self.folder)
        self.layers = tuple(check_layers(layers, int(config.num_hidden_layers)))
        self.cache = ContentCache(
            context,
            "spaniel-neural/hidden-states",
            {"layers": list(self.layers), "pooling": pooling, "max_length": max_length, "dtype": dtype},
            {"model": transformer_digest(self.folder, context.store)},
            (len(self.layers), int(config.hidden_size)),
            "hidden-states",
        )

    @loaded_property
    def transformer(self) -> Transformer:
        """The model, loaded on first use."""
        return load_for(self.context, self.folder, dtype=self.dtype)

    def of(self, texts: Sequence[str]) -> Kept:
        """Return the states of texts, memory-mapped; a text without a single token has zeros."""
        return self.cache.rows(content_keys(texts), lambda places: self._run([texts[place] for place in places]))

    def _run(self, texts: list[str]) -> NDArray[Any]:
        length = self.transformer.max_length(self.asked)
        tokens = tokenize(self.transformer.tokenizer, texts, max_length=length)
        rows, calls = run_batches(
            self.transformer, tokens, self._pool, self.context.batch_size, output_hidden_states=True
        )
        self.context.count("model calls", calls)
        self.context.count("tokens", len(tokens.ids))
        self.context.count("texts encoded", len(texts))
        return rows if calls else np.zeros((len(texts), *self.cache.shape), np.float32)

    def _pool(self, output: Any, batch: Batch) -> Any:
        states = output.get("encoder_hidden_states") or output.get("hidden_states")
        return pool_layers(
            [states[layer].float() for layer in self.layers], range(len(self.layers)), batch.lengths, self.pooling
        )


def _text_config(folder: Path) -> Any:
    from transformers import AutoConfig

    know_family(folder)
    try:
        return AutoConfig.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True).get_text_config()
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().split("\n")[0]
        raise UsageError(f"the model in {folder} cannot be loaded: {reason}") from error
