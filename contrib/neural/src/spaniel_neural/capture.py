"""Recording what named layers of a model receive, give and get back as gradients, while it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from typing import Any

import torch
from spaniel import UsageError
from torch import Tensor, nn

from spaniel_neural.calls import Call, Tap
from spaniel_neural.parts import Part


@contextmanager
def capture(
    model: nn.Module,
    layers: Sequence[str | nn.Module | Part],
    *,
    gradients: bool = False,
    attention: bool = False,
    copy: bool = False,
) -> Iterator[Mapping[str, Tap]]:
    """Record named layers while the model runs inside the context; every hook is gone after it, also after an error.

    Recorded calls outlive the context. Gradients are read after ``backward``, in or outside it.

    Args:
        model: any module.
        layers: names as in ``model.named_modules()``, modules of the model, or parts that
            :func:`spaniel_neural.walking.walk` found.
        gradients: whether the gradients that reach the outputs are kept; outputs that no parameter would require
            gradients of are made to.
        attention: whether attention weights are computed, which fused kernels never do; the model attends eagerly
            inside the context, and as before after it.
        copy: whether later layers get copies, so that those that work in place (``ReLU(inplace=True)``) spoil nothing.

    Yields:
        A tap for each layer, by its name.

    Raises:
        UsageError: the model has no such layer, or cannot attend eagerly.
    """
    named = _named(model, layers)
    taps = {name: Tap(name) for name in named}
    with ExitStack() as stack:
        if attention:
            stack.enter_context(eager_attention(model))
        for name, module in named.items():
            recorder = _Recorder(taps[name], gradients, copy)
            stack.enter_context(_hooked(module, recorder))
        yield taps


@contextmanager
def eager_attention(model: nn.Module) -> Iterator[None]:
    """Make a model compute its attention weights, and do as before after it.

    Raises:
        UsageError: it is no model of transformers, or cannot.
    """
    if not hasattr(model, "set_attn_implementation"):
        raise UsageError(f"{type(model).__name__} is no model of transformers, and has no attention to make eager")
    any_model: Any = model  # what transformers adds to a module is untyped
    before = [(part, part.config._attn_implementation) for part in any_model.modules() if _attends(part)]
    try:
        any_model.set_attn_implementation("eager")
        if any_model.config._attn_implementation != "eager":
            raise UsageError(f"{type(model).__name__} cannot compute its attention weights")
        yield
    finally:
        for part, implementation in before:
            if part.config._attn_implementation != implementation:
                part.set_attn_implementation(implementation)


def _attends(part: Any) -> bool:
    return hasattr(part, "set_attn_implementation") and hasattr(part, "config")


def _named(model: nn.Module, layers: Sequence[str | nn.Module | Part]) -> dict[str, nn.Module]:
    known = dict(model.named_modules())
    names = {id(module): name for name, module in reversed(known.items())}
    found: dict[str, nn.Module] = {}
    for layer in [layers] if isinstance(layers, str) else layers:
        layer = layer.name if isinstance(layer, Part) else layer
        name = layer if isinstance(layer, str) else names.get(id(layer))
        if name is None:
            raise UsageError(f"the {type(layer).__name__} is no layer of this {type(model).__name__}")
        if name not in known:
            near = get_close_matches(name, known, 3) or [n for n in known if n and "." not in n]
            raise UsageError(f"{type(model).__name__} has no layer {name!r}; near are {', '.join(near)}")
        found[name] = known[name]
    return found


class _Recorder:
    """The hook of one layer."""

    def __init__(self, tap: Tap, gradients: bool, copy: bool) -> None:
        self.tap, self.gradients, self.copy = tap, gradients, copy

    def __call__(self, module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any], result: Any) -> Any:
        call = Call(module, arguments, dict(named), result)
        replaced: dict[int, Tensor] = {}
        for place, tensor in enumerate(call.tensors()):
            if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
                continue
            if self.gradients:
                self._follow(call, place, tensor)
            if not tensor.is_inference():
                call.versions[place] = tensor._version
            if self.copy:
                replaced[place] = tensor.clone()
        self.tap.record(call)
        return _replaced(result, replaced) if replaced else None

    def _follow(self, call: Call, place: int, tensor: Tensor) -> None:
        if not torch.is_grad_enabled():
            raise UsageError(f"{self.tap.name}: gradients are captured, and the model runs under no_grad")
        if not tensor.requires_grad:
            tensor.requires_grad_()

        def keep(gradient: Tensor) -> None:
            before = call.gradients.get(place)
            call.gradients[place] = gradient.detach() if before is None else before + gradient.detach()

        tensor.register_hook(keep)  # type: ignore[no-untyped-call]


def _replaced(result: Any, tensors: Mapping[int, Tensor]) -> Any:
    if isinstance(result, Tensor):
        return tensors[0]
    if isinstance(result, Mapping):
        return type(result)(**{n: tensors.get(at, value) for at, (n, value) in enumerate(result.items())})
    return type(result)(tensors.get(at, value) for at, value in enumerate(result))


@contextmanager
def _hooked(module: nn.Module, recorder: _Recorder) -> Iterator[None]:
    handle = module.register_forward_hook(recorder, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
