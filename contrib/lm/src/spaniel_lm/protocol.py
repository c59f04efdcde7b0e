"""What a language model promises."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

from spaniel import UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

Capability = Literal[
    "generate",
    "sample",
    "beams",
    "processors",
    "schema",
    "logprobs",
    "next-logits",
    "hidden-states",
    "chat",
    "tokens",
    "prefix",
]
"""What a model may be able to do; ``tokens`` is counting, cutting and splitting, ``logprobs`` scores given continuations."""


class Message(NamedTuple):
    """A turn of a chat: ``role`` is ``system``, ``user`` or ``assistant``."""

    role: str
    content: str


Prompt = str | Sequence[Message] | Sequence[int]
"""Text as it is, a chat that the model's template renders, or token numbers."""
Continuation = str | Sequence[int]
"""Text, whose tokens are those that it has by itself, without special ones; or token numbers."""


@dataclass(frozen=True)
class Generation:
    """How answers are made.

    The answer to a prompt depends on the prompt, on these settings and on the seed, never on other prompts. The same
    prompt twice gets the same answer twice, and is asked once; several samples are asked for with ``returns``.

    Attributes:
        max_tokens: tokens of an answer at most.
        temperature: 0 takes the likeliest token each time; above, tokens are drawn.
        top_p: draw among the likeliest tokens that have this much probability together (Holtzman et al., 2020).
        top_k: draw among this many likeliest tokens; 0 among all.
        beams: width of beam search; 1 does without.
        returns: answers to a prompt; the further ones are in :attr:`Answer.others`.
        stop: texts that end an answer; they are not part of it.
        length_penalty: a beam's score is its log-probability divided by its length to this power.
        seed: of what is drawn; ``None`` takes the session's.
        schema: JSON schema, as text, that answers are asked to follow; a server that does not offer it answers freely.

    Raises:
        UsageError: a value is out of its range, or two contradict.
    """

    max_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    beams: int = 1
    returns: int = 1
    stop: tuple[str, ...] = ()
    length_penalty: float = 1.0
    seed: int | None = None
    schema: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop", (self.stop,) if isinstance(self.stop, str) else tuple(self.stop))
        for name, low in (("max_tokens", 1), ("top_k", 0), ("beams", 1), ("returns", 1)):
            value = getattr(self, name)
            if type(value) is not int or value < low:
                raise UsageError(f"{name}={value!r}: a whole number of {low} or more")
        if not 0 <= self.temperature < float("inf"):
            raise UsageError(f"temperature={self.temperature!r}: a number of 0 or more")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p={self.top_p!r}: above 0 and at most 1")
        if not all(isinstance(text, str) and text for text in self.stop):
            raise UsageError(f"stop={self.stop!r}: texts that are not empty")
        if self.beams > 1 and self.temperature > 0:
            raise UsageError(f"beams={self.beams}, temperature={self.temperature}: beams are searched, not drawn")
        if self.beams == 1 and self.temperature == 0 and self.returns > 1:
            raise UsageError(f"returns={self.returns}: without beams and at temperature 0 there is one answer")
        if 1 < self.beams < self.returns:
            raise UsageError(f"returns={self.returns}: {self.beams} beams give at most as many answers")

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        plain = {**asdict(self), "stop": list(self.stop)}
        return plain if self.schema is not None else {key: value for key, value in plain.items() if key != "schema"}


