"""The parts of a model, found by what its architecture calls them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from spaniel import UsageError
from torch import nn

from spaniel_neural.architectures import ARCHITECTURES, Architecture, AttentionNames, StackKind, StackNames
from spaniel_neural.parts import Anatomy, Attention, Block, ConvNet, Mlp, Part


def walk(model: nn.Module) -> Anatomy:
    """Return the parts of a transformer of transformers, with whatever head.

    Raises:
        UsageError: its architecture is unknown, or it lacks a part that its architecture has.
    """
    kind = getattr(getattr(model, "config", None), "model_type", None)
    known = {name: architecture for architecture in ARCHITECTURES for name in architecture.model_types}
    if kind not in known:
        raise UsageError(
            f"the architecture of {type(model).__name__} ({kind or 'no model of transformers'}) is unknown; known are "
            f"{', '.join(known)}, and networks of convolutions by walk_convolutions"
        )
    return _Walker(model, known[kind]).anatomy()


def walk_convolutions(model: nn.Module, example: torch.Tensor | None = None) -> ConvNet:
    """Return the parts of a convolutional network.

    Args:
        example: an input; the model runs on it once, so that layers are in the order in which they run, and those that do
            not run are left out.

    Raises:
        UsageError: there are no convolutions.
    """
    parts = [Part(name, module) for name, module in model.named_modules()]
    if example is not None:
        with _running_order(parts) as ran, torch.no_grad():
            model(example)
        parts = list({part.name: part for part in ran}.values())

    def of(*kinds: type) -> tuple[Part, ...]:
        return tuple(part for part in parts if isinstance(part.module, kinds))

    convolutions = of(nn.Conv1d, nn.Conv2d, nn.Conv3d)
    if not convolutions:
        raise UsageError(f"{type(model).__name__} has no convolutions; transformers are walked by walk")
    norms = of(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm, nn.LayerNorm, nn.InstanceNorm2d)
    return ConvNet(convolutions, norms, of(nn.Linear))


@contextmanager
def _running_order(parts: Sequence[Part]) -> Iterator[list[Part]]:
    ran: list[Part] = []
    handles = [part.module.register_forward_hook(lambda *_, part=part: ran.append(part)) for part in parts]
    try:
        yield ran
    finally:
        for handle in handles:
            handle.remove()


class _Walker:
    """Finds the parts that a description names."""

    def __init__(self, model: nn.Module, architecture: Architecture) -> None:
        self.model: Any = model
        self.architecture = architecture
        self.modules = dict(model.named_modules())
        base = self.model.base_model
        self.base = next(name for name, module in self.modules.items() if module is base)

    def anatomy(self) -> Anatomy:
        described = self.architecture
        stacks = [stack for stack in described.stacks if self._name(self.base, stack.blocks) in self.modules]
        if not stacks:
            wanted = " or ".join(stack.blocks for stack in described.stacks)
            raise UsageError(f"{type(self.model).__name__} has no {wanted}, as {described.name} has")
        words = self._part(self.base, described.words)
        positions, norms = self._parts(described.positions), self._parts(described.norms)
        own = {self._top(part.name) for part in (words, *positions, *norms)}
        own |= {self._top(self._name(self.base, stack.blocks)) for stack in stacks}
        return Anatomy(
            described.name,
            tuple(block for stack in stacks for block in self._blocks(stack)),
            words,
            positions,
            norms,
            tuple(self._heads(own)),
            self._unembedding(),
        )

    def _blocks(self, stack: StackNames) -> Iterator[Block]:
        blocks = self._part(self.base, stack.blocks)
        for index in range(len(blocks.module)):
            name = f"{blocks.name}.{index}"
            yield Block(
                name,
                self.modules[name],
                stack.kind,
                index,
                self._attention(name, stack.attention, stack.kind),
                self._attention(name, stack.cross, stack.kind) if stack.cross else None,
                Mlp(
                    self._part(name, stack.up),
                    self._part(name, stack.down),
                    self._maybe(name, stack.gate) if stack.gate else None,
                ),
                tuple(self._part(name, norm) for norm in stack.norms),
            )

    def _attention(self, block: str, names: AttentionNames, kind: StackKind) -> Attention:
        module = self._part(block, names.module)
        q, k, v, o = (self._part(block, name) for name in (names.q, names.k, names.v, names.o))
        # The weights say how many heads there are: a model that heads were cut from keeps its configuration.
        size = self._head_size(kind)
        heads, kv_heads = q.module.out_features // size, k.module.out_features // size
        return Attention(module.name, module.module, q, k, v, o, heads, kv_heads, size)

    def _head_size(self, kind: StackKind) -> int:
        config = self.model.config.get_text_config()
        given = getattr(config, "d_kv", None) or getattr(config, "head_dim", None)
        if given:
            return int(given)
        heads = getattr(config, f"{kind}_attention_heads", None) or config.num_attention_heads
        return int(config.hidden_size) // int(heads)

    def _heads(self, own: set[str]) -> Iterator[Part]:
        for name, module in self.modules.items():
            above, _, last = name.rpartition(".")
            direct = last and name != self.base and above in ("", self.base)
            if direct and self._top(name) not in own and next(module.parameters(), None) is not None:
                yield Part(name, module)

    def _unembedding(self) -> Part | None:
        layer = self.model.get_output_embeddings()
        names = [name for name, module in self.modules.items() if module is layer]
        return Part(names[0], layer) if layer is not None and names else None

    def _top(self, name: str) -> str:
        """Return the name of the base's, or the model's, child that a part is in."""
        prefix = f"{self.base}." if self.base and name.startswith(f"{self.base}.") else ""
        return prefix + name.removeprefix(prefix).partition(".")[0]

    def _parts(self, names: Sequence[str]) -> tuple[Part, ...]:
        return tuple(part for name in names if (part := self._maybe(self.base, name)) is not None)

    def _maybe(self, above: str, name: str) -> Part | None:
        if name.startswith("["):
            full = self._name(above, name[1:-1])
            return Part(full, self.modules[full]) if full in self.modules else None
        return self._part(above, name)

    def _part(self, above: str, name: str) -> Part:
        for choice in name.split("|"):
            full = self._name(above, choice)
            if full in self.modules:
                return Part(full, self.modules[full])
        where = above or type(self.model).__name__
        raise UsageError(f"{where} has no {name.replace('|', ' or ')}, as {self.architecture.name} has")

    @staticmethod
    def _name(above: str, name: str) -> str:
        return f"{above}.{name}" if above else name
