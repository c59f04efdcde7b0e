"""Lion as an optimizer of torch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Literal, get_args

import torch
from spaniel import UsageError
from torch import Tensor

from spaniel_lion.blocks import blocks
from spaniel_lion.states import check_tensors, given_states

Steps = Literal["single", "foreach", "compiled"]
MomentumDtype = Literal["parameter", "float32", "bfloat16"]
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_FLOOR = 1e-5
"""Least mean of a cautious mask that is divided by (Liang et al., Cautious Optimizers, 2024, algorithm 1)."""


class Lion(torch.optim.Optimizer):
    """Chen et al., Symbolic Discovery of Optimization Algorithms, 2023, algorithm 2.

    With a gradient g, a weight w and its momentum m, which is zero in the beginning, a step is

    - w ← w · (1 - lr · weight_decay)
    - w ← w - lr · sign(beta1 · m + (1 - beta1) · g), where sign(0) = 0
    - m ← beta2 · m + (1 - beta2) · g

    With ``beta1 = beta2`` it is the paper's ablation by one average, the sign of the new momentum. The three ways to step
    give the same bits where one is not compiled. Every option is one of a group of parameters, and is kept in its state.

    Args:
        params: parameters, or groups of them, as torch's optimizers take them.
        lr: learning rate: how far each weight moves.
        betas: share of the momentum in the direction, and in the next momentum.
        weight_decay: share of a weight taken off at the learning rate of 1.
        caution: what is left of moves against the gradient's own sign: 1 is Lion, 0 Cautious Lion; the moves are scaled so
            that their mean factor is 1.
        independent_decay: whether a weight loses ``weight_decay`` of itself a step at the peak of the learning rate, whatever
            that is, in place of ``lr · weight_decay``.
        momentum_dtype: in which the momentum is kept; a step is worked out in float32 at the least, and rounded once.
        steps: one parameter after the other; many in one call, in pieces that fit the cache; or compiled by
            ``torch.compile``, which fuses a step into one pass over memory and needs a compiler; where that fails, as with
            more sorts of tensors than torch compiles for, the group goes on by ``foreach``, with a warning.
        skip_empty_rows: whether rows of tables whose gradient is all zero stay as they are, as those of an embedding that
            no text of the batch used; else their momentum goes on moving them.
        skip_nonfinite: whether a step is left out, of all groups, and counted in ``skipped``, when a gradient of a group with
            this option is not finite.
        maximize: whether to climb.

    Raises:
        UsageError: an argument is out of its range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        caution: float = 1.0,
        independent_decay: bool = False,
        momentum_dtype: MomentumDtype = "parameter",
        steps: Steps = "foreach",
        skip_empty_rows: bool = False,
        skip_nonfinite: bool = False,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "weight_decay": weight_decay,
                "caution": caution,
                "independent_decay": independent_decay,
                "momentum_dtype": momentum_dtype,
                "steps": steps,
                "skip_empty_rows": skip_empty_rows,
                "skip_nonfinite": skip_nonfinite,
                "maximize": maximize,
            },
        )

    @property
    def skipped(self) -> int:
        """Steps that were left out, for a gradient was not finite."""
        return max(int(group.get("skipped", 0)) for group in self.param_groups)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; every option may be its own. Its learning rate is the peak that independent decay is measured by.

        Raises:
            UsageError: an option is out of its range; nothing is added.
        """
        _check_options({**self.defaults, **param_group})
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        group.setdefault("peak", group["lr"])

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step; parameters without a gradient are passed over.

        Raises:
            UsageError: a gradient is sparse, or a parameter complex; nothing has moved.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        check_tensors("Lion", self.param_groups)
        guarded = [group for group in self.param_groups if group["skip_nonfinite"]]
        if not _is_finite(guarded):
            for group in guarded:
                group["skipped"] = group.get("skipped", 0) + 1
            return loss
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            gradients = [-p.grad if group["maximize"] else p.grad for p in weights]
            momenta = [self._momentum(p, group) for p in weights]
            tables = [group["skip_empty_rows"] and p.ndim > 1 for p in weights]
            for at, table in enumerate(tables):
                if table:
                    _step_rows(weights[at], gradients[at], momenta[at], group)
            plain = [at for at, table in enumerate(tables) if not table]
            weights, gradients, momenta = ([side[at] for at in plain] for side in (weights, gradients, momenta))
            _step_all(weights, gradients, momenta, group)
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a copy of a state. Momenta come in the dtype of their group, from the bits that were given: torch alone
        would round them to the parameter's.

        Raises:
            UsageError: it is the state of another optimizer; nothing is loaded.
        """
        if not all("momentum" in state for state in state_dict["state"].values()):
            raise UsageError("this is no state of Lion's: it keeps `momentum` for each parameter")
        super().load_state_dict(state_dict)
        for weight, group, state in given_states(self, state_dict):
            kept = state["momentum"]
            self.state[weight]["momentum"] = kept.to(weight.device, _dtype(weight, group), copy=True)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)
            group.setdefault("peak", group["lr"])

    def _momentum(self, weight: Tensor, group: dict[str, Any]) -> Tensor:
        state = self.state[weight]
        if not state:
            dtype = _dtype(weight, group)
            state["momentum"] = torch.zeros_like(weight, dtype=dtype, memory_format=torch.preserve_format)
        made: Tensor = state["momentum"]
        return made


