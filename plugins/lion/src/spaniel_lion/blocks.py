"""Steps in pieces that fit the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

BLOCK = 1 << 16
"""Numbers of each tensor that are worked on at a time: three or four such pieces fit a core's second-level cache."""


def blocks(*sides: Sequence[Tensor]) -> Iterator[list[list[Tensor]]]:
    """Cut lists of tensors of like shapes into pieces, so that work of many passes goes through memory once.

    On other devices than the processor, where calls cost more than passes, they come as they are, in one piece.

    Args:
        sides: lists of the same length; tensors at one place have the same shape.

    Yields:
        for each side a list of tensors: views of parts of large ones, or many small ones together.
    """
    first = sides[0]
    if not first or first[0].device.type != "cpu":
        yield [list(side) for side in sides]
        return
    held: list[list[Tensor]] = [[] for _ in sides]
    count = 0
    for tensors in zip(*sides, strict=True):
        size = tensors[0].numel()
        if count and count + size > BLOCK:
            yield held
            held, count = [[] for _ in sides], 0
        if size > BLOCK and all(tensor.is_contiguous() for tensor in tensors):
            for parts in zip(*(tensor.view(-1).split(BLOCK) for tensor in tensors), strict=True):
                yield [[part] for part in parts]
            continue
        for side, tensor in zip(held, tensors, strict=True):
            side.append(tensor)
        count += size
    if count:
        yield held
