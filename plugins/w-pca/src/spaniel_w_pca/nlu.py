"""The space of the paper: encoders of BERT's and MobileBERT's blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from spaniel.protocols import Axis
from spaniel_neural.tapping import ModelSpace

from spaniel_w_pca import arrays
from spaniel_w_pca.arrays import Candidate

if TYPE_CHECKING:
    from spaniel import Context

    from spaniel_w_pca.config import NluConfig
    from spaniel_w_pca.network import Layer, Sizes


class NluSpace(ModelSpace):
    """Samples, changes, counts, builds and runs encoders; see :mod:`spaniel_neural.taps` for what a run shows.

    Attributes:
        axes: the sort of each block.
    """

    config: NluConfig

    def __init__(self, config: NluConfig, context: Context) -> None:
        arrays.check_limit(config)
        super().__init__(config, context)
        self.axes = tuple(Axis(f"block {at + 1}", arrays.codes(config), ordered=False) for at in range(config.layers))

    # Candidates

    def sample(self, rng: np.random.Generator) -> Candidate:
        """Return a candidate, all within the limit equally likely."""
        return arrays.sample(self.config, rng)

    def mutate(self, candidate: Any, rng: np.random.Generator) -> Candidate:
        """Return a candidate with some codes drawn anew, each with a chance of 0.1, one at the least."""
        return arrays.mutate(self.config, candidate, rng)

    def cross(self, first: Any, second: Any, rng: np.random.Generator) -> Candidate:
        """Return a candidate with each code from one of two."""
        return arrays.cross(self.config, first, second, rng)

    def validate(self, candidate: Any) -> None:
        """Check a candidate.

        Raises:
            UsageError: it is none, or over the limit.
        """
        arrays.validate(self.config, candidate)

    def canonical(self, candidate: Any) -> Candidate:
        """Return the candidate: no two describe one network."""
        return list(candidate)

    def place(self, candidate: Any) -> list[float]:
        """Return the point of a candidate."""
        return [float(code) for code in candidate]

    def at(self, point: Sequence[float]) -> Candidate:
        """Return the candidate at a point; one over the limit has its last blocks made the smallest."""
        return arrays.shrink(self.config, [int(value) for value in point], list(range(self.config.layers))[::-1])

    def counts(self, candidate: Any) -> Mapping[str, float]:
        """Return ``parameters``, those of the ``blocks``, ``counted`` ones, ``depth``, ``bottlenecks``, and ``flops`` of a
        text of ``seq_len`` tokens, multiplications and additions."""
        self.validate(candidate)
        config = self.config
        blocks = sum(arrays.block_parameters(config, code) for code in candidate)
        narrow = sum(arrays.shape(config, code)[0] == "mobilebert" for code in candidate)
        widths = config.hidden * (len(candidate) - narrow) + config.ffn_units * narrow
        linears = blocks + 3 * config.embed * config.hidden
        return {
            "parameters": blocks + arrays.embedding_parameters(config),
            "blocks": blocks,
            "counted": arrays.counted(config, candidate),
            "depth": len(candidate),
            "bottlenecks": narrow,
            "flops": 2 * config.seq_len * linears + 4 * config.seq_len**2 * widths,
        }

    # Networks

    @property
    def sizes(self) -> Sizes:
        """What all networks share."""
        from spaniel_w_pca.network import Sizes

        c = self.config
        return Sizes(c.hidden, c.heads, c.ffn_units, c.vocab_size, c.embed, c.positions, c.dropout)

    def layers(self, candidate: Any) -> list[Layer]:
        """Return the blocks of a candidate."""
        from spaniel_w_pca.network import Layer

        return [Layer(*arrays.shape(self.config, code)) for code in candidate]

    def build(self, candidate: Any, seed: int) -> Any:
        """Return the encoder with fresh weights: a :class:`spaniel_w_pca.network.Encoder`, in eval mode.

        Raises:
            UsageError: the candidate does not belong to the space.
        """
        from spaniel_neural.blocks import fresh

        from spaniel_w_pca.network import Encoder

        self.validate(candidate)
        return fresh(lambda: Encoder(self.layers(candidate), self.sizes), seed)

    @cached_property
    def taps(self) -> frozenset[str]:
        """What a run shows."""
        import torch
        from spaniel_neural.taps import offered

        from spaniel_w_pca.network import Encoder
        from spaniel_w_pca.proxies import BOTTLENECKS

        with torch.device("meta"):
            return offered(Encoder(self.layers([0]), self.sizes)) | {BOTTLENECKS}

    def forward(self, candidate: Any, seed: int, taps: Sequence[str]) -> dict[str, Any]:
        """Run a candidate once on the texts of ``config.data``, and return what each tap saw.

        Where no tap needs a gradient, blocks that another candidate began with are not run again (``shared``).
        """
        from spaniel_neural.devices import choose_device
        from spaniel_neural.probing import probe
        from spaniel_neural.taps import MASK, OUTPUT, OUTPUTS, PARAMETERS, check_taps

        from spaniel_w_pca.proxies import BOTTLENECKS

        config = self.config
        check_taps(self.taps, taps, type(self).__name__)
        self.validate(candidate)
        own = {
            BOTTLENECKS: [layer.family == "mobilebert" for layer in self.layers(candidate)],
            PARAMETERS: arrays.counted(config, candidate),
        }
        asked = [name for name in taps if name not in own]
        if config.shared and not config.train_mode and {*asked} <= {*OUTPUTS, OUTPUT, MASK}:
            device = choose_device(self.context.device)
            ids, mask = (one.to(device) for one in probe(self.context, config, config.vocab_size))
            seen = self._prefixes.see(self.layers(candidate), ids, mask, asked, seed)
        else:
            seen = super().forward(candidate, seed, asked)
        return {name: own.get(name, seen.get(name)) for name in taps}

    @cached_property
    def _prefixes(self) -> Any:
        from spaniel_w_pca.prefixes import Prefixes

        return Prefixes(self.sizes, self.config.shared)
