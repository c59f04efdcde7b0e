"""Answers from a file: the same requests, no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError
from spaniel.observe import loaded_property
from spaniel.store import canonical_json, digest_bytes

from spaniel_lm.capabilities import check_pairs, require, wanted_for
from spaniel_lm.config import ReplayConfig
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
from spaniel_lm.requests import Record, read_records, to_answer, to_scored, wanted_answer, wanted_scores
from spaniel_lm.tokenizer import Tokenizer, load_tokenizer

if TYPE_CHECKING:
    from spaniel import Context


class ReplayModel:
    """Gives the answers that a file holds; a request that is not in it is an error that says which.

    What the answers cost when they were made is counted again.
    """

    def __init__(self, config: ReplayConfig, context: Context) -> None:
        self.config = config
        self.context = context
        self.name = f"replay(path={config.path!r})"

    @property
    def capabilities(self) -> frozenset[Capability]:
        """All that can be looked up; tokens, where a tokenizer is given."""
        can: set[Capability] = {"generate", "sample", "beams", "processors", "logprobs", "chat"}
        if any("schema" in record["request"].get("settings", {}) for record in self.answers.values()):
            can.add("schema")
        return frozenset(can | ({"tokens"} if self.config.tokenizer is not None else set()))

    @property
    def window(self) -> int | None:
        """Not known."""
        return None

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the digest of the file."""
        return {"answers": self.context.store.digest_of(self._path)}

    @property
    def _path(self) -> Path:
        path = Path(self.config.path).expanduser()
        if not path.is_file():
            raise UsageError(f"there is no file of recorded answers {self.config.path!r}")
        return path

    @loaded_property
    def answers(self) -> dict[str, Record]:
        """The records by the digest of their request."""
        return {digest_bytes(canonical_json(record["request"])): record for record in read_records(self._path)}

    @loaded_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that the options name."""
        require(self, "tokens", hint="give tokenizer=…")
        return load_tokenizer(str(self.config.tokenizer), self.context.offline)

    def generate(
        self,
        prompts: Sequence[Prompt],
        settings: Generation = Generation(),  # noqa: B008 - frozen
        *,
        processors: Sequence[Processor] = (),
        constraints: Constraint | Sequence[Constraint] | None = None,
    ) -> list[Answer]:
        """Return the recorded answers.

        Raises:
            UsageError: one is not in the file; nothing is returned.
        """
        require(self, *wanted_for(prompts, settings, processors, constraints))
        if processors:
            raise UsageError("answers under logits processors are never recorded")
        if settings.temperature > 0 and settings.seed is None:
            from dataclasses import replace

            settings = replace(settings, seed=self.context.seed)
        bound = (
            constraints if constraints is None or isinstance(constraints, Sequence) else [constraints] * len(prompts)
        )
        wanted = [
            wanted_answer(prompt, settings, None if bound is None else bound[at]) for at, prompt in enumerate(prompts)
        ]
        return [to_answer(record) for record in self._look_up(wanted)]

    def logprobs(self, prompts: Sequence[Prompt], continuations: Sequence[Continuation]) -> list[Scored]:
        """Return the recorded log-probabilities."""
        check_pairs(prompts, continuations)
        wanted = [wanted_scores(prompt, one) for prompt, one in zip(prompts, continuations, strict=True)]
        return [to_scored(record) for record in self._look_up(wanted)]

    def next_logits(self, prompts: Sequence[Prompt]) -> NDArray[np.float32]:
        """Refuse: logits are not recorded."""
        require(self, "next-logits")
        raise AssertionError

    def hidden(self, prompts: Sequence[Prompt], layers: Sequence[int]) -> list[NDArray[np.float32]]:
        """Refuse: hidden states are not recorded."""
        require(self, "hidden-states")
        raise AssertionError

    def render(self, chat: Sequence[Message]) -> str:
        """Return a chat as the template of the tokenizer writes it."""
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

    def prefix(self, prompt: Prompt) -> AbstractContextManager[None]:
        """Refuse: what is replayed is not computed."""
        require(self, "prefix")
        raise AssertionError

    def _look_up(self, wanted: Sequence[dict[str, Any]]) -> list[Record]:
        keys = [digest_bytes(canonical_json(request)) for request in wanted]
        for key, request in zip(keys, wanted, strict=True):
            if key not in self.answers:
                shown = str(request["prompt"])[:120]
                raise UsageError(f"{self.config.path} holds no answer to this request, with these settings: {shown!r}")
        for key in dict.fromkeys(keys):
            self.context.replay(self.answers[key]["seconds"], self.answers[key]["cost"])
        self.context.count("answers replayed", len(set(keys)))
        return [self.answers[key] for key in keys]
