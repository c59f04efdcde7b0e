"""The component: a model of transformers under the protocol of language models."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError
from spaniel.observe import loaded_property
from spaniel_neural.loading import Transformer, load_for

from spaniel_lm.capabilities import check_pairs, require, wanted_for
from spaniel_lm.config import LocalConfig
from spaniel_lm.local.source import Source
from spaniel_lm.protocol import (
    Answer,
    Capability,
    Constraint,
    Continuation,
    Generation,
    Message,
    Processor,
    Prompt,
    Scored,
)
from spaniel_lm.tokenizer import Tokenizer

if TYPE_CHECKING:
    from spaniel import Context

    from spaniel_lm.local.answering import Answering
    from spaniel_lm.local.decoder import Decoder

BATCH_TOKENS = {"cpu": 4096}
"""Tokens of a batch, by type of device; elsewhere :data:`MANY`."""
MANY = 65_536


class LocalModel:
    """Any causal, masked or sequence-to-sequence model of transformers.

    Prompts of like length are read together; what all prompts of a call begin with is read once; and a prompt that comes
    several times is answered once. None of it changes an answer beyond rounding.
    """

    def __init__(self, config: LocalConfig, context: Context) -> None:
        self.config = config
        self.context = context
        self.name = config.model
        self.source = Source(config, context)

    # What it is

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the kind of model allows, and chats where its tokenizer has a template."""
        return self.source.capabilities

    @property
    def task(self) -> str:
        """``causal-lm``, ``masked-lm`` or ``seq2seq``."""
        return self.source.task

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the digest of the weights and what else decides the answers."""
        return self.source.fingerprint()

    @cached_property
    def transformer(self) -> Transformer:
        """The model itself, loaded on first use."""
        with self.context.stage(f"load {self.name}", phase="load"):
            return load_for(self.context, self.source.folder, self.task, dtype=self.config.dtype)  # type: ignore[arg-type]

    @loaded_property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        return Tokenizer(self.transformer.tokenizer)

    @cached_property
    def decoder(self) -> Decoder:
        """What reads on, token by token."""
        from spaniel_lm.local.decoder import Decoder

        said, config = self.transformer.model.generation_config, self.transformer.model.config
        if self.task != "seq2seq":
            return Decoder(self.transformer)
        start = _first(said.decoder_start_token_id, getattr(config, "decoder_start_token_id", None), said.bos_token_id)
        if start is None:
            raise UsageError(f"{self.source.folder} does not say with which token its decoder starts")
        forced = getattr(said, "forced_bos_token_id", None)
        return Decoder(self.transformer, [int(start), *([int(forced)] if forced is not None else [])])

    @cached_property
    def answering(self) -> Answering:
        """What makes answers."""
        from spaniel_lm.local.answering import Answering

        return Answering(self.decoder, self.tokenizer, self.context.seed, self.batch_tokens, self.context.batch_size)

    @cached_property
    def window(self) -> int | None:
        """Tokens that a prompt and its answer may have together; ``None`` where there is no limit."""
        return self.transformer.max_length(self.config.window)

    # What it does

    def generate(
        self,
        prompts: Sequence[Prompt],
        settings: Generation = Generation(),  # noqa: B008 - frozen
        *,
        processors: Sequence[Processor] = (),
        constraints: Constraint | Sequence[Constraint] | None = None,
        seeds: Sequence[int | None] | None = None,
        waited_for: Callable[[int], bool] | None = None,
    ) -> list[Answer]:
        """Return one answer a prompt; see :class:`spaniel_lm.protocol.LanguageModel`.

        Args:
            prompts: as there.
            settings: as there.
            processors: as there.
            constraints: as there.
            seeds: one a prompt, for what is drawn, instead of the settings' one.
            waited_for: asked before each token, and before each batch, whether anybody still waits for the answer to a
                prompt, by its place; what nobody waits for is left as it is. Beams do not ask.
        """
        require(self, *wanted_for(prompts, settings, processors, constraints))
        bound = (
            constraints if constraints is None or isinstance(constraints, Sequence) else [constraints] * len(prompts)
        )
        if bound is not None and len(bound) != len(prompts):
            raise UsageError(f"{len(prompts)} prompts and {len(bound)} constraints")
        ids = self._checked(prompts, settings.max_tokens)
        drawn = [settings.seed] * len(ids) if seeds is None or settings.temperature == 0 else seeds
        keys = [(tuple(row), id(bound[at]) if bound is not None else 0, drawn[at]) for at, row in enumerate(ids)]
        same: dict[Any, list[int]] = {}
        for at, key in enumerate(keys):
            same.setdefault(key, []).append(at)
        first = {key: places[0] for key, places in same.items()}
        asked = list(first.values())
        chosen = None if bound is None else [bound[at] for at in asked]
        with self._counted(len(asked), sum(len(ids[at]) for at in asked)):
            still = None if waited_for is None else _of_any(waited_for, list(same.values()))
            answers = self.answering.answers(
                [ids[at] for at in asked], settings, processors, chosen, [drawn[at] for at in asked], still
            )
        made = dict(zip(asked, answers, strict=True))
        self.context.count("answer tokens", sum(len(a.tokens) for one in answers for a in (one, *one.others)))
        return [made[first[key]] for key in keys]

    def logprobs(self, prompts: Sequence[Prompt], continuations: Sequence[Continuation]) -> list[Scored]:
        """Score one continuation a prompt; a prompt that comes several times is read once.

        A masked model scores them in the place of the prompt's mask token; see :func:`spaniel_lm.local.scoring.fill`.
        """
        from spaniel_lm.local.scoring import fill, score

        require(self, *wanted_for(prompts))
        check_pairs(prompts, continuations)
        tokens = self.tokenizer.plain(continuations)
        check_pairs(prompts, tokens)
        ids = self._checked(prompts, max(map(len, tokens), default=0))
        pairs, size = list(zip(ids, tokens, strict=True)), self.context.batch_size
        distinct = set(map(tuple, ids))
        with self._counted(len(distinct), sum(map(len, distinct))):
            if self.task == "masked-lm":
                values = fill(self.transformer, pairs, self._mask, self.batch_tokens, size)
            else:
                values = score(self.decoder, pairs, self.batch_tokens, size)
        self.context.count("answer tokens", sum(map(len, tokens)))
        return [Scored(value, tuple(one), len(prompt)) for value, one, prompt in zip(values, tokens, ids, strict=True)]

    def next_logits(self, prompts: Sequence[Prompt]) -> NDArray[np.float32]:
        """Return the logits of the next token, or of the masked one: ``(prompts, vocabulary)`` float32."""
        from spaniel_neural.batching import batch_by_length

        from spaniel_lm.local.scoring import masked_logits

        require(self, "next-logits", *wanted_for(prompts)[1:])
        ids = self._checked(prompts, 0)
        size = int(self.transformer.model.config.get_text_config().vocab_size)
        made = np.empty((len(ids), size), np.float32)
        distinct = list(dict.fromkeys(map(tuple, ids)))
        rows: dict[tuple[int, ...], Any] = {}
        with self._counted(len(distinct), sum(map(len, distinct))):
            if self.task == "masked-lm":
                for key in distinct:
                    if key.count(self._mask) != 1:
                        raise UsageError(
                            f"a masked model's prompt has its mask token once, not {key.count(self._mask)} times"
                        )
                logits = masked_logits(
                    self.transformer, [*map(list, distinct)], self._mask, self.batch_tokens, self.context.batch_size
                )
                rows = {key: value[0].cpu().numpy() for key, value in zip(distinct, logits, strict=True)}
            else:
                with self.decoder.sharing(distinct):
                    lengths = np.array([len(key) for key in distinct], np.int64)
                    for batch in batch_by_length(lengths, self.batch_tokens, self.context.batch_size):
                        values = self.decoder.begin([distinct[at] for at in batch])[1].cpu().numpy()
                        rows |= {distinct[at]: value for at, value in zip(batch, values, strict=True)}
        for at, row in enumerate(ids):
            made[at] = rows[tuple(row)]
        return made

    def hidden(self, prompts: Sequence[Prompt], layers: Sequence[int]) -> list[NDArray[np.float32]]:
        """Return ``(layers, tokens, dimensions)`` float32 a prompt; of a model with an encoder, the encoder's."""
        from spaniel_lm.local.reading import read

        require(self, "hidden-states", *wanted_for(prompts)[1:])
        ids = self._checked(prompts, 0)
        made: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(ids)
        model = self.transformer.model
        called = model.get_encoder() if self.task == "seq2seq" else model.base_model
        with self._counted(len(ids), sum(map(len, ids))):
            parts = read(
                self.transformer, ids, self.batch_tokens, self.context.batch_size, called, output_hidden_states=True
            )
            for places, _, output in parts:
                states = output.hidden_states
                wrong = [layer for layer in layers if not -len(states) <= layer < len(states)]
                if wrong:
                    raise UsageError(
                        f"there is no layer {wrong[0]}; {self.name} has 0 (embeddings) to {len(states) - 1}"
                    )
                for row, at in enumerate(places):
                    chosen = [states[layer][row, : len(ids[at])].float().cpu().numpy() for layer in layers]
                    made[at] = (
                        np.stack(chosen) if chosen else np.empty((0, len(ids[at]), states[0].shape[-1]), np.float32)
                    )
        return made

    def render(self, chat: Sequence[Message]) -> str:
        """Return a chat as the model's template writes it."""
        require(self, "chat")
        return self.tokenizer.render(chat)

    def count_tokens(self, prompts: Sequence[Prompt]) -> NDArray[np.int64]:
        """Return how many tokens each prompt has."""
        return self.tokenizer.count(prompts)

    def cut(self, texts: Sequence[str], tokens: Sequence[int]) -> list[str]:
        """Return the beginning of each text that has so many tokens at most."""
        return self.tokenizer.cut(texts, tokens)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token numbers of each text by itself."""
        return self.tokenizer.plain(texts)

    @contextmanager
    def prefix(self, prompt: Prompt) -> Iterator[None]:
        """Keep what the model computes of a prompt's tokens; calls inside whose prompts begin so go on from there."""
        require(self, "prefix", *wanted_for([prompt])[1:])
        with self.decoder.holding(self._checked([prompt], 0)[0]):
            yield

    # How

    def _checked(self, prompts: Sequence[Prompt], answer: int) -> list[list[int]]:
        ids = self.tokenizer.ids(prompts)
        most = self.window
        kept = 0 if self.task == "seq2seq" else answer
        for at, row in enumerate(ids):
            if most is not None and len(row) + kept > most:
                also = f" and its answer may have {kept} more" if kept else ""
                raise UsageError(f"prompt {at} has {len(row)} tokens{also}; {self.name} reads {most} together")
        return ids

    @property
    def batch_tokens(self) -> int:
        """Tokens of a batch at most, padding included."""
        return self.config.batch_tokens or BATCH_TOKENS.get(self.transformer.device.type, MANY)

    @property
    def _mask(self) -> int:
        mask = self.transformer.tokenizer.mask_token_id
        if mask is None:
            raise UsageError(f"the tokenizer of {self.source.folder} has no mask token")
        return int(mask)

    @contextmanager
    def _counted(self, calls: int, tokens: int) -> Iterator[None]:
        began = time.perf_counter()
        with (
            self.context.stage(f"read by {self.name}", calls, "prompts"),
            self.context.following(calls, self.context.advance),
        ):
            yield
        self.context.finished(calls)
        self.context.count("model calls", calls)
        self.context.count("prompt tokens", tokens)
        self.context.count("model seconds", time.perf_counter() - began)


def _of_any(waited_for: Callable[[int], bool], places: Sequence[Sequence[int]]) -> Callable[[int], bool]:
    return lambda at: any(map(waited_for, places[at]))


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
