"""What a model shows of one pass, under names that spaces of models offer and proxies ask for.

A space whose candidates are transformers or recurrent networks is a :class:`spaniel.protocols.Tapped`: its ``forward``
builds a candidate and returns :func:`see`. A proxy names the taps that it reads, so that all proxies share one pass. The
pass goes backward only where a tap asks for gradients. A space says in its attribute ``taps`` which it offers.

Taps of outputs and of weights have one list for each block of the model, with what its modules gave in their order; a
block without such modules has an empty list. Tensors are detached. ``B`` texts, ``L`` tokens.

=====================  ==============================================================================================
``hidden``             ``(B, L, h)``, what each block gave; of a recurrent layer the states that enter its time steps
``ffn-before``         ``(B, L, f)``, each linear of a feed-forward network before its non-linearity
``ffn-after``          ``(B, L, f)``, the same behind the non-linearity
``activations``        ``(B, L, d)``, what each non-linearity gave: ``ffn-after``; of a recurrent cell all its own
``projections``        ``(B, L, d)``, what the heads are made of: queries, keys, values, inputs of transforms
``attention``          ``(B, heads, L, L)``, attention weights: queries × keys
``synapses``           :class:`Weight`, linears of feed-forward networks; of recurrent cells all, where the gradient is that of
                       half the squared output
``operation-weights``  :class:`Weight`, linears of the attention, or what stands in its place, the last one included
``projection-weights`` :class:`Weight`, linears that give ``projections``
``hidden-gradients``   as ``hidden``: gradients in it
``input-gradient``     ``(B, L, E)``, gradient in the embedded tokens
:func:`noised`         the same, where noise was added to the embedded tokens: one more pass each
``position-gradient``  ``(P, E)``, gradient in the embeddings of positions
``output``             ``(B, L, h)``
``mask``               ``(B, L)`` bool, false where a token is padding
``parameters``         how many parameters the model has
=====================  ==============================================================================================
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, Protocol

import torch
from spaniel import UsageError
from torch import Tensor, nn

from spaniel_neural.capture import capture

HIDDEN, FFN_BEFORE, FFN_AFTER = "hidden", "ffn-before", "ffn-after"
ACTIVATIONS, PROJECTIONS, ATTENTION = "activations", "projections", "attention"
SYNAPSES, OPERATION_WEIGHTS, PROJECTION_WEIGHTS = "synapses", "operation-weights", "projection-weights"
HIDDEN_GRADIENTS, INPUT_GRADIENT, POSITION_GRADIENT = "hidden-gradients", "input-gradient", "position-gradient"
OUTPUT, MASK, PARAMETERS = "output", "mask", "parameters"

OUTPUTS = (HIDDEN, FFN_BEFORE, FFN_AFTER, ACTIVATIONS, PROJECTIONS, ATTENTION)
WEIGHTS = (SYNAPSES, OPERATION_WEIGHTS, PROJECTION_WEIGHTS)
_NOISED = "input-gradient-noised-by-"
_ALWAYS = (OUTPUT, MASK, PARAMETERS, INPUT_GRADIENT)


class Weight(NamedTuple):
    """A matrix with the gradient that reached it, both ``(out, in)``."""

    name: str
    value: Tensor
    gradient: Tensor


class Tappable(Protocol):
    """What a model is that :func:`see` can run: a :class:`torch.nn.Module` with these.

    Attributes:
        recurrent: whether its modules run once for each time step; what they gave is then stacked along the tokens.
        positions: the module whose ``weight`` embeds positions, ``None`` without one.
    """

    @property
    def recurrent(self) -> bool: ...

    @property
    def positions(self) -> nn.Module | None: ...

    def embed(self, ids: Tensor) -> Tensor:
        """Return the embeddings of tokens: ``(B, L)`` → ``(B, L, E)``."""
        ...

    def forward(self, embedded: Tensor, mask: Tensor) -> Tensor:
        """Run the rest: ``(B, L, E)`` and ``(B, L)`` → ``(B, L, h)``."""
        ...

    def parts(self) -> Mapping[str, Sequence[Sequence[nn.Module]]]:
        """Return, for taps of outputs and weights, the modules of each block."""
        ...


def noised(amplitude: float) -> str:
    """Return the tap of the gradient in noised inputs: to each number, amplitude × its variance over the texts × N(0, 1)."""
    return f"{_NOISED}{amplitude:g}"


def offered(model: Tappable) -> frozenset[str]:
    """Return the taps that a model has; those of :func:`noised`, which all have, are not among them.

    A model names all taps that models of its space have in ``parts``, with empty blocks where it has no such modules.
    """
    made = {*_ALWAYS, *model.parts()}
    return frozenset(
        made
        | ({HIDDEN_GRADIENTS} if HIDDEN in made else set())
        | ({POSITION_GRADIENT} if model.positions is not None else set())
    )


def has_tap(taps: Collection[str], name: str) -> bool:
    """Whether a tap is among those that a space offers."""
    return name in taps or (name.startswith(_NOISED) and INPUT_GRADIENT in taps)


def check_taps(taps: Collection[str], wanted: Sequence[str], what: str) -> None:
    """Make sure that a space offers what is asked for.

    Raises:
        UsageError: a tap is not there; the message names those that are.
    """
    missing = [name for name in wanted if not has_tap(taps, name)]
    if missing:
        raise UsageError(f"{what} does not show {missing[0]!r}; it shows {', '.join(sorted(taps))}")


def flat(blocks: Sequence[Sequence[Any]]) -> list[Any]:
    """Return what the blocks gave as one list."""
    return [one for block in blocks for one in block]


def see(
    model: Tappable,
    ids: Tensor,
    mask: Tensor,
    taps: Sequence[str],
    seed: int,
    *,
    readout: Literal["signs", "sum"] = "signs",
    train_mode: bool = False,
) -> dict[str, Any]:
    """Run a model once on a batch, forward and where needed backward, and return what each tap saw.

    Gradients are those of ``Σ s ⊙ output`` over the tokens that are no padding, with random signs ``s`` or with ones.

    Args:
        model: an ``nn.Module``; its parameters and mode are left as they were.
        ids: ``(B, L)`` int64.
        mask: ``(B, L)`` bool.
        taps: names, see above.
        seed: decides signs, noise and dropout.
        readout: signs, or ones. The features of a normalised output add up to a constant, whatever the weights, so that
            behind a layer normalisation with fresh weights the gradients of the plain sum are rounding errors.
        train_mode: whether dropout is on.

    Raises:
        UsageError: the model has no such tap.
    """
    module: Any = model
    check_taps(offered(model), taps, f"this {type(model).__name__}")
    parts = {name: model.parts()[name] for name in OUTPUTS if name in taps or f"{name}-gradients" in taps}
    weighty = {name: model.parts()[name] for name in WEIGHTS if name in taps}
    noises = [float(name.removeprefix(_NOISED)) for name in taps if name.startswith(_NOISED)]
    backward = bool(weighty or noises or {HIDDEN_GRADIENTS, INPUT_GRADIENT, POSITION_GRADIENT} & set(taps))
    random = torch.Generator().manual_seed(seed)
    with _mode(module, train_mode, seed), torch.set_grad_enabled(backward):
        embedded = model.embed(ids).detach().requires_grad_(backward)
        with capture(module, [one for blocks in parts.values() for one in flat(blocks)]) as recorded:
            output: Tensor = module(embedded, mask)
        signs = torch.ones_like(output)
        if readout == "signs":
            signs = torch.randint(0, 2, output.shape, generator=random).to(output) * 2 - 1
        signs = signs * mask[..., None]
        names = {id(one): name for name, one in module.named_modules()}
        calls = {
            name: [[[call.output for call in recorded[names[id(one)]]] for one in block] for block in blocks]
            for name, blocks in parts.items()
        }
        seen: dict[str, Any] = {
            name: [[_joined(one, model.recurrent) for one in block] for block in blocks]
            for name, blocks in calls.items()
        }
        seen |= {OUTPUT: output.detach(), MASK: mask, PARAMETERS: sum(one.numel() for one in module.parameters())}
        if backward:
            seen |= _gradients(model, taps, embedded, output, signs, calls.get(HIDDEN, []), weighty, names)
        variance = embedded.detach().var(0, correction=0, keepdim=True)
        for amplitude in noises:
            noise = torch.randn(embedded.shape, generator=torch.Generator().manual_seed(seed)).to(embedded)
            moved = (embedded.detach() + amplitude * variance * noise).requires_grad_()
            (seen[noised(amplitude)],) = torch.autograd.grad(module(moved, mask), [moved], signs)
    return {name: seen[name] for name in taps}


def _gradients(
    model: Tappable,
    taps: Sequence[str],
    embedded: Tensor,
    output: Tensor,
    signs: Tensor,
    hidden: Sequence[Sequence[Sequence[Tensor]]],
    weighty: Mapping[str, Sequence[Sequence[nn.Module]]],
    names: Mapping[int, str],
) -> dict[str, Any]:
    """Go backward once; a second time for recurrent synapses, which are another gradient."""
    squared = model.recurrent and SYNAPSES in weighty
    matrices: dict[int, Tensor] = {id(one): _matrix(one) for blocks in weighty.values() for one in flat(blocks)}
    states = flat([flat(block) for block in hidden]) if HIDDEN_GRADIENTS in taps else []
    positions = [_matrix(model.positions)] if model.positions is not None and POSITION_GRADIENT in taps else []
    inputs = [embedded, *positions, *states, *matrices.values()]
    found = torch.autograd.grad(output, inputs, signs, retain_graph=squared, allow_unused=True)
    filled = [
        torch.zeros_like(one) if gradient is None else gradient for one, gradient in zip(inputs, found, strict=True)
    ]
    seen: dict[str, Any] = {INPUT_GRADIENT: filled[0]}
    if positions:
        seen[POSITION_GRADIENT] = filled[1]
    if HIDDEN_GRADIENTS in taps:
        left = iter(filled[1 + len(positions) :])
        seen[HIDDEN_GRADIENTS] = [
            [_joined([next(left) for _ in one], model.recurrent) for one in block] for block in hidden
        ]
    by_matrix = dict(zip(matrices, filled[len(inputs) - len(matrices) :], strict=True))
    for name, blocks in weighty.items():
        gradients: Mapping[int, Tensor] = by_matrix
        if name == SYNAPSES and squared:
            asked = [id(one) for one in flat(blocks)]
            wanted = torch.autograd.grad(output, [matrices[at] for at in asked], output.detach(), allow_unused=True)
            gradients = {
                at: torch.zeros_like(matrices[at]) if one is None else one
                for at, one in zip(asked, wanted, strict=True)
            }
        seen[name] = [
            [Weight(names[id(one)], _matrix(one).detach(), gradients[id(one)]) for one in block] for block in blocks
        ]
    return seen


def _joined(calls: Sequence[Tensor], recurrent: bool) -> Tensor:
    return torch.stack([one.detach() for one in calls], 1) if recurrent else calls[0].detach()


def _matrix(module: nn.Module) -> Tensor:
    weight = module.weight
    assert isinstance(weight, Tensor)  # parts() names linears and embeddings
    return weight


@contextmanager
def _mode(module: nn.Module, train_mode: bool, seed: int) -> Iterator[None]:
    before = module.training
    module.train(train_mode)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        module.train(before)
