"""Writing documents, queries, judgments and whole collections."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from spaniel.data.document import Document
from spaniel.data.faults import check_id, check_metadata, check_text
from spaniel.data.files import write_text
from spaniel.data.judging import SETTINGS, Judging
from spaniel.data.qrels import Qrels
from spaniel.data.queries import Queries
from spaniel.data.run_files import escaped
from spaniel.errors import ArtifactError, UsageError


def write_documents(path: Path, documents: Iterable[Document]) -> None:
    """Write documents as JSONL, one at a time.

    Raises:
        UsageError: a document is malformed.
        ArtifactError: the file cannot be written.
    """
    with write_text(path) as file:
        for name, title, text, metadata in documents:
            problem = check_id(name) or check_text(title) or check_text(text) or check_metadata(metadata)
            if problem:
                raise UsageError(f"document {name!r}: {problem}")
            file.write(_line({"_id": name, "title": title, "text": text}, metadata))


def write_queries(path: Path, queries: Queries) -> None:
    """Write queries as JSONL.

    Raises:
        ArtifactError: the file cannot be written.
    """
    with write_text(path) as file:
        for position, (name, text) in enumerate(zip(queries.ids, queries.texts, strict=True)):
            file.write(_line({"_id": name, "text": text}, queries.metadata[position] if queries.metadata else {}))


def _line(fields: dict[str, Any], metadata: Mapping[str, Any]) -> str:
    return json.dumps(fields | ({"metadata": dict(metadata)} if metadata else {}), ensure_ascii=False) + "\n"


def write_qrels(path: Path, qrels: Qrels, trec: bool = False) -> None:
    """Write judgments as BEIR's three columns with a header, or as TREC's four; of subtopics, the subtopic is a column, too.

    TREC's columns are separated by blanks, which ids with blanks cannot be told from: they are escaped, as in runs.

    Raises:
        ArtifactError: the file cannot be written.
    """
    with write_text(path) as file:
        if not trec:
            file.write("query-id\t" + "subtopic\t" * bool(qrels.subtopics) + "corpus-id\tscore\n")
        for query, judged in qrels.items():
            for subtopic, part in qrels.subtopics.get(query, {"0": judged}).items():
                for document, grade in part.items():
                    if trec:
                        names = " ".join(map(escaped, (query, subtopic, document)))
                        file.write(f"{names} {grade}\n")
                    else:
                        second = f"{subtopic}\t" * bool(qrels.subtopics)
                        file.write(f"{query}\t{second}{document}\t{grade}\n")


def write_folder(
    path: Path,
    documents: Iterable[Document],
    queries: Queries | None = None,
    qrels: Mapping[str, Qrels] | None = None,
    judging: Judging | None = None,
) -> None:
    """Write a collection as a folder in BEIR layout, which appears whole.

    Args:
        path: the folder.
        documents: what is searched.
        queries: what is asked.
        qrels: split → judgments.
        judging: what is relevant, and whether a query's own document counts; written where it is not as usual.

    Raises:
        UsageError: something is there already, or a document is malformed.
        ArtifactError: a file cannot be written.
    """
    path = Path(path).absolute()
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise UsageError(f"{path} is there already and not empty; nothing is overwritten")
        (draft / "qrels").mkdir(parents=True) if qrels else draft.mkdir(parents=True)
        write_documents(draft / "corpus.jsonl", documents)
        if queries is not None:
            write_queries(draft / "queries.jsonl", queries)
        for split, judged in (qrels or {}).items():
            write_qrels(draft / "qrels" / f"{split}.tsv", judged)
        if judging is not None and judging != Judging():
            (draft / SETTINGS).write_text(json.dumps(asdict(judging)) + "\n", encoding="utf-8")
        if path.exists():
            # The user may be standing in this folder, so it is filled rather than replaced.
            for part in sorted(draft.iterdir()):
                part.replace(path / part.name)
        else:
            draft.replace(path)
    except OSError as error:
        raise ArtifactError(path, f"cannot be made ({error.strerror or error})") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
