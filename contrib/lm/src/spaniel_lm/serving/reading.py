"""Bodies of requests → what is asked, each field checked and named where it is wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from reprlib import repr as shown
from typing import Any

from spaniel_lm.protocol import Message, Prompt
from spaniel_lm.serving.fields import CHAT, COMMON, TEXT
from spaniel_lm.serving.limits import DEPTH, DIGITS, Limits
from spaniel_lm.serving.refusal import Refusal

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


@dataclass(frozen=True)
class Asked:
    """A request.

    Attributes:
        model: name of the model; ``None`` for the only one.
        prompts: texts, token numbers, or one chat.
        max_tokens: of an answer; ``None`` where it is left open, 0 where the prompts alone are scored.
        temperature: as in :class:`spaniel_lm.protocol.Generation`, as ``top_p``, ``top_k``, ``stop`` and ``seed`` are.
        n: answers to a prompt.
        logprobs: whether log-probabilities are wanted.
    """

    model: str | None
    prompts: list[Prompt]
    max_tokens: int | None
    temperature: float
    top_p: float
    top_k: int
    stop: tuple[str, ...]
    seed: int | None
    n: int
    logprobs: bool

    @property
    def echo(self) -> bool:
        """Whether the prompts are wanted back, with their log-probabilities, and nothing else."""
        return self.max_tokens == 0


def parse(body: bytes) -> Mapping[str, Any]:
    """Return a body's JSON object: finite numbers, whole texts, no name twice.

    Raises:
        Refusal: it is none.
    """
    try:
        content = json.loads(
            body.decode("utf-8"), parse_constant=_no_number, parse_int=_whole_number, object_pairs_hook=_distinct
        )
    except UnicodeDecodeError as error:
        raise Refusal(f"the body is not UTF-8: byte {error.start}") from None
    except RecursionError:
        raise Refusal(f"the body's JSON has more than {DEPTH} levels") from None
    except ValueError as error:
        raise Refusal(f"the body is no JSON: {error}") from None
    if not isinstance(content, dict):
        raise Refusal("the body must be a JSON object")
    _check(content, "", 1)
    return content


def read(content: Mapping[str, Any], chat: bool, limits: Limits) -> Asked:
    """Return what is asked.

    Raises:
        Refusal: a field is unknown, wrong, or wants what is not offered.
    """
    fields = COMMON | (CHAT if chat else TEXT)
    for name, value in content.items():
        if name not in fields:
            raise Refusal(f"there is no field {shown(name)}; there are {', '.join(sorted(fields))}", param=name)
        field = fields[name]
        if value is not None and not field.fits(value):
            raise Refusal(f"{name} must be {field.words}; given was {name}={shown(value)}", param=name)
        if field.neutral is not None and value is not None and value not in field.neutral:
            raise Refusal(f"{name} is not offered by this server", param=name, code="unsupported_parameter")
    given = {name: value for name, value in content.items() if value is not None}
    n, temperature = given.get("n", 1), float(given.get("temperature", 1.0))
    _at_most("n", n, limits.answers)
    if temperature == 0 and n > 1:
        raise Refusal("n above 1 needs a temperature above 0", param="n")
    if given.get("best_of", n) != n:
        raise Refusal("best_of is offered as n", param="best_of", code="unsupported_parameter")
    most = _max_tokens(given, limits)
    if (most == 0) != bool(given.get("echo")):
        raise Refusal(
            "echo is offered with max_tokens=0, and max_tokens=0 with echo", param="echo" if most else "max_tokens"
        )
    stop = given.get("stop", [])
    return Asked(
        given.get("model"),
        [_chat(given)] if chat else _prompts(given, limits),
        most,
        temperature,
        float(given.get("top_p", 1.0)),
        given.get("top_k", 0),
        tuple([stop] if isinstance(stop, str) else stop),
        given.get("seed"),
        n,
        given.get("logprobs", False) is not False,
    )


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) <= DIGITS else math.inf


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        name = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise Refusal(f"{shown(name)} stands there twice", param=name.encode("utf-8", "replace").decode())
    return made


def _check(value: Any, place: str, level: int) -> None:
    if level > DEPTH:
        raise Refusal(f"the body's JSON has more than {DEPTH} levels", param=place.partition(".")[0].partition("[")[0])
    if isinstance(value, str):
        if not value.isascii():
            _check_text(value, place)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise Refusal(f"{place} must be a finite number, if whole of at most {DIGITS} digits", param=place)
    elif isinstance(value, dict):
        for name, one in value.items():
            _check_text(name, place)
            _check(one, f"{place}.{name}" if place else name, level + 1)
    elif isinstance(value, list):
        for at, one in enumerate(value):
            if not isinstance(one, int):
                _check(one, f"{place}[{at}]", level + 1)


def _check_text(text: str, place: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        where = place or "the name of a field"
        words = f"{where} is no text: character {error.start} is half of a pair (a lone surrogate)"
        raise Refusal(words, param=place or None) from None


def _at_most(name: str, value: int, most: int) -> None:
    if value > most:
        raise Refusal(f"{name}={value}: at most {most} on this server", param=name)


def _max_tokens(given: Mapping[str, Any], limits: Limits) -> int | None:
    names = [name for name in ("max_tokens", "max_completion_tokens") if name in given]
    if len({given[name] for name in names}) > 1:
        raise Refusal("max_tokens and max_completion_tokens contradict", param=names[1])
    for name in names:
        _at_most(name, given[name], limits.answer_tokens)
        return int(given[name])
    return None


def _chat(given: Mapping[str, Any]) -> tuple[Message, ...]:
    turns = given.get("messages")
    if not turns:
        raise Refusal("messages must be a list that is not empty", param="messages")
    made = []
    for at, turn in enumerate(turns):
        place = f"messages[{at}]"
        if not isinstance(turn, dict):
            raise Refusal(f"{place} must be an object with a role and a content", param=place)
        role, content = turn.get("role"), _content(turn.get("content"))
        if not isinstance(role, str) or role not in _ROLES:
            raise Refusal(
                f"a message has a role and a content; its role is one of {', '.join(_ROLES)}", param=f"{place}.role"
            )
        if content is None:
            raise Refusal(
                "a message has a role and a content: a text, or a list of parts that are texts",
                param=f"{place}.content",
            )
        more = next((name for name in turn if name not in ("role", "content") and turn[name]), None)
        if more is not None:
            raise Refusal(f"{shown(more)} of a message is not offered by this server", param=f"{place}.{more}")
        made.append(Message(_ROLES[role], content))
    return tuple(made)


def _content(given: Any) -> str | None:
    if isinstance(given, str):
        return given
    if not isinstance(given, list) or not given:
        return None
    parts = [one.get("text") if isinstance(one, dict) and one.get("type") == "text" else None for one in given]
    texts = [one for one in parts if isinstance(one, str)]
    return "".join(texts) if len(texts) == len(parts) else None


def _prompts(given: Mapping[str, Any], limits: Limits) -> list[Prompt]:
    prompt = given.get("prompt")
    made: list[Prompt] | None = None
    if isinstance(prompt, str):
        made = [prompt]
    elif isinstance(prompt, list) and prompt:
        if all(isinstance(one, str) for one in prompt):
            made = list(prompt)
        elif all(type(one) is int for one in prompt):
            made = [tuple(prompt)]
        elif all(isinstance(one, list) and one and all(type(token) is int for token in one) for one in prompt):
            made = [tuple(one) for one in prompt]
    if made is None:
        raise Refusal("prompt must be a text, a list of texts, token numbers, or a list of them", param="prompt")
    if len(made) > limits.prompts:
        raise Refusal(f"prompt has {len(made)} prompts: at most {limits.prompts} on this server", param="prompt")
    return made