def _dtype(weight: Tensor, group: dict[str, Any]) -> torch.dtype:
    return _DTYPES.get(group["momentum_dtype"], weight.dtype)


def _decay(group: dict[str, Any]) -> float:
    """What a weight is multiplied with."""
    rate, decay = float(group["lr"]), float(group["weight_decay"])
    if not group["independent_decay"]:
        return 1 - rate * decay
    return 1 - (rate / float(group["peak"]) if group["peak"] else 0.0) * decay


def _is_finite(groups: list[dict[str, Any]]) -> bool:
    gradients = [p.grad for group in groups for p in group["params"] if p.grad is not None]
    return all(bool(torch.isfinite(gradient).all()) for gradient in gradients)


def _step_rows(weight: Tensor, gradient: Tensor, momentum: Tensor, group: dict[str, Any]) -> None:
    """Step the rows whose gradient is not all zero."""
    rows = gradient.flatten(1).any(dim=1).nonzero().squeeze(1)
    part, kept = weight[rows], momentum[rows]
    _step_all([part], [gradient[rows]], [kept], group)
    weight[rows], momentum[rows] = part, kept


def _step_all(weights: list[Tensor], gradients: list[Tensor], momenta: list[Tensor], group: dict[str, Any]) -> None:
    """Step tensors as their group says; where compiling fails, the group goes on by foreach."""
    rate, decay, betas = float(group["lr"]), _decay(group), group["betas"]
    caution = float(group["caution"])
    if group["steps"] == "compiled":
        while weights and _step_compiled(weights[0], gradients[0], momenta[0], rate, decay, betas, group):
            weights, gradients, momenta = weights[1:], gradients[1:], momenta[1:]
    if not weights:
        return
    if group["steps"] == "foreach":
        # The mean of a cautious mask is taken over the whole tensor, so that this stays in one piece.
        whole = [[weights, gradients, momenta]]
        for part, slopes, kept in blocks(weights, gradients, momenta) if caution == 1 else whole:
            _step_foreach(part, slopes, kept, rate, decay, betas, caution)
        return
    for weight, gradient, momentum in zip(weights, gradients, momenta, strict=True):
        _step_single(weight, gradient, momentum, rate, decay, betas, caution)


def _step_compiled(
    weight: Tensor,
    gradient: Tensor,
    momentum: Tensor,
    rate: float,
    decay: float,
    betas: tuple[float, float],
    group: dict[str, Any],
) -> bool:
    """Step one tensor; return whether that was done. Where torch cannot compile, nothing has moved, and it is said."""
    # Of one number, or none, there is nothing to fuse, and each would be compiled for itself.
    if weight.numel() < 2 or not all(tensor.is_contiguous() for tensor in (weight, gradient, momentum)):
        _step_single(weight, gradient, momentum, rate, decay, betas, 1.0)
        return True
    numbers = _numbers(weight, rate, decay, betas)
    try:
        _compiled()(weight.view(-1), gradient.view(-1), momentum.view(-1), numbers)
    except _compile_errors() as error:
        group["steps"] = "foreach"
        why = (str(error).splitlines() or [type(error).__name__])[0]
        warnings.warn(f"steps=compiled: torch cannot compile a step ({why}); from here on steps=foreach", stacklevel=5)
        return False
    return True


def _step_single(
    weight: Tensor,
    gradient: Tensor,
    momentum: Tensor,
    rate: float,
    decay: float,
    betas: tuple[float, float],
    caution: float,
) -> None:
    if decay != 1:
        weight.mul_(decay)
    wide = _wide(momentum)
    gradient = gradient.to(wide.dtype)
    update = wide.mul(betas[0]).add_(gradient, alpha=1 - betas[0]).sign_()
    if caution < 1:
        _be_cautious(update, gradient, caution)
    weight.add_(update.to(weight.dtype), alpha=-rate)
    wide.mul_(betas[1]).add_(gradient, alpha=1 - betas[1])
    if wide is not momentum:
        momentum.copy_(wide)


