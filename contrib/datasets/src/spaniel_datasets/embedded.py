"""Collections whose questions and judgments ship with this distribution."""

from __future__ import annotations

from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from spaniel import Qrels, Queries
from spaniel.data import documents_need
from spaniel.data.readers import read_qrels, read_queries
from spaniel.store import Need

from spaniel_datasets.python_docs import read_documents, source_fingerprint

if TYPE_CHECKING:
    from spaniel import Context

    from spaniel_datasets.config import PythonDocs as Options


def python_docs(config: Options, context: Context) -> PythonDocs:
    """Return the collection of the running Python's documentation."""
    return PythonDocs()


class PythonDocs:
    """What the interpreter documents, with questions that people ask; one split, ``test``.

    Judgments of documents that this version of Python does not have are left out.
    """

    name = "python-docs"
    splits = ("test",)

    def documents(self) -> Need:
        """Every documented object, and every topic of the language reference."""
        return documents_need(read_documents, "spaniel-datasets/python-docs", source_fingerprint())

    def queries(self, split: str) -> Queries:
        """The questions."""
        return read_queries(_data("queries.jsonl"))

    def qrels(self, split: str) -> Qrels:
        """The judgments: 3 answers the question, 2 a good alternative or an essential part, 1 helps, 0 does not."""
        judged = read_qrels(_data("qrels.tsv"))
        there = self._ids
        return Qrels({q: {d: g for d, g in grades.items() if d in there} for q, grades in judged.items()})

    @cached_property
    def _ids(self) -> frozenset[str]:
        return frozenset(document.id for document in read_documents())


def _data(name: str) -> Path:
    return Path(str(files("spaniel_datasets.python_docs").joinpath(name)))
