"""The text of HTML."""

from __future__ import annotations

import re
from typing import Any

from spaniel.data.texts.decoding import NoTextError, decode

_DECLARED = re.compile(rb"""<meta[^>]+charset\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
_XML = re.compile(rb"""\A\s*<\?xml[^>]+encoding\s*=\s*["']([\w.:-]+)""")
_DROPPED = frozenset("script style noscript template head svg math iframe object select button nav".split())
_INLINE = frozenset(
    "a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark q rp rt ruby s samp small span "
    "strike strong sub sup time tt u var wbr".split()
)
_LINES = frozenset("br li dt dd tr".split())


def read_html(data: bytes, encoding: str | None) -> tuple[str, str, str]:
    """Return title, text and guessed encoding: what a reader sees, without scripts, styles and navigation; blocks are paragraphs.

    Raises:
        NoTextError: the bytes are no text.
    """
    from lxml import etree

    declared = _DECLARED.search(data, 0, 4096) or _XML.search(data)
    text, guessed = decode(data, encoding or (declared[1].decode("ascii") if declared else None))
    # The parser takes bytes of one encoding, and no text that declares another.
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(text.replace("\0", "").encode("utf-8", "replace"), parser)
    except (etree.LxmlError, ValueError) as error:
        raise NoTextError(f"no HTML ({error})") from error
    if root is None:
        return "", "", guessed
    titles = [node for name in ("title", "h1") for node in root.iter(name)]
    title = next(filter(None, (" ".join("".join(node.itertext()).split()) for node in titles)), "")
    return title, _text(root, etree), guessed


def _text(root: Any, etree: Any) -> str:
    parts: list[str] = []
    walk = etree.iterwalk(root, events=("start", "end"))
    for event, node in walk:
        name = node.tag if isinstance(node.tag, str) else ""
        gap = "" if name in _INLINE else "\n" if name in _LINES else " " if name in ("td", "th") else "\n\n"
        if event == "end":
            parts += (gap, _flat(node.tail))
        elif name in _DROPPED:
            walk.skip_subtree()
        else:
            parts += (gap, _flat(node.text))
    text = re.sub(r" *\n *", "\n", re.sub(" +", " ", "".join(parts)))
    return re.sub("\n{3,}", "\n\n", text).strip()


def _flat(text: str | None) -> str:
    # White space of the source is a blank; ends of lines come from tags alone.
    return re.sub(r"\s+", " ", text or "")
