"""Which fields of a request a server takes, learned from its refusals."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any

from spaniel_lm.remote.faults import Reply

Changes = dict[str, str | None]
"""Field → the name under which it is sent, or ``None`` where it is left out."""

_NAMES = {
    "response_format": r"response_format|json_schema|structured output|guided|grammar",
    "logprobs": r"(?:top_)?logprobs?",
    "seed": r"seed",
    "top_k": r"top_k",
    "top_p": r"top_p",
    "stop": r"stop",
    "temperature": r"temperature",
}
"""What can be left out, the least first, and how servers speak of it."""
_REFUSES = re.compile(
    r"support|unknown|unrecogni|unexpected|extra|permit|allow|cannot|can't|unavailable|not available|deprecat|invalid|must|"
    r"only|forbidden|enabled|disabled|implement",
    re.IGNORECASE,
)
_UNKNOWN = re.compile(r"support|unknown|unrecogni|unexpected|extra|permit|forbidden", re.IGNORECASE)
_SIZES = re.compile(
    r"too (?:long|large|many|big|high)|context (?:length|window|size)|exceed|reduce|at most|less than|maximum|<=|between|range",
    re.IGNORECASE,
)


class Dialect:
    """What a server has taught; shared by threads."""

    def __init__(self) -> None:
        self._changes: Changes = {}
        self._new: list[str] = []
        self._lock = threading.Lock()

    @property
    def known(self) -> Changes:
        """What is sent under another name, or not at all."""
        with self._lock:
            return dict(self._changes)

    def learn(self, changes: Changes) -> None:
        """Take down changes under which a request was answered."""
        with self._lock:
            for name, to in changes.items():
                if self._changes.get(name, name) != to:
                    self._changes[name] = to
                    self._new += [name] if to is None else []

    def news(self) -> list[str]:
        """Return the fields that are left out, of those that were learned since this was last asked for."""
        with self._lock:
            new, self._new = self._new, []
            return new


def adapt(content: Mapping[str, Any], changes: Changes) -> dict[str, Any]:
    """Return a body with its changes."""
    made = {}
    for name, value in content.items():
        to = changes.get(name, name)
        if to is not None:
            made[to] = value
    return made


def objection(content: Mapping[str, Any], reply: Reply, fixed: frozenset[str] = frozenset()) -> Changes:
    """Return the change of a body that a refusal asks for; nothing where it complains of something else.

    Args:
        content: the body, as it was sent.
        fixed: fields that the user has set by name, and that are never left out.
    """
    said = reply.problem
    if reply.status not in (400, 422) or _SIZES.search(said):
        return {}
    of_tokens = "max_tokens" in reply.named or re.search(r"\bmax_(?:completion_)?tokens\b", said)
    if of_tokens and "max_tokens" in content and _UNKNOWN.search(said):
        return {"max_tokens": "max_completion_tokens"}
    if not _REFUSES.search(said):
        return {}
    open_ = [name for name in _NAMES if name in content and name not in fixed]
    named = [name for name in open_ if name in reply.named]
    told = [name for name in open_ if re.search(rf"(?<![\w])(?:{_NAMES[name]})(?!\w)", said, re.IGNORECASE)]
    return dict.fromkeys((named or told)[:1])
