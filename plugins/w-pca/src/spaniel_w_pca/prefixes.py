"""One pass over a network whose first blocks have been run before, for another candidate.

Weights are drawn block after block from one stream, so that candidates that begin alike have the same weights there, and
give the same numbers. A genetic search crosses and changes a few candidates, and most of its children begin like others.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from spaniel_neural.blocks import fresh
from spaniel_neural.capture import capture
from spaniel_neural.taps import OUTPUTS, flat
from torch import Tensor, nn

from spaniel_w_pca.network import Layer, Sizes, TrigramEmbeddings, block_parts, make_block

_MEGABYTE = 2**20


@dataclass(frozen=True, eq=False)
class Stage:
    """What is known behind a block, or behind the embeddings.

    Attributes:
        hidden: ``(B, L, h)``.
        random: state of the stream of weights.
        seen: what each tap saw of the block, empty behind the embeddings.
    """

    hidden: Tensor
    random: Tensor
    seen: dict[str, list[Tensor]]

    @property
    def size(self) -> int:
        """Bytes; a tensor that several taps show counts once."""
        tensors = {id(one): one for one in [self.hidden, *flat(list(self.seen.values()))]}
        return sum(one.nbytes for one in tensors.values())


class Prefixes:
    """Runs networks on one batch, and keeps what their beginnings gave, the least recently used forgotten first.

    Args:
        sizes: what all blocks share.
        megabytes: kept at most.
    """

    def __init__(self, sizes: Sizes, megabytes: int) -> None:
        self.sizes = sizes
        self.limit = megabytes * _MEGABYTE
        self.kept: OrderedDict[tuple[Any, ...], Stage] = OrderedDict()
        self.used = 0
        self.run = 0
        """Blocks that were run."""

    def see(self, layers: Sequence[Layer], ids: Tensor, mask: Tensor, taps: Sequence[str], seed: int) -> dict[str, Any]:
        """Return what :func:`spaniel_neural.taps.see` returns for taps of outputs, without building the network whole."""
        shown = tuple(name for name in OUTPUTS if name in taps)
        with torch.no_grad():
            stage = self._stage((seed, shown), partial(self._embed, ids, mask, seed))
            stages = []
            for at, layer in enumerate(layers, 1):
                stage = self._stage((seed, shown, *layers[:at]), partial(self._block, layer, stage, mask, shown))
                stages.append(stage)
        seen: dict[str, Any] = {name: [one.seen[name] for one in stages] for name in shown}
        return {**seen, "output": stage.hidden, "mask": mask}

    def _stage(self, key: tuple[Any, ...], make: Callable[[], Stage]) -> Stage:
        known = self.kept.get(key)
        if known is not None:
            self.kept.move_to_end(key)
            return known
        stage = make()
        self.kept[key] = stage
        self.used += stage.size
        while self.used > self.limit and len(self.kept) > 1:
            self.used -= self.kept.popitem(last=False)[1].size
        return stage

    def _embed(self, ids: Tensor, mask: Tensor, seed: int) -> Stage:
        random = torch.Generator().manual_seed(seed)
        embeddings: Any = fresh(lambda: TrigramEmbeddings(self.sizes), random).to(ids.device)
        return Stage(embeddings(embeddings.words(ids), mask), random.get_state(), {})

    def _block(self, layer: Layer, before: Stage, mask: Tensor, shown: Sequence[str]) -> Stage:
        self.run += 1
        random = torch.Generator()
        random.set_state(before.random)
        block: nn.Module = fresh(lambda: make_block(layer, self.sizes), random).to(mask.device)
        parts = {name: block_parts(block)[name] for name in shown}
        names = {id(module): name for name, module in block.named_modules()}
        with capture(block, flat(list(parts.values()))) as recorded:
            hidden = block(before.hidden, mask)
        seen = {name: [recorded[names[id(one)]][0].output for one in modules] for name, modules in parts.items()}
        return Stage(hidden, random.get_state(), seen)
