"""A transformer's token vectors, run in batches of texts of like length."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from spaniel import UsageError
from spaniel.data import MultiVectors
from spaniel_neural.batching import Tokens, batches, tokenize
from spaniel_neural.loading import load_for

from spaniel_rerankers.config import TokenEncoderConfig
from spaniel_rerankers.token_layout import Expansion, TokenLayout

if TYPE_CHECKING:
    from spaniel import Context

_TINY = 1e-12


class TokenTransformer:
    """Runs a model whose vectors are its last layer's, projected and scaled where the model says so.

    Raises:
        UsageError: the folder's model cannot be loaded, or an option does not suit it.
    """

    def __init__(self, layout: TokenLayout, config: TokenEncoderConfig, context: Context) -> None:
        self.context = context
        self.layout = layout
        self.normalizes = layout.normalizes if config.normalize == "auto" else config.normalize
        self.precision = np.dtype(config.precision)
        self.transformer = load_for(context, layout.transformer, dtype=config.dtype)
        self.projections = [_read_projection(path, self.transformer.device) for path in layout.projections]
        self.expansion = layout.expansion
        if config.query_length != "auto":
            self.expansion = Expansion(config.query_length) if config.query_length > 0 else None
        roles = ("query", "document")
        self.max_length = {
            role: self.transformer.max_length(config.max_length, layout.lengths.get(role)) for role in roles
        }
        words = dict(layout.skipped)
        if config.skip_punctuation != "auto":
            words["document"] = tuple(string.punctuation) if config.skip_punctuation else ()
        self._skipped = {role: self._numbers(words.get(role, ())) for role in roles}

    @property
    def dimensions(self) -> int:
        """Number of dimensions of a vector."""
        return int(self.projections[-1][0].shape[0]) if self.projections else self.transformer.hidden_size

    def embed(self, texts: Sequence[str], prompt: str, role: str) -> MultiVectors:
        """Return the vectors of each text, one a token that counts."""
        prompted = [(prompt + text).lower() if self.layout.lowercase else prompt + text for text in texts]
        expansion = self.expansion if role == "query" else None
        limit = self.max_length[role]
        if expansion is not None:
            limit = expansion.length if expansion.cuts else max(limit or 0, expansion.length) or None
        tokens = tokenize(self.transformer.tokenizer, prompted, max_length=limit)
        real = tokens.lengths
        if expansion is not None:
            tokens = self._fill_up(tokens, expansion)
        # A token that fills up counts, whatever it is.
        counted = ~np.isin(tokens.ids, self._skipped[role]) | _beyond(tokens, real)
        ends = np.concatenate([[0], np.cumsum(counted)])
        offsets = np.concatenate([[0], ends[tokens.offsets + tokens.lengths]]).astype(np.int64)
        values = np.empty((int(offsets[-1]), self.dimensions), self.precision)
        calls = 0
        with torch.inference_mode(), self.transformer.autocast():
            for batch in batches(self.transformer, tokens, self.context.batch_size):
                columns = np.arange(batch.inputs["input_ids"].shape[1])
                inputs = dict(batch.inputs)
                if expansion is not None and not expansion.attends:
                    seen = (columns < real[batch.positions, None]).astype(np.int64)
                    inputs["attention_mask"] = torch.from_numpy(seen).to(self.transformer.device)
                made = self._finish(self.transformer.model(**inputs).last_hidden_state.float()).cpu().numpy()
                inside = columns < tokens.lengths[batch.positions, None]
                place = np.where(inside, tokens.offsets[batch.positions, None] + columns, 0)
                kept = inside & counted[place]
                values[ends[place[kept]]] = made[kept]
                calls += 1
        self.context.count("model calls", calls)
        self.context.count("tokens", len(tokens.ids))
        return MultiVectors(offsets, values, "cosine" if self.normalizes else "dot")

    def _finish(self, hidden: torch.Tensor) -> torch.Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            for weight, bias in self.projections:
                hidden = torch.nn.functional.linear(hidden, weight, bias)
            return torch.nn.functional.normalize(hidden, dim=-1, eps=_TINY) if self.normalizes else hidden

    def _fill_up(self, tokens: Tokens, expansion: Expansion) -> Tokens:
        tokenizer: Any = self.transformer.tokenizer
        number = tokenizer.convert_tokens_to_ids(expansion.token) if expansion.token else tokenizer.mask_token_id
        number = tokenizer.eos_token_id if number is None else number
        if number is None:
            raise UsageError(
                f"{self.layout.folder}: its tokenizer has no [MASK] to fill queries up with; query_length=0"
            )
        lengths = np.maximum(tokens.lengths, expansion.length)
        starts = np.cumsum(lengths) - lengths
        ids = np.full(int(lengths.sum()), number, np.int64)
        shift = np.repeat(starts - tokens.offsets, tokens.lengths)
        ids[np.arange(len(tokens.ids)) + shift] = tokens.ids
        return replace(tokens, ids=ids, lengths=lengths)

    def _numbers(self, words: Sequence[str]) -> NDArray[np.int64]:
        tokenizer: Any = self.transformer.tokenizer
        found = [tokenizer.convert_tokens_to_ids(word) for word in words]
        unknown = tokenizer.unk_token_id
        return np.array([number for number in found if number is not None and number != unknown], np.int64)


def _beyond(tokens: Tokens, real: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which tokens were added behind a text's own."""
    place = np.arange(len(tokens.ids)) - np.repeat(tokens.offsets, tokens.lengths)
    added: NDArray[np.bool_] = place >= np.repeat(real, tokens.lengths)
    return added


def _read_projection(folder: Path, device: torch.device) -> tuple[torch.Tensor, torch.Tensor | None]:
    path = folder / "model.safetensors"
    try:
        tensors = load_file(path)
        bias = tensors.get("linear.bias")
        return tensors["linear.weight"].float().to(device), None if bias is None else bias.float().to(device)
    except (OSError, KeyError, SafetensorError) as error:
        raise UsageError(f"{path} holds no linear layer: {error}") from error
