"""One file → the pieces of text in it, by the ending of its name."""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from spaniel.data.faults import check_metadata
from spaniel.data.texts.decoding import NoTextError, decode
from spaniel.data.texts.html import read_html
from spaniel.data.texts.pdf import read_pdf
from spaniel.data.texts.records import as_text, read_json, read_table
from spaniel.errors import UsageError
from spaniel.yaml import parse_yaml


class Piece(NamedTuple):
    """A text of a file, before it is cut into passages.

    Attributes:
        number: of the row in a table or in JSON; 0 for a file that is one text.
        title: its own title; nothing where the file's name has to do.
        text: what is read.
        begin: where in ``text`` its passages begin: behind front matter and the title.
        pages: where in ``text`` each page begins, if it has pages.
        metadata: what else is known.
        guessed: the encoding that it was decoded from, where that is a guess.
    """

    number: int
    title: str
    text: str
    begin: int = 0
    pages: tuple[int, ...] = ()
    metadata: Mapping[str, Any] = {}
    guessed: str = ""


class Gap(NamedTuple):
    """A part of a file that is passed over, and why."""

    part: str
    why: str


Reader = Callable[[bytes, str, str | None], Iterator[Piece | Gap]]
"""Bytes, ending and encoding (or ``None``) → pieces and gaps; raises :class:`NoTextError` for the whole file."""

_FRONT = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*$\n?", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"\s*#{1,6}[ \t]+(?P<title>.+?)[ \t#]*(?:\n|\Z)")
_UNDERLINED = re.compile(
    r"\s*(?:([=\-~^\"*+#])\1+[ \t]*\n)?[ \t]*(?P<title>\S.*?)[ \t]*\n([=\-~^\"*+#])\3{2,}[ \t]*(?:\n|\Z)"
)
_LONGEST_FRONT = 2**16


def _read_text(data: bytes, ending: str, encoding: str | None) -> Iterator[Piece | Gap]:
    text, guessed = decode(data, encoding)
    yield Piece(0, "", text, guessed=guessed)


def _read_marked(data: bytes, ending: str, encoding: str | None) -> Iterator[Piece | Gap]:
    """Markdown and reStructuredText: front matter is metadata, a heading at the beginning is the title."""
    text, guessed = decode(data, encoding)
    begin, said = _front_matter(text)
    heading = _HEADING.match(text, begin) or _UNDERLINED.match(text, begin)
    title = str(said.pop("title", "") or "").strip()
    if heading is not None:
        title = title or heading["title"].strip()
        # A file that has nothing but a heading has that as its text.
        begin = heading.end() if text[heading.end() :].strip() else begin
    yield Piece(0, title, text, begin, metadata=said, guessed=guessed)


def _front_matter(text: str) -> tuple[int, dict[str, Any]]:
    """Return where a text begins behind its front matter, and what that says; what is no YAML is text."""
    front = _FRONT.match(text[:_LONGEST_FRONT])
    if front is None:
        return 0, {}
    try:
        said = parse_yaml(front[1], "front matter").content
    except UsageError:
        return 0, {}
    if said is not None and (not isinstance(said, dict) or check_metadata(said)):
        return 0, {}
    return front.end(), said or {}


def _read_html(data: bytes, ending: str, encoding: str | None) -> Iterator[Piece | Gap]:
    page = read_html(data, encoding)
    if page.nested_at:
        yield Gap(f"from line {page.nested_at:,} on", "nested too deeply")
    yield Piece(0, page.title, page.text, guessed=page.guessed)


def _read_pdf(data: bytes, ending: str, encoding: str | None) -> Iterator[Piece | Gap]:
    title, pages = read_pdf(data)
    texts: list[str] = []
    starts: list[int] = []
    size = 0
    for number, page in pages:
        if isinstance(page, NoTextError):
            yield Gap(f"page {number}", str(page))
        starts.append(size)
        texts.append("" if isinstance(page, NoTextError) else page + "\n\n")
        size += len(texts[-1])
    text = "".join(texts)
    if not text.strip():
        raise NoTextError("no text in it: scanned pages are pictures")
    yield Piece(0, title, text, pages=tuple(starts))


def _read_rows(data: bytes, ending: str, encoding: str | None) -> Iterator[Piece | Gap]:
    text, guessed = decode(data, encoding)
    for number, fields in (read_json if "json" in ending else read_table)(text, ending):
        if isinstance(fields, str):
            yield Gap(f"row {number}", fields)
            continue
        title, body, metadata = as_text(fields)
        if body or title:
            yield Piece(number, title, body, metadata=metadata, guessed=guessed)
        else:
            yield Gap(f"row {number}", "empty")


READERS: Mapping[str, Reader] = {
    **dict.fromkeys(("", ".txt", ".text", ".log", ".tex", ".org", ".adoc"), _read_text),
    **dict.fromkeys((".md", ".markdown", ".rst"), _read_marked),
    **dict.fromkeys((".html", ".htm", ".xhtml"), _read_html),
    **dict.fromkeys((".csv", ".tsv", ".tab", ".json", ".jsonl", ".ndjson"), _read_rows),
    ".pdf": _read_pdf,
}
"""Ending of a name → what reads such files; files without an ending are taken for text."""


def title_of(name: str) -> str:
    """Return the title of a file that says none: its name without the ending, ``_`` and ``-`` as blanks."""
    return re.sub(r"[_\s-]+", " ", PurePosixPath(name).stem).strip()


def page_of(piece: Piece, at: int) -> int:
    """Return the page on which a place in the text is, from 1."""
    return bisect.bisect_right(piece.pages, at)
