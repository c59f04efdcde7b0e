"""What is asked → jobs of the model → what is sent back."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from reprlib import repr as shown
from typing import Any, NamedTuple, TypeVar

from spaniel import UsageError

from spaniel_lm.local.model import LocalModel
from spaniel_lm.protocol import Answer, Generation, Prompt, Scored
from spaniel_lm.serving import reading, wire
from spaniel_lm.serving.limits import Limits
from spaniel_lm.serving.refusal import Refusal
from spaniel_lm.serving.worker import Job, Worker, guarded
from spaniel_lm.tokenizer import Tokenizer

T = TypeVar("T")
_DEFAULT_TOKENS = {True: 256, False: 16}
"""``max_tokens`` of a chat, and of a completion, where they are left open."""


class _Text(NamedTuple):
    """A prompt that is wanted back: its tokens, the character at which each begins, and the text; or tokens alone."""

    ids: list[int]
    starts: list[int] | None
    text: str | None


class _Read(NamedTuple):
    """A request, as tokens; with texts where the prompts are wanted back."""

    prompts: list[list[int]]
    settings: Generation | None
    texts: list[_Text]
    logprobs: bool


class Answers:
    """Makes answers to bodies.

    Bodies are read, and answers written, in a thread beside the model's and the server's, so that neither waits for long texts.

    Args:
        model: what answers; loaded.
        name: under which clients ask for it.
        limits: of the server.
    """

    def __init__(self, model: LocalModel, name: str, limits: Limits) -> None:
        self.model, self.name, self.limits = model, name, limits
        self.worker = Worker(model, batch_tokens=model.batch_tokens)
        # A tokenizer of its own: they must not be used by two threads at once.
        self.tokenizer = Tokenizer(copy.deepcopy(model.tokenizer.raw))
        self._clerk = ThreadPoolExecutor(1, "reading")

    async def answer(self, body: bytes, chat: bool) -> bytes:
        """Return the answer to a body.

        Raises:
            Refusal: it is no request that can be answered, or takes too long.
            Stopped: the worker ends.
        """
        read = await self._aside(lambda: self._read(body, chat))
        if read.settings is None:
            scored = [self.worker.logprobs(ids[:1], ids[1:]) for ids in read.prompts if len(ids) > 1]
            values = await self._made(scored)
            return await self._aside(lambda: self._scores(read, values))
        settings = read.settings
        answers = await self._made([self.worker.generate(tuple(ids), settings) for ids in read.prompts])
        return await self._aside(lambda: self._answers(read, answers, chat))

    def close(self, seconds: float) -> bool:
        """End the threads; return whether the model's ended within so many seconds."""
        self._clerk.shutdown(wait=False, cancel_futures=True)
        return self.worker.close(seconds)

    async def _aside(self, run: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._clerk, guarded, run)

    async def _made(self, jobs: Sequence[Job]) -> list[Any]:
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await asyncio.gather(*(asyncio.wrap_future(job.future) for job in jobs))
        except TimeoutError:
            words = f"there was no whole answer within {self.limits.seconds:g} seconds"
            if any(job.has_begun for job in jobs):
                raise Refusal(words, 504, code="timeout") from None
            raise Refusal(words, 503, code="timeout", after=1) from None
        finally:
            for job in jobs:
                self.worker.drop(job)

    # Reading

    def _read(self, body: bytes, chat: bool) -> _Read:
        asked = reading.read(reading.parse(body), chat, self.limits)
        if asked.model is not None and asked.model != self.name:
            words = f"there is no model {shown(asked.model)}; there is {self.name}"
            raise Refusal(words, 404, param="model", code="model_not_found")
        field = "messages" if chat else "prompt"
        try:
            texts = [self._text(prompt) for prompt in asked.prompts] if asked.echo else []
            prompts = [one.ids for one in texts] or self.tokenizer.ids(asked.prompts)
            most = self._checked(prompts, asked, field)
            settings = Generation(
                max_tokens=most,
                temperature=asked.temperature,
                top_p=asked.top_p,
                top_k=asked.top_k,
                returns=asked.n,
                stop=asked.stop,
                seed=asked.seed,
            )
        except UsageError as error:
            raise Refusal(str(error), param=field) from error
        return _Read(prompts, None if asked.echo else settings, texts, asked.logprobs)

    def _text(self, prompt: Prompt) -> _Text:
        if isinstance(prompt, str):
            ids, starts = self.tokenizer.spans(prompt)
            return _Text(ids, starts, prompt)
        return _Text(self.tokenizer.ids([prompt])[0], None, None)

    def _checked(self, prompts: Sequence[Sequence[int]], asked: reading.Asked, field: str) -> int:
        """Return ``max_tokens``, where prompts and answers have room."""
        limits, window = self.limits, self.model.window
        longest = max(map(len, prompts))
        if longest > limits.prompt_tokens:
            words = f"a prompt has {longest} tokens: at most {limits.prompt_tokens} on this server"
            raise Refusal(words, param=field, code="context_length_exceeded")
        room = limits.answer_tokens
        if window is not None:
            room = min(room, window - (0 if self.model.task == "seq2seq" else longest))
        given = asked.max_tokens
        if window is not None and longest + (1 if given is None else given) > window and room < (given or 1):
            also = f" and its answer may have {given} more" if given else ""
            words = f"a prompt has {longest} tokens{also}; {self.name} reads {window} together"
            raise Refusal(words, param=field, code="context_length_exceeded")
        most = given if given is not None else min(_DEFAULT_TOKENS[field == "messages"], room)
        total = asked.n * (sum(map(len, prompts)) + len(prompts) * most)
        if total > limits.request_tokens:
            words = (
                f"prompts and answers may have {total} tokens, n times: at most {limits.request_tokens} on this server"
            )
            raise Refusal(words, param=field, code="request_too_large")
        return max(1, most)

    # Writing

    def _answers(self, read: _Read, answers: Sequence[Answer], chat: bool) -> bytes:
        flat = [one for answer in answers for one in (answer, *answer.others)]
        choice = wire.chat_choice if chat else wire.text_choice
        pieces = [self.tokenizer.pieces(one.tokens) if read.logprobs else None for one in flat]
        choices = [choice(at, one, parts) for at, (one, parts) in enumerate(zip(flat, pieces, strict=True))]
        prompt, made = sum(one.prompt_tokens for one in answers), sum(one.answer_tokens for one in flat)
        kind = "chat.completion" if chat else "text_completion"
        return wire.to_bytes(wire.envelope(kind, self.name, choices, prompt, made))

    def _scores(self, read: _Read, scored: Sequence[Scored]) -> bytes:
        following = iter(scored)
        choices = []
        for at, (ids, starts, text) in enumerate(read.texts):
            values = next(following).logprobs.tolist() if len(ids) > 1 else []
            if starts is not None and text is not None:
                ends = [*starts[1:], len(text)]
                pieces = [text[start:end] for start, end in zip(starts, ends, strict=True)]
            else:
                pieces = self.tokenizer.pieces(ids)
                starts, text = [sum(map(len, pieces[:place])) for place in range(len(pieces))], "".join(pieces)
            table = wire.token_table(pieces, [None, *values], starts) if read.logprobs else None
            choices.append({"index": at, "text": text, "logprobs": table, "finish_reason": "length"})
        total = sum(map(len, read.prompts))
        return wire.to_bytes(wire.envelope("text_completion", self.name, choices, total, 0))
