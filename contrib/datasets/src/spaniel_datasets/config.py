"""Options of the collections."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from spaniel import Config


class PythonDocs(Config):
    """The documentation of the running Python: it has no options."""


class Judged(Config):
    """What every collection with judgments can be told."""

    rel: float | None = Field(None, description="grade from which on a document is relevant; by default above 0", gt=0)
    leave_out_own: bool | None = Field(
        None,
        description="leave the document whose id is the query's out of its list; by default as the collection is used",
    )


class Folder(Judged):
    """A folder in BEIR layout, of TREC's files, or of ordinary files; or one file."""

    path: str = Field(
        description="the folder, with corpus.jsonl, queries.jsonl and qrels/, or another that can be read"
    )
    on_error: Literal["fail", "skip"] = Field("fail", description="what malformed input does")


class Files(Config):
    """Ordinary files: text, Markdown, HTML, tables, JSON and PDF."""

    path: str = Field(description="the folder, or one file")
    words: int = Field(250, description="the most words of a passage that a long file is cut into", ge=1)
    largest: int = Field(32, description="the most MiB of a file; larger ones are passed over", ge=1)
    encoding: str | None = Field(
        None,
        description="of files that are no UTF-8 and do not say what they are, such as shift_jis; by default a guess",
    )


class WordNet(Config):
    """Glosses as documents, usage examples as queries."""

    path: str | None = Field(
        None, description="folder of the data files; by default WNSEARCHDIR, WNHOME or where Debian puts them"
    )
    min_words: int = Field(4, description="words that an example must have to be a query", ge=1)


class IrDatasets(Judged):
    """A collection of ir_datasets."""

    name: str = Field(description="its id there, such as beir/nfcorpus/test")
