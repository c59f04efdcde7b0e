"""The space of recurrent cells."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from spaniel_neural.tapping import ModelSpace

from spaniel_training_free_nas import cells, recipes
from spaniel_training_free_nas.recipes import INPUT, SEEDS, Recipe

if TYPE_CHECKING:
    from spaniel import Context

    from spaniel_training_free_nas.config import RnnCellsConfig


class RnnCells(ModelSpace):
    """Samples, changes, counts, builds and runs recurrent networks; recipes of NAS-Bench-NLP are candidates as they are.

    Attributes:
        seeds: the cells of Elman's network, the GRU and the LSTM, to begin a walk with.
    """

    config: RnnCellsConfig

    def __init__(self, config: RnnCellsConfig, context: Context) -> None:
        super().__init__(config, context)
        self.limits = cells.Limits(config.nodes, config.states, config.bounded)
        self.seeds: Mapping[str, Recipe] = {
            name: recipe
            for name, recipe in SEEDS.items()
            if len(recipe) <= config.nodes and recipes.states(recipe) <= config.states
        }

    @cached_property
    def taps(self) -> frozenset[str]:
        """What a run shows."""
        import torch
        from spaniel_neural.taps import offered

        from spaniel_training_free_nas.recurrent import Recurrent

        with torch.device("meta"):
            return offered(Recurrent(SEEDS["rnn"], 1, 8, 8, 8))

    def sample(self, rng: np.random.Generator) -> Recipe:
        """Return a random cell."""
        return cells.sample(rng, self.limits)

    def mutate(self, candidate: Any, rng: np.random.Generator) -> Recipe:
        """Return a cell with one change."""
        return cells.mutate(candidate, rng, self.limits)

    def cross(self, first: Any, second: Any, rng: np.random.Generator) -> Recipe:
        """Return the first cell with a part of the second in it."""
        return cells.cross(first, second, rng, self.limits)

    def validate(self, candidate: Any) -> None:
        """Check a candidate.

        Raises:
            UsageError: it is no cell of the space.
        """
        recipes.validate(candidate, self.config.nodes, self.config.states)

    def canonical(self, candidate: Any) -> Recipe:
        """Return the cell with its nodes named and ordered by what they compute."""
        return recipes.canonical(candidate)

    def counts(self, candidate: Any) -> Mapping[str, float]:
        """Return ``parameters`` (with the embeddings), ``depth`` (linears one behind the other in a cell), ``nodes``, ``linears``,
        ``activations``, ``states``, and ``flops`` of a text of ``seq_len`` tokens."""
        self.validate(candidate)
        config = self.config
        hidden = config.hidden
        weights = biases = 0
        for layer in range(config.layers):
            source = hidden if layer else config.embedding
            for node in candidate.values():
                if node["op"] == "linear":
                    weights += hidden * sum(source if one == INPUT else hidden for one in node["input"])
                    biases += hidden
        depth: dict[str, int] = {}
        for name in recipes.order(candidate):
            node = candidate[name]
            depth[name] = max(depth.get(one, 0) for one in node["input"]) + (node["op"] == "linear")
        ops = [node["op"] for node in candidate.values()]
        return {
            "parameters": weights + biases + config.vocab_size * config.embedding,
            "depth": max(depth.values()),
            "nodes": len(ops),
            "linears": ops.count("linear"),
            "activations": sum(op.startswith("activation") for op in ops),
            "states": recipes.states(candidate),
            "flops": 2 * config.seq_len * weights,
        }

    def build(self, candidate: Any, seed: int) -> Any:
        """Return the network with fresh weights: a :class:`spaniel_training_free_nas.recurrent.Recurrent`, in eval mode.

        Raises:
            UsageError: the candidate is no cell of the space.
        """
        from spaniel_training_free_nas.recurrent import fresh_recurrent

        self.validate(candidate)
        config = self.config
        return fresh_recurrent(candidate, config.layers, config.vocab_size, config.embedding, config.hidden, seed)
