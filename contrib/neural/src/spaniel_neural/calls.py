"""What was recorded of a layer: its calls, and their replay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spaniel import UsageError
from torch import Tensor, nn

_CACHES = ("cache", "past_key_values", "past_key_value")


@dataclass(eq=False)
class Call:
    """One run of a layer.

    Attributes:
        module: the layer.
        arguments: what it was called with, by position.
        named: what it was called with, by name.
        result: what it returned; tensors are those of the graph, not copies.
        gradients: by place in the result, what flowed back.
        versions: by place in the result, how often a tensor had been changed in place when it was returned.
    """

    module: nn.Module
    arguments: tuple[Any, ...]
    named: dict[str, Any]
    result: Any
    gradients: dict[int, Tensor] = field(default_factory=dict, repr=False)
    versions: dict[int, int] = field(default_factory=dict, repr=False)

    @property
    def output(self) -> Tensor:
        """The tensor that the layer returned, the first of several.

        Raises:
            UsageError: a later layer has changed it in place; capture it with ``copy=True``.
        """
        return self._unchanged(0)

    @property
    def gradient(self) -> Tensor:
        """Gradient of what ``backward`` was called on, in :attr:`output`.

        Raises:
            UsageError: nothing flowed back to it.
        """
        return self._gradient(0, "output")

    @property
    def attention(self) -> Tensor:
        """Attention weights of an attention layer: ``(texts, heads, queries, keys)``.

        Raises:
            UsageError: the layer returned none: it is no attention layer, or was not captured with ``attention=True``.
        """
        return self._unchanged(self._attention_place())

    @property
    def attention_gradient(self) -> Tensor:
        """Gradient in :attr:`attention`.

        Raises:
            UsageError: there are no attention weights, or nothing flowed back to them.
        """
        return self._gradient(self._attention_place(), "attention")

    def replay(self, hidden: Tensor | None = None, **changes: Any) -> Any:
        """Run the layer again with all its arguments, and return what it returns.

        The call itself is not recorded. Arithmetic (autocast) and mode (dropout) are those of the moment.

        Args:
            hidden: replaces the first argument, which of a transformer's block is the hidden states.
            changes: replace arguments by name.

        Raises:
            UsageError: it ran with a cache of keys and values, which a second run would fill again.
        """
        named = {**self.named, **changes}
        if any(named.get(name) is not None for name in _CACHES):
            raise UsageError("a layer that ran with a cache cannot be replayed; run the model with use_cache=False")
        arguments = self.arguments
        if hidden is not None:
            if arguments:
                arguments = (hidden, *arguments[1:])
            elif "hidden_states" in named:
                named["hidden_states"] = hidden
            else:
                raise UsageError("the layer has no argument of hidden states; replace its arguments by name")
        forward: Any = self.module.forward  # passes the layer's own hooks by
        return forward(*arguments, **named)

    def tensors(self) -> tuple[Any, ...]:
        """Return what the layer returned, as a tuple."""
        if isinstance(self.result, Mapping):  # the outputs of transformers' models are mappings
            return tuple(self.result.values())
        return tuple(self.result) if isinstance(self.result, tuple | list) else (self.result,)

    def _unchanged(self, place: int) -> Tensor:
        tensor = self.tensors()[place] if self.tensors() else None
        if not isinstance(tensor, Tensor):
            raise UsageError(f"{type(self.module).__name__} returned no tensor, but {type(tensor).__name__}")
        if place in self.versions and tensor._version != self.versions[place]:
            raise UsageError("a later layer changed what this one returned in place; capture it with copy=True")
        return tensor

    def _gradient(self, place: int, what: str) -> Tensor:
        if place not in self.gradients:
            raise UsageError(
                f"no gradient reached the {what} of {type(self.module).__name__}: capture it with gradients=True, run "
                "the model outside no_grad, and call backward before this is read"
            )
        return self.gradients[place]

    def _attention_place(self) -> int:
        tensors = self.tensors()
        for place in range(len(tensors) - 1, 0, -1):
            if isinstance(tensors[place], Tensor) and tensors[place].ndim == 4:
                return place
        raise UsageError(
            f"{type(self.module).__name__} returned no attention weights: name an attention layer (the walker's "
            "`attention.name`), and capture it with attention=True"
        )


class Tap(Sequence[Call]):
    """The calls of one layer, in their order. What its one call has, a tap has, too; several are told apart by number.

    Attributes:
        name: the layer's.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._calls: list[Call] = []

    def __len__(self) -> int:
        return len(self._calls)

    def __getitem__(self, place: Any) -> Any:
        return self._calls[place]

    @property
    def call(self) -> Call:
        """The one call.

        Raises:
            UsageError: the layer did not run, or ran several times.
        """
        if len(self._calls) != 1:
            times = "did not run" if not self._calls else f"ran {len(self._calls)} times; take one, as in tap[0]"
            raise UsageError(f"the layer {self.name} {times}")
        return self._calls[0]

    @property
    def output(self) -> Tensor:
        """See :attr:`Call.output`."""
        return self.call.output

    @property
    def gradient(self) -> Tensor:
        """See :attr:`Call.gradient`."""
        return self.call.gradient

    @property
    def attention(self) -> Tensor:
        """See :attr:`Call.attention`."""
        return self.call.attention

    @property
    def attention_gradient(self) -> Tensor:
        """See :attr:`Call.attention_gradient`."""
        return self.call.attention_gradient

    def replay(self, hidden: Tensor | None = None, **changes: Any) -> Any:
        """See :meth:`Call.replay`."""
        return self.call.replay(hidden, **changes)

    def record(self, call: Call) -> None:
        """Add a call."""
        self._calls.append(call)

    def clear(self) -> None:
        """Forget the calls so far, and what they hold in memory."""
        self._calls.clear()
