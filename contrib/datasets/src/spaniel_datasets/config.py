"""Options of the collections."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from spaniel import Config


class PythonDocs(Config):
    """The documentation of the running Python: it has no options."""


class Folder(Config):
    """A folder in BEIR layout."""

    path: str = Field(description="the folder, with corpus.jsonl, queries.jsonl and qrels/")
    on_error: Literal["fail", "skip"] = Field("fail", description="what malformed input does")


class WordNet(Config):
    """Glosses as documents, usage examples as queries."""

    path: str | None = Field(
        None, description="folder of the data files; by default WNSEARCHDIR, WNHOME or where Debian puts them"
    )
    min_words: int = Field(4, description="words that an example must have to be a query", ge=1)


class IrDatasets(Config):
    """A collection of ir_datasets."""

    name: str = Field(description="its id there, such as beir/nfcorpus/test")
