"""Recurrent networks of any cell (Klyuchnikov et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from spaniel_neural import taps
from torch import Tensor, nn

from spaniel_training_free_nas import recipes
from spaniel_training_free_nas.recipes import INPUT, NEW, Recipe

_EMBEDDING_RANGE = 0.1
_ACTIVATIONS = {"activation_tanh": nn.Tanh, "activation_sigm": nn.Sigmoid, "activation_leaky_relu": nn.LeakyReLU}


class Cell(nn.Module):
    """One step: the input and the states before it → the states after it.

    Linears of several inputs are one matrix over their concatenation.
    """

    def __init__(self, recipe: Recipe, source: int, hidden: int) -> None:
        super().__init__()
        self.recipe = recipe
        self.steps = [(name, recipe[name]["op"], tuple(recipe[name]["input"])) for name in recipes.order(recipe)]
        self.states = recipes.states(recipe)
        self.entering = nn.Identity()
        self.made = nn.ModuleDict()
        for name, op, inputs in self.steps:
            if op == "linear":
                self.made[name] = nn.Linear(sum(source if one == INPUT else hidden for one in inputs), hidden)
            elif op in _ACTIVATIONS:
                self.made[name] = _ACTIVATIONS[op]()

    def forward(self, x: Tensor, states: Sequence[Tensor]) -> list[Tensor]:
        """``(B, source)`` and ``states`` times ``(B, hidden)`` → ``states`` times ``(B, hidden)``."""
        values: dict[str, Tensor] = {INPUT: x, "h_prev_0": self.entering(states[0])}
        values |= {f"h_prev_{at}": state for at, state in enumerate(states) if at}
        for name, op, inputs in self.steps:
            read = [values[one] for one in inputs]
            if op == "linear":
                values[name] = self.made[name](read[0] if len(read) == 1 else torch.cat(read, -1))
            elif op in _ACTIVATIONS:
                values[name] = self.made[name](read[0])
            elif op == "blend":
                values[name] = torch.lerp(read[2], read[1], read[0])
            else:
                made = read[0]
                for one in read[1:]:
                    made = made * one if op == "elementwise_prod" else made + one
                values[name] = made
        return [values[f"{NEW}{at}"] for at in range(self.states)]


class Recurrent(nn.Module):
    """Embeddings and cells on top of one another; see :class:`spaniel_neural.taps.Tappable`.

    Weights are uniform in ``±1/√hidden``, embeddings in ``±0.1``, as in NAS-Bench-NLP.
    """

    recurrent = True
    positions = None

    def __init__(self, recipe: Recipe, layers: int, vocabulary: int, embedding: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.words = nn.Embedding(vocabulary, embedding)
        self.cells = nn.ModuleList(Cell(recipe, hidden if at else embedding, hidden) for at in range(layers))

    def embed(self, ids: Tensor) -> Tensor:
        """``(B, L)`` int64 → ``(B, L, embedding)``."""
        made: Tensor = self.words(ids)
        return made

    def forward(self, embedded: Tensor, mask: Tensor) -> Tensor:
        """``(B, L, embedding)`` → ``(B, L, hidden)``; states begin at 0; padding, which stands behind, is read too."""
        steps = embedded
        for cell in self.cells:
            assert isinstance(cell, Cell)
            states = [embedded.new_zeros(len(embedded), self.hidden) for _ in range(cell.states)]
            states[0].requires_grad_(torch.is_grad_enabled())
            outputs = []
            for x in steps.unbind(1):
                states = cell(x, states)
                outputs.append(states[0])
            steps = torch.stack(outputs, 1)
        return steps

    def parts(self) -> Mapping[str, Sequence[Sequence[nn.Module]]]:
        """Return the modules that taps show, layer by layer."""
        cells: list[Any] = list(self.cells)
        return {
            taps.HIDDEN: [[cell.entering] for cell in cells],
            taps.ACTIVATIONS: [[one for one in cell.made.values() if not isinstance(one, nn.Linear)] for cell in cells],
            taps.SYNAPSES: [[one for one in cell.made.values() if isinstance(one, nn.Linear)] for cell in cells],
        }


def fresh_recurrent(recipe: Recipe, layers: int, vocabulary: int, embedding: int, hidden: int, seed: int) -> Recurrent:
    """Make a network with fresh weights, whatever the state of torch's random stream."""
    with torch.device("meta"):
        network = Recurrent(recipe, layers, vocabulary, embedding, hidden)
    network.to_empty(device="cpu")
    random = torch.Generator().manual_seed(seed)
    bound = 1 / math.sqrt(hidden)
    with torch.no_grad():
        network.words.weight.uniform_(-_EMBEDDING_RANGE, _EMBEDDING_RANGE, generator=random)
        for parameter in network.cells.parameters():
            parameter.uniform_(-bound, bound, generator=random)
    return network.eval()


def entering_states(network: nn.RNNBase, inputs: Tensor) -> Tensor:
    """Return the states that enter the time steps of the first layer of a network of torch.

    Args:
        network: an ``RNN``, ``GRU`` or ``LSTM`` with ``batch_first=True``, of one direction and layer.
        inputs: ``(B, T, E)``.

    Returns:
        ``(B, T, H)``, as the tap ``hidden`` has them; the first are 0.
    """
    outputs = network(inputs)[0]
    return torch.cat([torch.zeros_like(outputs[:, :1]), outputs[:, :-1]], 1)
