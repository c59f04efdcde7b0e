"""The component: a server under the protocol of language models."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError
from spaniel.observe import loaded_property

from spaniel_lm.capabilities import check_pairs, is_chat, require, wanted_for
from spaniel_lm.config import RemoteConfig
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
from spaniel_lm.remote.parsing import answer, clean, echoed
from spaniel_lm.remote.sending import Request, RequestsFailed, Sender, Tally
from spaniel_lm.tokenizer import Tokenizer, load_tokenizer

if TYPE_CHECKING:
    from spaniel import Context

T = TypeVar("T")
_OVERHEAD = 64
"""Tokens that a server's template may add to a chat."""


class RemoteModel:
    """A server that speaks OpenAI's protocol.

    Every request is answered or named as failed. One that was refused (429, 5xx, no connection) is sent again, later each
    time; one that was answered is not, whatever the answer is like; one that was cut off only with ``resend_unsure``.
    """

    def __init__(self, config: RemoteConfig, context: Context) -> None:
        self.config = config
        self.context = context
        self.name = config.model

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the options say that the server can do."""
        can: set[Capability] = {"generate", "sample"}
        if self.config.api == "chat":
            can |= {"chat", "schema"}
        elif self.config.echo:
            can.add("logprobs")
        if self.config.tokenizer is not None:
            can.add("tokens")
            if self.tokenizer.has_template:
                can.add("chat")
        return frozenset(can)

    @property
    def window(self) -> int | None:
        """What the options say that prompt and answer may have together."""
        return self.config.window

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the server's address, the model's name there, and how it is asked."""
        known = {"url": self.config.url.rstrip("/"), "model": self.config.model, "api": self.config.api}
        return known | ({"body": json.dumps(self._further, sort_keys=True)} if self._further else {})

    @loaded_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that the options name."""
        assert self.config.tokenizer is not None
        return load_tokenizer(self.config.tokenizer, self.context.offline)

    @cached_property
    def sender(self) -> Sender:
        """What sends the requests, with the budget of the session."""
        key = os.environ.get(self.config.key_variable, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise UsageError(f"the key in {self.config.key_variable} has characters that no key has")
        return Sender(self.config, {"Authorization": f"Bearer {key}"} if key else {})

    def generate(
        self,
        prompts: Sequence[Prompt],
        settings: Generation = Generation(),  # noqa: B008 - frozen
        *,
        processors: Sequence[Processor] = (),
        constraints: Constraint | Sequence[Constraint] | None = None,
    ) -> list[Answer]:
        """Return one answer a prompt; a prompt that comes several times is paid for once.

        On the chat interface a text is sent as the one message of a user.

        Raises:
            UsageError: something is asked for that the server cannot do, or that the budget forbids; nothing is sent.
            RequestsFailed: some requests failed; it holds the answers of all others.
        """
        require(self, *wanted_for(prompts, settings, processors, constraints))
        asked = [self._content(prompt, settings) for prompt in prompts]
        path = "chat/completions" if self.config.api == "chat" else "completions"

        def read(content: Any) -> Answer:
            return answer(content, settings)

        most = settings.max_tokens * settings.returns
        return self._send([(path, content, read, _largest(content), most) for content in asked])

    def logprobs(self, prompts: Sequence[Prompt], continuations: Sequence[Continuation]) -> list[Scored]:
        """Score one continuation a prompt, by a completion of nothing that repeats both (``echo``).

        With a tokenizer, token numbers are sent, so that the tokens are those of the continuation by itself; without, the
        server splits the text of both together.
        """
        require(
            self, *wanted_for(prompts), hint="completions of servers that know `echo` can: api=completions, echo=true"
        )
        check_pairs(prompts, continuations)
        requests = []
        for prompt, continuation in zip(prompts, continuations, strict=True):
            before: Any
            whole: Any
            prompt = clean(prompt) if isinstance(prompt, str) else prompt
            continuation = clean(continuation) if isinstance(continuation, str) else continuation
            if self.config.tokenizer is not None:
                before = self.tokenizer.ids([prompt])[0]
                whole = [*before, *self.tokenizer.plain([continuation])[0]]
            elif isinstance(continuation, str) != isinstance(prompt, str):
                raise UsageError("a text and token numbers do not make one prompt: give both alike, or tokenizer=…")
            elif isinstance(prompt, str):
                before, whole = prompt, f"{prompt}{continuation}"
            else:
                before, whole = list(prompt), [*prompt, *continuation]
            content = {
                "model": self.config.model,
                "prompt": whole,
                "max_tokens": 0,
                "echo": True,
                "logprobs": 1,
                "temperature": 0,
            }

            def read(made: Any, before: Any = before, whole: Any = whole) -> Scored:
                return echoed(made, before, whole)

            requests.append(("completions", content, read, _largest(content), 0))
        return self._send(requests)

    def next_logits(self, prompts: Sequence[Prompt]) -> NDArray[np.float32]:
        """Refuse: servers give no logits."""
        require(self, "next-logits")
        raise AssertionError

    def hidden(self, prompts: Sequence[Prompt], layers: Sequence[int]) -> list[NDArray[np.float32]]:
        """Refuse: servers give no hidden states."""
        require(self, "hidden-states")
        raise AssertionError

    def render(self, chat: Sequence[Message]) -> str:
        """Return a chat as the template of the tokenizer writes it."""
        require(self, "tokens", hint="give tokenizer=…")
        return self.tokenizer.render(chat)

    def count_tokens(self, prompts: Sequence[Prompt]) -> NDArray[np.int64]:
        """Return how many tokens each prompt has, by the tokenizer that the options name."""
        require(self, "tokens", hint="give tokenizer=…")
        return self.tokenizer.count(prompts)

    def cut(self, texts: Sequence[str], tokens: Sequence[int]) -> list[str]:
        """Return the beginning of each text that has so many tokens at most."""
        require(self, "tokens", hint="give tokenizer=…")
        return self.tokenizer.cut(texts, tokens)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token numbers of each text by itself."""
        require(self, "tokens", hint="give tokenizer=…")
        return self.tokenizer.plain(texts)

    def prefix(self, prompt: Prompt) -> AbstractContextManager[None]:
        """Refuse: servers keep prefixes as they like."""
        require(self, "prefix")
        raise AssertionError

    @cached_property
    def _further(self) -> dict[str, Any]:
        """Fields of the body that the options give."""
        return json.loads(self.config.body) if self.config.body is not None else {}

    def _content(self, prompt: Prompt, settings: Generation) -> dict[str, Any]:
        """Return a body with what was set: what a server does by itself is not said to it."""
        content: dict[str, Any] = {"model": self.config.model, "max_tokens": settings.max_tokens}
        content |= {"logprobs": True if self.config.api == "chat" else 1} if self.config.answer_logprobs else {}
        content |= {"temperature": settings.temperature}
        content |= {"top_p": settings.top_p} if settings.top_p < 1 else {}
        if settings.temperature > 0:
            content["seed"] = self.context.seed if settings.seed is None else settings.seed
        content |= {"top_k": settings.top_k} if settings.top_k else {}
        content |= {"n": settings.returns} if settings.returns > 1 else {}
        content |= {"stop": list(settings.stop)} if settings.stop else {}
        if settings.schema is not None:
            wanted = {"name": "answer", "strict": True, "schema": json.loads(settings.schema)}
            content["response_format"] = {"type": "json_schema", "json_schema": wanted}
        content = {name: value for name, value in {**content, **self._further}.items() if value is not None}
        if self.config.api == "chat":
            turns = prompt if is_chat(prompt) else [Message("user", self._text(prompt))]
            messages = [{"role": turn[0], "content": clean(turn[1])} for turn in turns]  # type: ignore[index]
            return {**content, "messages": messages}
        rendered = self.tokenizer.ids([prompt])[0] if is_chat(prompt) else prompt
        ids: Any = rendered
        return {**content, "prompt": clean(rendered) if isinstance(rendered, str) else [*map(int, ids)]}

    def _text(self, prompt: Prompt) -> str:
        if isinstance(prompt, str):
            return prompt
        require(self, "tokens", hint="token numbers are sent to completions: api=completions")
        return self.tokenizer.text(prompt)  # type: ignore[arg-type]

    def _send(self, wanted: Sequence[tuple[str, Any, Callable[[Any], T], int, int]]) -> list[T]:
        """Send what is wanted, equal requests once, and count what it came to."""
        from spaniel.store import canonical_json

        names = [canonical_json([path, content]) for path, content, *_ in wanted]
        first = {name: at for at, name in reversed(list(enumerate(names)))}
        chosen = sorted(first.values())
        fixed = frozenset(self._further)
        requests = [Request(wanted[at][0], wanted[at][1], uuid.uuid4().hex, *wanted[at][2:], fixed) for at in chosen]
        place = {at: number for number, at in enumerate(chosen)}
        began = time.perf_counter()
        tally = Tally()
        try:
            made, tally = self.sender.send(requests, self.context.finished)
        except RequestsFailed as error:
            tally = error.tally
            results = [error.results[place[first[name]]] for name in names]
            failed = {failure.at: failure for failure in error.failures}
            spread = [
                replace(failed[number], at=at)
                for at, name in enumerate(names)
                if (number := place[first[name]]) in failed
            ]
            raise RequestsFailed(results, spread, tally) from None
        finally:
            self._count(tally, time.perf_counter() - began)
        return [made[place[first[name]]] for name in names]

    def _count(self, tally: Tally, seconds: float) -> None:
        count = self.context.count
        count("model calls", tally.paid)
        count("prompt tokens", tally.prompt)
        count("answer tokens", tally.answer)
        count("model seconds", seconds)
        if tally.sent > tally.paid:
            count("requests refused", tally.sent - tally.paid)
        cost = self.sender.budget.price(tally.prompt, tally.answer)
        if cost:
            count("cost", cost)


def _largest(content: Mapping[str, Any]) -> int:
    """Return how many tokens a prompt can have at the most: byte-level tokens stand for a byte or more."""
    if "messages" in content:
        return sum(len(turn["content"].encode()) + _OVERHEAD for turn in content["messages"])
    prompt = content["prompt"]
    return len(prompt.encode()) + 1 if isinstance(prompt, str) else len(prompt)
