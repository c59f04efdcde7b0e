"""Components for tests: an oracle that knows the judgments, a spy that remembers its calls, one that fails.

A plugin like any other, at hand rather than installed::

    def test_my_reranker(isolated_plugins, tiny_dataset):
        isolated_plugins.register(spaniel.testing.oracles, "oracles")
        context = Context(store, registry=isolated_plugins)
        spy = context.create("rerank", Stage("spy", scorer=Stage("oracle", data=str(tiny_dataset), noise=0.5)))
"""

from __future__ import annotations

from collections.abc import Iterator

from spaniel.declare import Component
from spaniel.hookspecs import hookimpl


@hookimpl
def retrieve() -> Iterator[Component]:
    yield Component(
        "oracle",
        config="spaniel.testing.oracles.config:OracleRetriever",
        factory="spaniel.testing.oracles.components:OracleRetriever",
        summary="retrieve the judged documents of a collection by their grades, with noise where wanted",
    )


@hookimpl
def rerank() -> Iterator[Component]:
    yield Component(
        "oracle",
        config="spaniel.testing.oracles.config:Oracle",
        factory="spaniel.testing.oracles.components:Oracle",
        summary="score documents by their grades in a collection, with noise where wanted",
    )
    yield Component(
        "spy",
        config="spaniel.testing.oracles.config:Spy",
        factory="spaniel.testing.oracles.components:Spy",
        summary="score as another reranker does, and remember what was asked",
    )
    yield Component(
        "failing",
        config="spaniel.testing.oracles.config:Failing",
        factory="spaniel.testing.oracles.components:Failing",
        summary="score every pair with 0, and fail after a number of pairs",
    )
