"""What a model costs: forward passes, rows, tokens, floating-point operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

if TYPE_CHECKING:
    from spaniel import Context

_FUSED_ON_CPU = "_scaled_dot_product_flash_attention_for_cpu"


def count_flops(run: Callable[[], Any]) -> int:
    """Return the floating-point operations of a call, by torch's ``FlopCounterMode``.

    Matrix products, convolutions and attention count, a multiplication and an addition as two; what works element by
    element does not. Fused attention on a CPU, which torch leaves out, counts as its two matrix products.
    """
    fused = getattr(torch.ops.aten, _FUSED_ON_CPU, None)
    mapping = {fused: _attention_flops} if fused is not None else None
    counter = FlopCounterMode(display=False, custom_mapping=mapping)
    with counter:
        run()
    return int(counter.get_total_flops())


def _attention_flops(query: Any, key: Any, value: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    """Return the operations of queries times keys, and of weights times values, each ``(texts, heads, tokens, size)``."""
    texts, heads, queries, size = query
    keys, width = key[2], value[3]
    return int(2 * texts * heads * queries * keys * (size + width))


class Counted:
    """A model that counts what it does, for the running stage of a session.

    It is called as the model is, and everything else is the model's. Counted are ``"model calls"``, ``"rows"`` (texts or
    pairs), ``"tokens"`` (without padding) and, where asked for, ``"FLOPs"``. Operations are measured once for each shape of
    inputs, padding included, since they depend on nothing else; a model whose work depends on what it reads (experts that
    are chosen, generation) is measured each time with ``fixed=False``.

    Args:
        model: of transformers, or any other.
        context: the session; without one only :attr:`total` is kept.
        flops: whether operations are counted.
        fixed: whether they depend on the inputs' shapes alone.

    Attributes:
        total: what was counted since the counter was made.
    """

    def __init__(
        self, model: nn.Module, context: Context | None = None, *, flops: bool = False, fixed: bool = True
    ) -> None:
        self.model = model
        self.context = context
        self.total: dict[str, int] = {}
        self._flops = flops
        self._fixed = fixed
        self._known: dict[Any, int] = {}

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Run the model, and count."""
        operations = self._known.get(self._shape(arguments, named)) if self._flops and self._fixed else None
        if self._flops and operations is None:
            results: list[Any] = []
            operations = count_flops(lambda: results.append(self.model(*arguments, **named)))
            self._known[self._shape(arguments, named)] = operations
            result = results[0]
        else:
            result = self.model(*arguments, **named)
        self._count("model calls", 1)
        rows, tokens = _size(arguments, named)
        self._count("rows", rows)
        if tokens:
            self._count("tokens", tokens)
        if operations is not None:
            self._count("FLOPs", operations)
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def _count(self, what: str, amount: int) -> None:
        self.total[what] = self.total.get(what, 0) + amount
        if self.context is not None:
            self.context.count(what, amount)

    def _shape(self, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
        described = [(str(at), value) for at, value in enumerate(arguments)] + sorted(named.items())
        shapes = tuple((name, tuple(v.shape) if isinstance(v, Tensor) else repr(v)) for name, v in described)
        # Training adds dropout only, but a backward pass is counted where it runs, not here.
        return shapes, getattr(getattr(self.model, "config", None), "_attn_implementation", None)


def _size(arguments: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[int, int]:
    """Return the rows and the tokens of a model's inputs."""
    mask = named.get("attention_mask")
    ids = named.get("input_ids", arguments[0] if arguments else None)
    if not isinstance(ids, Tensor):
        ids = named.get("inputs_embeds")
    if not isinstance(ids, Tensor):
        return 0, 0
    if isinstance(mask, Tensor) and mask.ndim == 2:
        return len(ids), int(mask.sum())
    is_text = not ids.is_floating_point() or "inputs_embeds" in named
    return len(ids), int(ids.shape[0] * ids.shape[1]) if is_text and ids.ndim > 1 else 0
