"""What the core itself offers, through the same hooks as everybody's: fusion, cutting, and their explanation."""

from __future__ import annotations

from collections.abc import Iterator

from spaniel.declare import Component
from spaniel.hookspecs import hookimpl


@hookimpl
def retrieve() -> Iterator[Component]:
    yield Component(
        "rrf",
        config="spaniel.builtin.config:ReciprocalRankFusion",
        factory="spaniel.builtin.fusion:ReciprocalRankFusion",
        summary="fuse runs by the reciprocals of their ranks",
        paper="Cormack, Clarke and Büttcher, Reciprocal Rank Fusion outperforms Condorcet …, SIGIR 2009",
    )
    yield Component(
        "weighted",
        config="spaniel.builtin.config:WeightedSum",
        factory="spaniel.builtin.fusion:WeightedSum",
        summary="fuse runs by a weighted sum of their scores, as `0.3 * a + 0.7 * b` does",
    )


@hookimpl
def rerank() -> Iterator[Component]:
    yield Component(
        "cut",
        config="spaniel.builtin.config:Cut",
        factory="spaniel.builtin.fusion:Cut",
        summary="keep the first k documents, as `% k` does",
    )


@hookimpl
def explain() -> Iterator[Component]:
    yield Component(
        "fusion-parts",
        factory="spaniel.builtin.parts:FusionParts",
        summary="what each fused system adds to a document's score",
        takes=("retrieve/rrf", "retrieve/weighted"),
    )
