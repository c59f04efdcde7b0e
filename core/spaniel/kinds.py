"""The six kinds of the core, in the order in which retrieval research meets them."""

from __future__ import annotations

from spaniel.declare import Kind

_HERE = "spaniel.hookspecs"

KINDS = (
    Kind("encode", "texts in a role → named representations", {"": "spaniel.protocols:Encoder"}, _HERE),
    Kind("index", "a corpus or vectors → an index on disk", {"": "spaniel.protocols:Indexer"}, _HERE),
    Kind("retrieve", "queries → a run", {"": "spaniel.protocols:Retriever"}, _HERE, follows="never", call="retrieve"),
    Kind(
        "rerank", "queries and a run → a run", {"": "spaniel.protocols:Reranker"}, _HERE, follows="must", call="rerank"
    ),
    Kind(
        "search_space",
        "candidates, cheap scores for them, ways to walk them",
        {
            "space": "spaniel.protocols:SearchSpace",
            "proxy": "spaniel.protocols:Proxy",
            "strategy": "spaniel.protocols:Strategy",
        },
        _HERE,
    ),
    Kind("explain", "a pipeline and an input → an explanation", {"": "spaniel.protocols:Explainer"}, _HERE),
)
