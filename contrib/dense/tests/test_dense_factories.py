"""Factory strings are checked when they are bound, whatever the size of the collection."""

from __future__ import annotations

import pytest
from spaniel import Context, UsageError

pytest.importorskip("faiss")


@pytest.mark.parametrize(
    "factory", ["HNSW32,Flat", "IVF1024,PQ48x4fs", "OPQ32,IVF1024,PQ32", "PCA768,Flat", "IVF16,SQ8,Refine(Flat)"]
)
def test_factories_that_faiss_has(factory: str) -> None:
    Context().pipeline(f'dense(index=faiss(factory="{factory}"))')


@pytest.mark.parametrize(
    "factory", ["garbage", "HNSW32,garbage", "IVF", "IVF0,Flat", "HNSW0", "PQ0", "Flat,Flat", "IVF99999999999,Flat"]
)
def test_factories_that_faiss_does_not_have(factory: str) -> None:
    with pytest.raises(UsageError, match="option `factory` of `faiss`"):
        Context().pipeline(f'dense(index=faiss(factory="{factory}"))')
