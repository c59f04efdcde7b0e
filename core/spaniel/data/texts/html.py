"""The text of HTML."""

from __future__ import annotations

import re
from typing import Any

from spaniel.data.texts.decoding import NoTextError, decode

_DECLARED = re.compile(rb"""<meta[^>]+charset\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
_XML = re.compile(rb"""\A\s*<\?xml[^>]+encoding\s*=\s*["']([\w.:-]+)""")
_DROPPED = frozenset(
    ["script", "style", "noscript", "template", "head", "svg", "math", "iframe", "object", "select", "button", "nav"]
)
_INLINE = re.compile(
    "a|abbr|acronym|b|bdi|bdo|big|cite|code|data|del|dfn|em|font|i|ins|kbd|label|mark|q|rp|rt|ruby|s|samp|small|span|"
    "strike|strong|sub|sup|time|tt|u|var|wbr"
)
_SPACE = re.compile(r"\s+")
_LINES = frozenset(["br", "li", "dt", "dd", "tr"])


def read_html(data: bytes, encoding: str | None) -> tuple[str, str, str]:
    """Return title, text and guessed encoding: what a reader sees, without scripts, styles and navigation; blocks are paragraphs.

    Raises:
        NoTextError: the bytes are no text.
    """
    from lxml import etree

    declared = _DECLARED.search(data, 0, 4096) or _XML.search(data)
    text, guessed = decode(data, encoding or (declared[1].decode("ascii") if declared else None))
    # The parser takes bytes of one encoding, and no text that declares another.
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True, huge_tree=True)
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
    gaps: dict[Any, str] = {}
    walk = etree.iterwalk(root, events=("start", "end"))
    for event, node in walk:
        tag = node.tag
        gap = gaps.get(tag)
        if gap is None:
            gap = gaps[tag] = _gap(tag)
        if event == "start":
            if tag in _DROPPED:
                walk.skip_subtree()
                continue
            parts += (gap, _flat(node.text))
        else:
            # A line begins where its tag does.
            parts += ("" if gap == "\n" else gap, _flat(node.tail))
    text = re.sub(r" *\n *", "\n", re.sub(" +", " ", "".join(parts)))
    return re.sub("\n{3,}", "\n\n", text).strip()


def _gap(tag: str) -> str:
    """Return what stands between a tag's content and what is around it."""
    if _INLINE.fullmatch(tag):
        return ""
    return "\n" if tag in _LINES else " " if tag in ("td", "th") else "\n\n"


def _flat(text: str | None) -> str:
    # White space of the source is a blank; ends of lines come from tags alone.
    return _SPACE.sub(" ", text) if text else ""