@dataclass(frozen=True)
class Answer:
    """An answer to a prompt.

    Attributes:
        text: without special tokens and without the text that stopped it.
        tokens: its token numbers, the one that ended it included; empty where the model does not tell.
        logprobs: log-probability of each token under the model, before temperature, processors and constraints.
        finish: ``"stop"`` where the model, a text or a constraint ended it, ``"length"`` where ``max_tokens`` did.
        prompt_tokens: tokens of the prompt; 0 where the model does not tell.
        answer_tokens: tokens of the answer.
        score: what the search ranked it by: the sum of its log-probabilities as processed, a beam's divided by length.
        others: further answers, the better ones first.
    """

    text: str
    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    finish: Literal["stop", "length"] = "stop"
    prompt_tokens: int = 0
    answer_tokens: int = 0
    score: float = 0.0
    others: tuple[Answer, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Answer:
        """Return the answer that plain data describe."""
        fields = dict(data)
        for name in ("tokens", "logprobs"):
            fields[name] = tuple(fields.get(name, ()))
        fields["others"] = tuple(cls.from_json(other) for other in fields.get("others", ()))
        return cls(**fields)


@dataclass(frozen=True, eq=False)
class Scored:
    """A continuation's log-probabilities.

    Attributes:
        logprobs: ``(tokens,)`` float32, each token's given the prompt and the tokens before it.
        tokens: their numbers; empty where the model does not tell.
        prompt_tokens: tokens of the prompt; 0 where the model does not tell.
    """

    logprobs: NDArray[np.float32]
    tokens: tuple[int, ...] = ()
    prompt_tokens: int = 0

    @property
    def total(self) -> float:
        """Log-probability of the whole continuation."""
        return float(self.logprobs.astype("float64").sum())


Processor = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]
"""``(tokens so far (rows, length), scores (rows, vocabulary)) → scores``: transformers' own processors are of this form."""


@runtime_checkable
class Constraint(Protocol):
    """Which tokens may come next, for all rows of a batch at once.

    States are an array whose first axis is the rows, so that a search reorders them as it does its rows.
    """

    def start(self, rows: int) -> NDArray[Any]:
        """Return the states before the first token: ``(rows, …)``."""
        ...

    def advance(self, states: NDArray[Any], tokens: NDArray[np.int64]) -> NDArray[Any]:
        """Return the states after one more token each, ``(rows,)``; the argument is left as it was."""
        ...

    def allowed(self, states: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the tokens that may come next as ``(offsets (rows + 1,), tokens)``; a row without any ends there."""
        ...


@runtime_checkable
class LanguageModel(Protocol):
    """Prompts → answers.

    What a model cannot do is not in its ``capabilities``; asking for it raises :class:`spaniel.UsageError` before
    anything is computed or paid for. Results depend neither on the other prompts nor on the batch size, up to rounding.

    Attributes:
        capabilities: what it can do; known without loading it.
        window: tokens that a prompt and its answer may have together; ``None`` where there is no limit, or none is known.
    """

    capabilities: frozenset[Capability]
    window: int | None

    def fingerprint(self) -> Mapping[str, Any]:
        """What decides its answers beyond the requests, without loading it."""
        ...

    def generate(
        self,
        prompts: Sequence[Prompt],
        settings: Generation = ...,
        *,
        processors: Sequence[Processor] = (),
        constraints: Constraint | Sequence[Constraint] | None = None,
    ) -> list[Answer]:
        """Return one answer a prompt; ``constraints`` are one for all, or one a prompt."""
        ...

    def logprobs(self, prompts: Sequence[Prompt], continuations: Sequence[Continuation]) -> list[Scored]:
        """Score one given continuation for each prompt, token by token."""
        ...

    def next_logits(self, prompts: Sequence[Prompt]) -> NDArray[np.float32]:
        """Return the logits of the next token (of the masked one, for a masked model): ``(prompts, vocabulary)``."""
        ...

    def hidden(self, prompts: Sequence[Prompt], layers: Sequence[int]) -> list[NDArray[np.float32]]:
        """Return ``(layers, tokens, dimensions)`` for each prompt; layer 0 is the embeddings, -1 the last one."""
        ...

    def render(self, chat: Sequence[Message]) -> str:
        """Return a chat as the model's template writes it, ready for its answer."""
        ...

    def count_tokens(self, prompts: Sequence[Prompt]) -> NDArray[np.int64]:
        """Return how many tokens each prompt has, special ones included: ``(prompts,)``."""
        ...

    def cut(self, texts: Sequence[str], tokens: Sequence[int]) -> list[str]:
        """Return the beginning of each text that has so many tokens at most, special ones not counted."""
        ...

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token numbers of each text by itself, without special ones."""
        ...

    def prefix(self, prompt: Prompt) -> AbstractContextManager[None]:
        """Keep what the model computes of a prompt's tokens, for every call inside the ``with`` whose prompts begin so."""
        ...
