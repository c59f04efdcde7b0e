"""The FlexiBERT space: small encoders whose blocks differ in operation, heads and feed-forward network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from spaniel.protocols import Axis
from spaniel_neural.tapping import ModelSpace

from spaniel_training_free_nas import architectures
from spaniel_training_free_nas.architectures import GENES, Candidate

if TYPE_CHECKING:
    from spaniel import Context

    from spaniel_training_free_nas.config import FlexiBertConfig


class FlexiBert(ModelSpace):
    """Samples, changes, counts, builds and runs encoders; see :mod:`spaniel_neural.taps` for what a run shows.

    Attributes:
        axes: width, number of blocks, and for each block that there can be its operation, heads, feed-forward width and
            number of feed-forward linears.
    """

    config: FlexiBertConfig

    def __init__(self, config: FlexiBertConfig, context: Context) -> None:
        if config.compat:
            config = config.model_copy(update={"train_mode": True, "mask_padding": False, "readout": "sum"})
        super().__init__(config, context)
        self._values: list[tuple[Any, ...]] = [config.hidden, config.layers]
        self._values += [values for _ in range(max(config.layers)) for values in architectures.choices(config).values()]
        names = ["hidden", "layers", *(f"{gene} {at + 1}" for at in range(max(config.layers)) for gene in GENES)]
        self.axes = tuple(
            Axis(name, len(values), not name.startswith("op")) for name, values in zip(names, self._values, strict=True)
        )

    @cached_property
    def taps(self) -> frozenset[str]:
        """What a run shows."""
        from spaniel_neural.taps import offered

        return offered(self._model(self.sample(np.random.default_rng(0))))

    def sample(self, rng: np.random.Generator) -> Candidate:
        """Return a candidate: width and depth, then for each block a family of operations and one of them, and the rest."""
        return architectures.sample(self.config, architectures.picker(rng))

    def published(self, n: int = 500) -> list[Candidate]:
        """Return the first candidates of the published benchmark, of which there are 500; with the default choices."""
        return architectures.published(self.config, n)

    def size(self) -> int:
        """Return how many candidates there are."""
        return architectures.size(self.config)

    def mutate(self, candidate: Any, rng: np.random.Generator) -> Candidate:
        """Return a candidate with one gene changed."""
        return architectures.mutate(self.config, candidate, rng)

    def cross(self, first: Any, second: Any, rng: np.random.Generator) -> Candidate:
        """Return a candidate with each part from one of two."""
        return architectures.cross(first, second, rng)

    def validate(self, candidate: Any) -> None:
        """Check a candidate.

        Raises:
            UsageError: it does not belong to the space.
        """
        architectures.validate(self.config, candidate)

    def canonical(self, candidate: Any) -> Candidate:
        """Return what is built of the candidate: genes without effect have one value."""
        return architectures.canonical(self.config, candidate)

    def counts(self, candidate: Any) -> Mapping[str, float]:
        """Return sizes, see :func:`spaniel_training_free_nas.architectures.count`."""
        self.validate(candidate)
        return architectures.count(self.config, candidate)

    def build(self, candidate: Any, seed: int) -> Any:
        """Return the encoder with fresh weights: an :class:`spaniel_training_free_nas.encoder.Encoder`, in eval mode.

        Raises:
            UsageError: the candidate does not belong to the space.
        """
        from spaniel_neural.blocks import fresh

        self.validate(candidate)
        return fresh(lambda: self._model(candidate), seed, self.config.std)

    def place(self, candidate: Any) -> list[float]:
        """Return the point of a candidate; axes of blocks that it does not have are 0."""
        genes = [candidate["hidden"], len(candidate["layers"])]
        genes += [layer[gene] for layer in candidate["layers"] for gene in GENES]
        placed = [float(values.index(gene)) for gene, values in zip(genes, self._values, strict=False)]
        return placed + [0.0] * (len(self._values) - len(placed))

    def at(self, point: Sequence[float]) -> Candidate:
        """Return the candidate at a point."""
        hidden, layers, *genes = (values[int(at)] for values, at in zip(self._values, point, strict=True))
        width = len(GENES)
        blocks = [dict(zip(GENES, genes[at * width : (at + 1) * width], strict=True)) for at in range(layers)]
        return {"hidden": hidden, "layers": blocks}

    def _model(self, candidate: Candidate) -> Any:
        import torch

        from spaniel_training_free_nas.encoder import Encoder, Layer

        config = self.config
        hidden, blocks = architectures.built(config, candidate)
        bare = {"DFT", "DCT"} if config.compat else set()
        with torch.device("meta"):
            return Encoder(
                [Layer(op, heads, widths, bare=op in bare) for op, heads, widths in blocks],
                hidden,
                vocabulary=config.vocab_size,
                embedding=config.embedding,
                longest=config.positions,
                dropout=config.dropout,
            )