def _step_foreach(
    weights: list[Tensor],
    gradients: list[Tensor],
    momenta: list[Tensor],
    rate: float,
    decay: float,
    betas: tuple[float, float],
    caution: float,
) -> None:
    if decay != 1:
        torch._foreach_mul_(weights, decay)
    wide = [_wide(momentum) for momentum in momenta]
    gradients = [g.to(m.dtype) for g, m in zip(gradients, wide, strict=True)]
    updates = torch._foreach_mul(wide, betas[0])
    torch._foreach_add_(updates, gradients, alpha=1 - betas[0])
    torch._foreach_sign_(updates)
    if caution < 1:
        for update, gradient in zip(updates, gradients, strict=True):
            _be_cautious(update, gradient, caution)
    moves = [u.to(w.dtype) for u, w in zip(updates, weights, strict=True)]
    torch._foreach_add_(weights, moves, alpha=-rate)
    torch._foreach_mul_(wide, betas[1])
    torch._foreach_add_(wide, gradients, alpha=1 - betas[1])
    for momentum, made in zip(momenta, wide, strict=True):
        if made is not momentum:
            momentum.copy_(made)


def _wide(momentum: Tensor) -> Tensor:
    """Return the momentum in a dtype to calculate in: itself, where it has the bits for it."""
    return momentum if momentum.element_size() >= 4 else momentum.float()


def _be_cautious(update: Tensor, gradient: Tensor, caution: float) -> None:
    """Shrink moves against the gradient, and scale all so that the mean factor is 1 (Liang et al. 2024, algorithm 1)."""
    scale = torch.where(update * gradient > 0, 1.0, caution).to(update.dtype)
    update.mul_(scale / scale.mean().clamp(min=_FLOOR))


@cache
def _compiled() -> Callable[[Tensor, Tensor, Tensor, Tensor], None]:
    """One pass over flat tensors. The numbers come in a tensor, so that another learning rate compiles nothing anew."""

    def update(weight: Tensor, gradient: Tensor, momentum: Tensor, numbers: Tensor) -> None:
        rate, decay, beta1, rest1, beta2, rest2 = numbers.unbind()
        wide = _wide(momentum)
        gradient = gradient.to(wide.dtype)
        direction = torch.sign(wide * beta1 + gradient * rest1)
        weight.copy_(weight * decay - rate * direction)
        momentum.copy_(wide * beta2 + gradient * rest2)

    made: Callable[[Tensor, Tensor, Tensor, Tensor], None] = torch.compile(update, dynamic=True, fullgraph=True)
    return made


def _compile_errors() -> tuple[type[Exception], ...]:
    """What torch raises where it does not compile; loaded late, for it takes seconds."""
    from torch._dynamo import exc

    # Of the limit on compiled sorts there is no common class; it is a plain exception.
    return exc.TorchDynamoException, exc.FailOnRecompileLimitHit


def _numbers(weight: Tensor, rate: float, decay: float, betas: tuple[float, float]) -> Tensor:
    numbers = [rate, decay, betas[0], 1 - betas[0], betas[1], 1 - betas[1]]
    dtype = torch.float64 if weight.dtype == torch.float64 else torch.float32
    return torch.tensor(numbers, dtype=dtype).to(weight.device)


def _check(what: str, given: object, holds: bool, allowed: str) -> None:
    if not holds:
        raise UsageError(f"{what} is {given!r}; it must be {allowed}")


def _check_options(group: dict[str, Any]) -> None:
    for name, what in (("lr", "the learning rate"), ("weight_decay", "weight_decay")):
        _check(what, group[name], group[name] >= 0, "0 or more")
    caution, steps, momentum_dtype = group["caution"], group["steps"], group["momentum_dtype"]
    _check("caution", caution, 0 <= caution <= 1, "from 0 to 1")
    _check("betas", group["betas"], len(group["betas"]) == 2, "two")
    for beta in group["betas"]:
        _check("a beta", beta, 0 <= beta < 1, "from 0 to below 1")
    _check("steps", steps, steps in get_args(Steps), f"one of {', '.join(get_args(Steps))}")
    known = get_args(MomentumDtype)
    _check("momentum_dtype", momentum_dtype, momentum_dtype in known, f"one of {', '.join(known)}")
    _check("steps", steps, steps != "compiled" or caution == 1, "single or foreach where caution is below 1")
