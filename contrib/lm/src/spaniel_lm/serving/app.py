"""The server: chat completions, completions with echo and log-probabilities, and the list of models."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections import OrderedDict
from functools import partial
from typing import Any

from spaniel import SpanielError, UsageError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from spaniel_lm.local.model import LocalModel
from spaniel_lm.protocol import Answer
from spaniel_lm.serving import wire
from spaniel_lm.serving.worker import Worker

LARGEST = 2**22
"""Bytes of a request at most."""
REMEMBERED = 1024
"""Answers kept for requests that are sent again under the same idempotency key."""


class Service:
    """A local model behind the protocol.

    Args:
        model: what answers.
        name: under which clients ask for it.
        key: that clients must send; empty for none.
    """

    def __init__(self, model: LocalModel, name: str, key: str = "") -> None:
        self.model, self.name, self.key = model, name, key
        self.worker = Worker(model)
        self._answered: OrderedDict[str, asyncio.Task[tuple[int, Any]]] = OrderedDict()

    def app(self) -> Starlette:
        """Return the application."""
        return Starlette(
            routes=[
                Route("/v1/models", self.models, methods=["GET"]),
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
                Route("/v1/completions", self.completions, methods=["POST"]),
            ]
        )

    async def models(self, request: Request) -> Response:
        """List the one model."""
        refused = self._refuse(request)
        entry = {"id": self.name, "object": "model", "created": 0, "owned_by": "spaniel"}
        return refused or JSONResponse({"object": "list", "data": [entry]})

    async def chat(self, request: Request) -> Response:
        """Answer a chat."""
        return await self._respond(request, True)

    async def completions(self, request: Request) -> Response:
        """Go on with texts, or score them."""
        return await self._respond(request, False)

    def _refuse(self, request: Request) -> Response | None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.key and not hmac.compare_digest(given.encode(), self.key.encode()):
            return JSONResponse(wire.failure("the key is missing or wrong", "authentication_error"), 401)
        return None

    async def _respond(self, request: Request, chat: bool) -> Response:
        refused = self._refuse(request)
        if refused is not None:
            return refused
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > LARGEST:
                return JSONResponse(wire.failure(f"a request has at most {LARGEST} bytes"), 413)
        key = request.headers.get("idempotency-key", "")
        task = self._answered.get(key) if key else None
        if task is None:
            task = asyncio.create_task(self._answer(body, chat))
            if key:
                self._answered[key] = task
                while len(self._answered) > REMEMBERED:
                    self._answered.popitem(last=False)
        # The work goes on where the client has gone, so that it finds it when it comes back.
        status, content = await asyncio.shield(task)
        return JSONResponse(content, status)

    async def _answer(self, body: bytes, chat: bool) -> tuple[int, Any]:
        try:
            content = json.loads(body)
            asked = wire.read(content, chat)
            named = content.get("model", self.name)
            if named != self.name:
                return 404, wire.failure(f"there is no model {named!r}; there is {self.name}")
            if asked.echo:
                return 200, await self._echo(asked)
            return 200, await self._generate(asked, chat)
        except (wire.BadRequest, UsageError, ValueError, RecursionError) as error:
            return 400, wire.failure(str(error))
        except SpanielError as error:
            return 500, wire.failure(str(error), "server_error")

    async def _generate(self, asked: wire.Asked, chat: bool) -> dict[str, Any]:
        futures = [self.worker.generate(prompt, asked.settings) for prompt in asked.prompts]
        answers = await asyncio.gather(*map(asyncio.wrap_future, futures))
        flat: list[Answer] = [one for answer in answers for one in (answer, *answer.others)]
        choice = wire.chat_choice if chat else wire.text_choice
        pieces = [self.model.tokenizer.pieces(one.tokens) if asked.logprobs else None for one in flat]
        choices = [choice(at, one, parts) for at, (one, parts) in enumerate(zip(flat, pieces, strict=True))]
        prompt, made = sum(one.prompt_tokens for one in answers), sum(one.answer_tokens for one in flat)
        return wire.envelope("chat.completion" if chat else "text_completion", self.name, choices, prompt, made)

    async def _echo(self, asked: wire.Asked) -> dict[str, Any]:
        choices, total = [], 0
        split = []
        for prompt in asked.prompts:
            if isinstance(prompt, str):
                ids, starts = await asyncio.wrap_future(self.worker.call(partial(self.model.tokenizer.spans, prompt)))
                text = prompt
            else:
                ids, text = list(prompt), ""
                self.model.tokenizer.ids([ids])
                starts = []
            split.append((ids, starts, text))
        futures = [self.worker.logprobs(ids[:1], ids[1:]) if len(ids) > 1 else None for ids, _, _ in split]
        for at, ((ids, starts, text), future) in enumerate(zip(split, futures, strict=True)):
            values = (await asyncio.wrap_future(future)).logprobs.tolist() if future is not None else []
            if text:
                ends = [*starts[1:], len(text)]
                pieces = [text[start:end] for start, end in zip(starts, ends, strict=True)]
            else:
                pieces = self.model.tokenizer.pieces(ids)
                starts = [sum(map(len, pieces[:place])) for place in range(len(pieces))]
            table = wire.token_table(pieces, [None, *values], starts) if asked.logprobs else None
            choices.append({"index": at, "text": text or "".join(pieces), "logprobs": table, "finish_reason": "length"})
            total += len(ids)
        return wire.envelope("text_completion", self.name, choices, total, 0)


def serve(model: LocalModel, name: str, host: str, port: int, key: str = "") -> None:
    """Serve a model until the process is told to end; load it first.

    Raises:
        UsageError: the address cannot be had.
    """
    import socket

    import uvicorn

    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise UsageError(f"cannot serve at {host}:{port}: {error.strerror or error}") from error
    service = Service(model, name, key)
    service.worker.call(lambda: model.transformer).result()
    import click

    place = f"[{host}]" if ":" in host else host
    click.echo(f"{name} is served at http://{place}:{listener.getsockname()[1]}/v1")
    try:
        uvicorn.Server(uvicorn.Config(service.app(), log_level="warning")).run(sockets=[listener])
    finally:
        service.worker.close()
        listener.close()
