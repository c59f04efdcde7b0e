"""Factory strings of faiss, checked before there are vectors."""

from __future__ import annotations

import re
from importlib.util import find_spec

_DIMENSIONS = 64
_MOST = 10**7
_LISTS = re.compile(r"IVF\d+|IMI2x\d+")
_OF_VECTORS = re.compile(r"dimension|d % |d_out|d_in|subquantizers|divisible", re.IGNORECASE)
"""What faiss says where a string fits vectors of other dimensions."""


def check_factory(factory: str) -> str:
    """Return a factory string that faiss understands; whether it fits the vectors is seen when there are any.

    Without faiss nothing is checked, since nothing can be built.

    Raises:
        ValueError: faiss does not understand it, or a number in it is 0 or above ten million.
    """
    numbers = [int(number) for number in re.findall(r"\d+", factory[:1000])]
    if len(factory) > 1000 or any(number > _MOST for number in numbers):
        raise ValueError(f"{factory[:60]!r} has more than 1000 characters, or a number above {_MOST}")
    if re.search(r"(?:HNSW|NSG)[01](?!\d)", factory):
        raise ValueError(f"{factory!r}: a graph has at least 2 neighbours")
    if find_spec("faiss") is None:
        return factory
    import faiss

    # Lists take memory as soon as an index is made.
    small = _LISTS.sub(lambda found: "IMI2x4" if found[0].startswith("IMI") else "IVF4", factory)
    if any(int(number) == 0 for number in re.findall(r"(?:IVF|IMI2x)(\d+)", factory)):
        raise ValueError(f"{factory!r}: an inverted file has at least one list")
    try:
        faiss.index_factory(_DIMENSIONS, small, faiss.METRIC_INNER_PRODUCT)
    except Exception as error:  # faiss raises RuntimeError; strings that are none reach its own parsing of numbers
        said = str(error).rpartition("Error: ")[2] or str(error)
        if not _OF_VECTORS.search(said):
            raise ValueError(
                f"faiss takes no {factory!r} ({said[:120]}); HNSW32,Flat and IVF1024,PQ48x4fs are two"
            ) from error
    return factory
