"""The text of HTML."""

from __future__ import annotations

import re
import time
from html import unescape
from typing import Any, NamedTuple

from spaniel.data.texts.decoding import NoTextError, decode

_DECLARED = re.compile(rb"""<meta[^>]+charset\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
_XML = re.compile(rb"""\A\s*<\?xml[^>]+encoding\s*=\s*["']([\w.:-]+)""")
_DROPPED = frozenset(
    ["script", "style", "noscript", "template", "head", "svg", "math", "iframe", "object", "select", "button", "nav"]
)
# fmt: off
_INLINE = (
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "ins", "kbd",
    "label", "mark", "q", "rp", "rt", "ruby", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt",
    "u", "var", "wbr",
)
# fmt: on
_LINES = "br|li|dt|dd|tr"
_CHUNK = 2**20
SECONDS = 60.0
"""CPU time that a file may take: markup can be made so that the parser takes a time that grows with its square."""


class Page(NamedTuple):
    """What a reader sees of a page; ``nested_at`` is the line from which on it is nested too deeply to be read, or 0."""

    title: str
    text: str
    guessed: str
    nested_at: int


def read_html(data: bytes, encoding: str | None) -> Page:
    """Return what a reader sees, without scripts, styles and navigation; blocks are paragraphs.

    Raises:
        NoTextError: the bytes are no text, or take longer than :data:`SECONDS`.
    """
    from lxml import etree

    declared = _DECLARED.search(data, 0, 4096) or _XML.search(data)
    text, guessed = decode(data, encoding or (declared[1].decode("ascii") if declared else None))
    # The parser takes bytes of one encoding, and no text that declares another.
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True, huge_tree=True)
    source = text.replace("\0", "").encode("utf-8", "replace")
    until = time.thread_time() + SECONDS
    try:
        for at in range(0, len(source), _CHUNK):
            parser.feed(source[at : at + _CHUNK])
            if time.thread_time() > until:
                raise NoTextError(f"takes longer than {SECONDS:g} s to read")
        root = parser.close()
    except (etree.LxmlError, ValueError):
        root = None  # the parser gets over everything, but for a page without an element
    nested_at = next((one.line for one in parser.feed_error_log if one.type_name == "ERR_RESOURCE_LIMIT"), 0)
    if root is None:
        return Page("", "", guessed, nested_at)
    titles = (node for name in ("title", "h1") for node in root.iter(name))
    title = next(filter(None, (" ".join("".join(node.itertext()).split()) for node in titles)), "")
    return Page(title, _text(root, etree), guessed, nested_at)


def _text(root: Any, etree: Any) -> str:
    for node in root.iter(*_DROPPED):
        node.tail = f" {node.tail or ''}"  # what stands on both sides are two words
    etree.strip_elements(root, *_DROPPED, with_tail=False)
    etree.strip_tags(root, *_INLINE)
    # Written out, blocks are tags, and no other `<` or `>` is left: a page is not walked through element by element.
    text = etree.tostring(root, encoding="unicode", method="xml")
    # White space of the source is a blank; ends of lines come from tags alone, and begin where a tag does.
    text = re.sub(r"\s+", " ", text)
    text = re.sub(rf"<(?:{_LINES})\b[^>]*>", "\n", text)
    text = re.sub(rf"</(?:{_LINES})>", "", text)
    text = re.sub(r"</?t[dh]\b[^>]*>", " ", text)
    text = unescape(re.sub("<[^>]*>", "\n\n", text))
    text = re.sub(r" *\n *", "\n", re.sub(" +", " ", text))
    return re.sub("\n{3,}", "\n\n", text).strip()
