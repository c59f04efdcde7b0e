"""What the core itself offers, through the same hooks as everybody's: fusion, cutting, their explanation, commands."""

from __future__ import annotations

from collections.abc import Iterator

from spaniel.declare import Command, Component
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


@hookimpl
def commands() -> Iterator[Command]:
    yield Command("run", "spaniel.cli.run:run", "run a pipeline on a collection and write the run")
    yield Command("rerun", "spaniel.cli.run:rerun", "repeat a run and say whether the result is the same")
    yield Command("compare", "spaniel.cli.compare:compare", "put pipelines side by side: quality, significance, cost")
    yield Command("evaluate", "spaniel.cli.evaluate:evaluate", "measure run files, and compare several")
    yield Command("search", "spaniel.cli.search:search", "search a collection for a text")
    yield Command("explain", "spaniel.cli.explain:explain", "show why a document got its score")
    yield Command("plan", "spaniel.cli.build:plan", "show what a pipeline needs and what would be built")
    yield Command("index", "spaniel.cli.build:index", "build what a pipeline needs")
    yield Command("components", "spaniel.cli.components:components", "list the components")
    yield Command("plugins", "spaniel.cli.plugins:plugins", "list, check, write, install and disable plugins")
    yield Command("store", "spaniel.cli.store:store", "list, verify, move and remove artifacts")
    yield Command(
        "reproduce", "spaniel.cli.reproduce:reproduce", "run a plugin's headline check beside its paper's claim"
    )
