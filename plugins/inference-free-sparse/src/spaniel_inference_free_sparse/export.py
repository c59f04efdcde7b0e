"""Files for OpenSearch, Elasticsearch and Lucene: documents as ``rank_features``, queries as ``neural_sparse`` or as clauses."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import Queries, UsageError
from spaniel.data import SparseVectors
from spaniel.encoding import encode_queries, open_named, vectors_need
from spaniel.system import Task

if TYPE_CHECKING:
    from spaniel import Context

_SHARD = 1024
_KEPT_BITS = np.uint32(0xFFFF8000)
_QUERIES = "queries.ndjson"


def escaped(token: str) -> str:
    """Return a token as the name of a feature; dots, which such names may not have, are percent-encoded, and percents too."""
    return token.replace("%", "%25").replace(".", "%2E")


def as_lucene(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return weights as Lucene's ``FeatureField`` keeps them: 16 bits of a float, so at most 1/256 lower, never higher."""
    bits = np.ascontiguousarray(weights, np.float32).view(np.uint32) & _KEPT_BITS
    return bits.view(np.float32)


def neural_sparse(field: str, weights: dict[str, float]) -> dict[str, Any]:
    """Return the body of a search by OpenSearch's ``neural_sparse`` with the weights of a query's tokens."""
    return {"query": {"neural_sparse": {field: {"query_tokens": weights}}}}


def rank_features(field: str, weights: dict[str, float]) -> dict[str, Any]:
    """Return the body of the same search by ``rank_feature`` clauses, for engines without ``neural_sparse``."""
    clauses = [
        {"rank_feature": {"field": f"{field}.{name}", "boost": weight, "linear": {}}}
        for name, weight in weights.items()
    ]
    return {"query": {"bool": {"should": clauses}}}


def export(context: Context, encoder: str, task: Task, out: Path, field: str, clauses: bool) -> dict[str, Any]:
    """Write a folder with a mapping, the documents as a bulk request, and the searches of the queries.

    ``index.json`` creates the index; ``documents.ndjson`` goes to ``_bulk``; each line of ``queries.ndjson`` has the id of a
    query and the body of its search.

    Args:
        context: the session.
        encoder: gives sparse vectors and can name its terms.
        task: the collection.
        out: the folder to write; it appears whole or not at all.
        field: of the weights.
        clauses: whether searches are ``rank_feature`` clauses in place of ``neural_sparse``.

    Raises:
        UsageError: the encoder gives no sparse vectors, or does not name its terms.
    """
    component = context.create("encode", encoder)
    if "sparse" not in context.bind("encode", encoder).registered.component.gives or not hasattr(component, "names"):
        raise UsageError(f"{encoder} gives no weights of terms that have names; choose a sparse encoder")
    documents = open_named(context, context.obtain(vectors_need(context, encoder, task.corpus.need)), "sparse")
    assert isinstance(documents, SparseVectors)  # by its name
    names = [escaped(name) for name in component.names(np.arange(documents.width, dtype=np.int32))]
    draft = out.parent / f".{out.name}.{os.getpid()}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        _dump(draft / "index.json", {"mappings": {"properties": _properties(field)}})
        with context.stage(f"export {out.name}", len(documents), "documents", phase="build"):
            _write_documents(context, task, documents, names, draft / "documents.ndjson", field)
        asked = _queries(context, encoder, task.queries)
        body = rank_features if clauses else neural_sparse
        with (draft / _QUERIES).open("w", encoding="utf-8") as file:
            for number, name in enumerate(task.queries.ids):
                line = {"id": name, "body": body(field, _named(asked, number, names))}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
        draft.replace(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return {"documents": len(documents), "queries": len(task.queries), "weights": len(documents.values), "field": field}


def _properties(field: str) -> dict[str, Any]:
    return {"title": {"type": "text"}, "text": {"type": "text"}, field: {"type": "rank_features"}}


def _write_documents(
    context: Context, task: Task, vectors: SparseVectors, names: Sequence[str], path: Path, field: str
) -> None:
    with path.open("w", encoding="utf-8") as file:
        for start in range(0, len(vectors), _SHARD):
            rows = range(start, min(len(vectors), start + _SHARD))
            part = vectors[rows.start : rows.stop]
            for number, document in enumerate(task.corpus.documents(rows)):
                held = {"title": document.title, "text": document.text, field: _named(part, number, names)}
                file.write(json.dumps({"index": {"_id": document.id}}, ensure_ascii=False) + "\n")
                file.write(json.dumps(held, ensure_ascii=False) + "\n")
            context.advance(len(rows))


def _queries(context: Context, encoder: str, queries: Queries) -> SparseVectors:
    made = encode_queries(context, encoder, queries)["sparse"]
    assert isinstance(made, SparseVectors)  # by its name
    return made


def _named(vectors: SparseVectors, row: int, names: Sequence[str]) -> dict[str, float]:
    entries = slice(vectors.indptr[row], vectors.indptr[row + 1])
    terms, values = vectors.indices[entries].tolist(), vectors.values[entries].astype(np.float64).round(6).tolist()
    return {names[term]: value for term, value in zip(terms, values, strict=True) if value > 0}


def _dump(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
