"""A model that reads on: prompts once, then token after token, on what it has kept of those before."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from spaniel import UsageError
from spaniel_neural.loading import Transformer
from torch import Tensor

SHARED = 16
"""Tokens that prompts must begin with together for these to be computed once."""


@dataclass(eq=False)
class State:
    """What is kept of rows that were read.

    Attributes:
        cache: keys and values, of transformers.
        mask: ``(rows, read)`` int64, 1 for a token and 0 for padding; ``None`` where nothing is padded.
        positions: ``(rows,)`` int64, the position of each row's next token.
        encoded: states of the encoder, ``(rows, tokens, dimensions)``, and their mask, of a model that has one.
    """

    cache: Any
    mask: Tensor | None
    positions: Tensor
    encoded: tuple[Tensor, Tensor] | None = None

    def select(self, rows: Tensor) -> None:
        """Keep some rows, in another order or several times."""
        self.cache.batch_select_indices(rows)
        self.positions = self.positions[rows]
        if self.mask is not None:
            self.mask = self.mask[rows]
        if self.encoded is not None:
            self.encoded = (self.encoded[0][rows], self.encoded[1][rows])


@dataclass(frozen=True, eq=False)
class Held:
    """A beginning that several prompts share: its tokens, and what the model has kept of them."""

    tokens: list[int]
    cache: Any


class Decoder:
    """Runs a causal model, or a sequence-to-sequence one, on its cache.

    Args:
        transformer: the model.
        starts: tokens that a decoder begins with, for a model that has an encoder.
    """

    def __init__(self, transformer: Transformer, starts: Sequence[int] = ()) -> None:
        self.transformer = transformer
        self.model, self.device = transformer.model, transformer.device
        self.starts = list(starts)
        takes = inspect.signature(self.model.forward).parameters
        # Releases of transformers before 5.2x call it past_key_values, throughout.
        self._cache = "cache" if "cache" in takes else "past_key_values"
        self._keep = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
        self._places = "position_ids" in takes
        self._held: list[Held] = []

    # Beginning

    def begin(self, prompts: Sequence[Sequence[int]]) -> tuple[State, Tensor]:
        """Read prompts; return what is kept, and the logits of each row's next token, ``(rows, vocabulary)`` float32."""
        if self.starts:
            return self._begin_encoded(prompts)
        known, held = self._longest_held(prompts)
        rest = [list(prompt[known:]) for prompt in prompts]
        width = max(map(len, rest))
        ids = torch.tensor([[self.transformer.padding] * (width - len(row)) + row for row in rest])
        lengths = torch.tensor([len(row) for row in rest])
        read = (torch.arange(width) >= width - lengths[:, None]).long()
        positions = known + (read.cumsum(1) - 1).clamp(min=0)
        padded = bool((read == 0).any())
        mask = torch.cat([torch.ones(len(rest), known, dtype=torch.long), read], 1) if padded else None
        cache = None
        if held is not None:
            cache = copy.deepcopy(held.cache)
            if known < len(held.tokens):
                cache.crop(known - len(held.tokens))
            cache.batch_repeat_interleave(len(rest))
        state = State(cache, self._here(mask), self._here(known + lengths))
        output = self._run(state, self._here(ids), self._here(positions), self._keep)
        return state, output[:, -1].float()

    def _begin_encoded(self, prompts: Sequence[Sequence[int]]) -> tuple[State, Tensor]:
        width = max(map(len, prompts))
        lengths = torch.tensor([len(row) for row in prompts])
        ids = torch.tensor([[*row] + [self.transformer.padding] * (width - len(row)) for row in prompts])
        mask = (torch.arange(width) < lengths[:, None]).long().to(self.device)
        states = self.model.get_encoder()(input_ids=ids.to(self.device), attention_mask=mask).last_hidden_state
        rows = len(prompts)
        starts = torch.tensor([self.starts] * rows, device=self.device)
        state = State(None, None, torch.full((rows,), len(self.starts), device=self.device), (states, mask))
        return state, self._run(state, starts, None, {})[:, -1].float()

    # Going on

    def step(self, state: State, tokens: Tensor) -> Tensor:
        """Read one more token of each row, ``(rows,)``; return the logits of the next, ``(rows, vocabulary)`` float32."""
        return self.extend(state, tokens[:, None])[:, -1]

    def extend(self, state: State, tokens: Tensor) -> Tensor:
        """Read more tokens of each row, ``(rows, n)``; return the logits after each, ``(rows, n, vocabulary)`` float32.

        Rows that have fewer are padded on the right, and not gone on with.
        """
        count = tokens.shape[1]
        if state.mask is not None:
            state.mask = torch.cat([state.mask, state.mask.new_ones(tokens.shape)], 1)
        positions = state.positions[:, None] + torch.arange(count, device=self.device)
        logits = self._run(state, tokens, positions, {})
        state.positions = state.positions + count
        return logits.float()

    def _run(self, state: State, ids: Tensor, positions: Tensor | None, options: dict[str, Any]) -> Tensor:
        inputs: dict[str, Any] = {self._cache: state.cache, "use_cache": True, **options}
        if state.encoded is not None:
            from transformers.modeling_outputs import BaseModelOutput

            states, mask = state.encoded
            inputs |= {"encoder_outputs": BaseModelOutput(last_hidden_state=states), "attention_mask": mask}
            inputs["decoder_input_ids"] = ids
        else:
            inputs["input_ids"] = ids
            if state.mask is not None:
                inputs["attention_mask"] = state.mask
            if self._places:
                inputs["position_ids"] = positions
        with torch.inference_mode(), self.transformer.autocast():
            output = self.model(**inputs)
        state.cache = getattr(output, self._cache)
        if state.cache is None:
            raise UsageError(f"the model in {self.transformer.folder} keeps nothing of what it read, and cannot go on")
        logits: Tensor = output.logits
        return logits

    # Shared beginnings

    @contextmanager
    def holding(self, tokens: Sequence[int]) -> Iterator[None]:
        """Keep what the model computes of a beginning; prompts that share it, or a part of it, go on from there."""
        if self.starts or len(tokens) <= self._longest_held([[*tokens, 0]])[0]:
            yield
            return
        cache = self.begin([tokens])[0].cache
        # Windows that slide count cached places, among which a row's padding would lie.
        whole = all(getattr(layer, "is_croppable", True) and not layer.is_sliding for layer in cache.layers)
        held = [Held(list(tokens), cache)] if whole else []
        self._held += held
        try:
            yield
        finally:
            for one in held:
                self._held.remove(one)

    @contextmanager
    def sharing(self, prompts: Sequence[Sequence[int]]) -> Iterator[None]:
        """Compute once what all prompts begin with, where that is worth it."""
        shared = common_prefix(prompts) if len(prompts) > 1 and not self.starts else 0
        shared = min(shared, min(map(len, prompts), default=1) - 1)
        if shared - self._longest_held(prompts)[0] < SHARED:
            yield
            return
        with self.holding(prompts[0][:shared]):
            yield

    def _longest_held(self, prompts: Sequence[Sequence[int]]) -> tuple[int, Held | None]:
        """Return how many tokens of all prompts are held, their last ones not counted, and what holds them."""
        best: tuple[int, Held | None] = (0, None)
        shortest = min(map(len, prompts), default=1) - 1
        for held in self._held:
            shared = min(common_prefix([held.tokens, *prompts]), shortest)
            if shared > best[0]:
                best = (shared, held)
        return best

    def _here(self, tensor: Any) -> Any:
        return None if tensor is None else tensor.to(self.device)


def common_prefix(rows: Sequence[Sequence[int]]) -> int:
    """Return how many tokens all rows begin with together; the first and the last in order decide."""
    if not rows:
        return 0
    first, last = min(rows, key=list), max(rows, key=list)
    shared = 0
    for one, other in zip(first, last, strict=False):
        if one != other:
            break
        shared += 1
    return shared
