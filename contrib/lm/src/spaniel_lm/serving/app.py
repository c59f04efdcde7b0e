"""The service: chat completions, completions with echo and log-probabilities, and the list of models."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Mapping
from reprlib import repr as shown
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from spaniel_lm.local.model import LocalModel
from spaniel_lm.serving.admission import Admission
from spaniel_lm.serving.answers import Answers
from spaniel_lm.serving.limits import KEY_CHARACTERS, Limits
from spaniel_lm.serving.refusal import Refusal
from spaniel_lm.serving.worker import Stopped
from spaniel_lm.serving.works import Reply, Work, Works

_METHODS = {"/v1/models": "GET", "/v1/chat/completions": "POST", "/v1/completions": "POST"}
_log = logging.getLogger(__name__)


class Service:
    """A local model behind the protocol.

    Args:
        model: what answers.
        name: under which clients ask for it.
        key: that clients must send; empty for none.
        limits: what they may ask.
    """

    def __init__(self, model: LocalModel, name: str, key: str = "", limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        self.name, self.key, self.limits = name, key, limits
        self.answers = Answers(model, name, limits)
        self.admission = Admission(limits)
        self._works = Works()
        self._bodies: set[asyncio.Timeout] = set()

    def app(self) -> Starlette:
        """Return the application."""
        made = Starlette(
            routes=[
                Route("/v1/models", self.models, methods=["GET", "OPTIONS"]),
                Route("/v1/models/{name:path}", self.model, methods=["GET", "OPTIONS"]),
                Route("/v1/chat/completions", self.chat, methods=["POST", "OPTIONS"]),
                Route("/v1/completions", self.completions, methods=["POST", "OPTIONS"]),
            ],
            exception_handlers={Refusal: _refused, HTTPException: _unknown, Exception: _broken},
        )
        made.router.redirect_slashes = False
        return made

    async def models(self, request: Request) -> Response:
        """List the one model."""
        return self._options(request) or JSONResponse({"object": "list", "data": [self._entry]})

    async def model(self, request: Request) -> Response:
        """Describe the one model."""
        answer = self._options(request)
        named = request.path_params["name"]
        if answer is None and named != self.name:
            raise Refusal(f"there is no model {shown(named)}; there is {self.name}", 404, "model", "model_not_found")
        return answer or JSONResponse(self._entry)

    async def chat(self, request: Request) -> Response:
        """Answer a chat."""
        return self._options(request) or await self._respond(request, True)

    async def completions(self, request: Request) -> Response:
        """Go on with texts, or score them."""
        return self._options(request) or await self._respond(request, False)

    async def stop(self) -> None:
        """Refuse what comes and what waits at once, and what is under way after a while."""
        loop = asyncio.get_running_loop()
        self.admission.is_stopping = True
        self.answers.worker.stop()
        for clock in self._bodies:
            clock.reschedule(loop.time())
        loop.call_later(self.limits.grace, self.answers.worker.stop, True)

    @property
    def _entry(self) -> dict[str, Any]:
        return {"id": self.name, "object": "model", "created": 0, "owned_by": "spaniel"}

    def _options(self, request: Request) -> Response | None:
        """Return what a path offers, where that is asked; refuse who has no key."""
        if request.method == "OPTIONS":
            method = _METHODS.get(request.url.path, "GET")
            return Response(status_code=204, headers={"Allow": f"{method}, {'HEAD, ' * (method == 'GET')}OPTIONS"})
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        sent = given.strip().encode("latin-1") if scheme.lower() == "bearer" else b""
        if self.key and not hmac.compare_digest(sent, self.key.encode()):
            raise Refusal("the key is missing or wrong", 401, code="invalid_api_key")
        return None

    async def _respond(self, request: Request, chat: bool) -> Response:
        _check_headers(request.headers, self.limits)
        key = request.headers.get("idempotency-key", "")
        address = request.client.host if request.client is not None else ""
        with self.admission.admitted(address):
            try:
                body = await self._body(request)
            except ClientDisconnect:
                return Response(status_code=400)
            work = self._work(key, body, chat)
            gone = asyncio.ensure_future(_until_gone(request))
            try:
                reply = await work.wait(gone)
            finally:
                gone.cancel()
        if reply is None:
            return Response(status_code=400)  # that nobody reads
        return Response(reply.body, reply.status, reply.headers, "application/json")

    async def _body(self, request: Request) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(self.limits.body_seconds) as clock:
                self._bodies.add(clock)
                try:
                    async for part in request.stream():
                        body += part
                        if len(body) > self.limits.body:
                            raise _too_large(self.limits)
                finally:
                    self._bodies.remove(clock)
        except TimeoutError:
            if self.admission.is_stopping:
                raise self.admission.stopping() from None
            words = f"the body was not whole within {self.limits.body_seconds:g} seconds"
            raise Refusal(words, 408, code="timeout") from None
        return bytes(body)

    def _work(self, key: str, body: bytes, chat: bool) -> Work:
        if not key:
            return Work(self._answer(body, chat))
        digest = hashlib.sha256(b"chat " + body if chat else b"text " + body).digest()
        work = self._works.find(key, digest)
        if work is None:
            work = Work(self._answer(body, chat))
            self._works.keep(key, digest, work)
        return work

    async def _answer(self, body: bytes, chat: bool) -> Reply:
        try:
            return Reply(200, await self.answers.answer(body, chat), {})
        except Refusal as refusal:
            refused = refusal
        except Stopped:
            refused = self.admission.stopping()
        except Exception as error:
            # The model's fault, or ours: the client learns that there is one, the server's log which.
            _log.exception("a request was not answered")
            refused = Refusal(f"the model failed: {type(error).__name__}", 500)
        answer = JSONResponse(refused.content)
        return Reply(refused.status, bytes(answer.body), refused.headers)


def _check_headers(headers: Mapping[str, str], limits: Limits) -> None:
    """Refuse what cannot be read, before it is.

    Raises:
        Refusal: it cannot.
    """
    kind, _, parameters = headers.get("content-type", "application/json").partition(";")
    if kind.strip().lower() != "application/json":
        raise Refusal(f"the body must be application/json, not {shown(kind.strip())}", 415)
    charset = parameters.replace(" ", "").replace('"', "").lower()
    if "charset=" in charset and "charset=utf-8" not in charset and "charset=utf8" not in charset:
        raise Refusal(f"the body must be UTF-8, not {shown(parameters.strip())}", 415)
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise Refusal("the body must not be compressed", 415)
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.body:
        raise _too_large(limits)
    if len(headers.get("idempotency-key", "")) > KEY_CHARACTERS:
        raise Refusal(f"an Idempotency-Key has at most {KEY_CHARACTERS} characters")


def _too_large(limits: Limits) -> Refusal:
    return Refusal(f"a body has at most {limits.body} bytes on this server", 413, code="request_too_large")


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _refused(request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, Refusal)
    return JSONResponse(refusal.content, refusal.status, refusal.headers)


async def _unknown(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    allowed = error.headers or {}
    if error.status_code == 405:
        words = f"{request.method} is not for {request.url.path}; there is {allowed.get('Allow', '')}"
    else:
        words = f"there is no {request.url.path}; there are {', '.join(_METHODS)}"
    return JSONResponse(Refusal(words, error.status_code).content, error.status_code, dict(allowed))


async def _broken(request: Request, error: Exception) -> Response:
    return JSONResponse(Refusal(f"the server failed: {type(error).__name__}", 500).content, 500)
