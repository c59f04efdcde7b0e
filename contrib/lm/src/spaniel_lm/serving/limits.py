"""What one client may ask of the server, and what all of them may."""

from __future__ import annotations

from dataclasses import dataclass

DEPTH = 32
"""Levels of a body's JSON at most."""
DIGITS = 40
"""Digits of a whole number at most."""
STOPS = 16
"""Texts that end an answer at most."""
STOP_CHARACTERS = 1000
"""Characters of such a text at most."""
HEAD_BYTES = 2**15
"""Bytes of a request's line and headers at most."""
KEY_CHARACTERS = 255
"""Characters of an idempotency key at most."""


@dataclass(frozen=True)
class Limits:
    """Ceilings of a server.

    Attributes:
        answers: ``n`` at most.
        prompts: prompts of a request at most.
        prompt_tokens: tokens of a prompt at most; the model's window is a limit as well.
        answer_tokens: ``max_tokens`` at most.
        request_tokens: tokens of a request at most: those of its prompts and answers, ``n`` times.
        body: bytes of a body at most.
        queue: requests that are waiting or being answered at most.
        client_queue: those of one address.
        connections: connections at most; as many again are told so, and others are cut.
        head_seconds: for a request's line and headers, and for which a connection may be idle.
        body_seconds: for a body, and for the client to take an answer.
        seconds: for an answer, waiting included.
        grace: seconds that answers under way are given when the server is told to end.
    """

    answers: int = 16
    prompts: int = 64
    prompt_tokens: int = 2**14
    answer_tokens: int = 2**12
    request_tokens: int = 2**16
    body: int = 2**20
    queue: int = 256
    client_queue: int = 128
    connections: int = 1024
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    seconds: float = 600.0
    grace: float = 5.0
