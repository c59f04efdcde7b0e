"""What holds plugins to their contracts, for the authors of plugins.

One line in a test file does most of it::

    from spaniel.testing import contract

    test_overlap = contract("rerank/overlap", options={"k": 10})

The fixtures ``isolated_plugins``, ``run_cli``, ``tiny_corpus``, ``tiny_dataset`` and ``tiny_datasets`` are there
wherever Spaniel is installed beside pytest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spaniel.testing.bits import Bits
    from spaniel.testing.case import Case
    from spaniel.testing.cli import Cli, Result
    from spaniel.testing.collections import VARIANTS, Collection, collection
    from spaniel.testing.contracts import contract, promises_of
    from spaniel.testing.distributions import write_distribution

_LATE = {
    "Bits": "spaniel.testing.bits",
    "Case": "spaniel.testing.case",
    "VARIANTS": "spaniel.testing.collections",
    "Cli": "spaniel.testing.cli",
    "Collection": "spaniel.testing.collections",
    "Result": "spaniel.testing.cli",
    "collection": "spaniel.testing.collections",
    "contract": "spaniel.testing.contracts",
    "promises_of": "spaniel.testing.contracts",
    "write_distribution": "spaniel.testing.distributions",
}

__all__ = [
    "VARIANTS",
    "Bits",
    "Case",
    "Cli",
    "Collection",
    "Result",
    "collection",
    "contract",
    "promises_of",
    "write_distribution",
]


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module 'spaniel.testing' has no attribute {name!r}")
