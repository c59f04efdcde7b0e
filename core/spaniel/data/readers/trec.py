"""TREC's own formats: topics and documents between tags, as SGML or XML.

No XML parser reads them: TREC's files leave tags open and mix markup, and a scanner that knows no entities but HTML's
cannot be made to expand one without end.
"""

from __future__ import annotations

import codecs
import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from spaniel.data.files import LONGEST, read_lines
from spaniel.data.readers.lines import UNDECODABLE, Raw

_TAG = re.compile(r"<(/?)([A-Za-z][\w.:-]*)(\s[^<>]*|/)?>")
_ONLY_TAGS = re.compile(r"\s*(?:<[!?/A-Za-z][^<>]*>\s*)*")
_ATTRIBUTE = re.compile(r"""([\w:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
_LANGUAGE = re.compile(r"^[a-z]{2}-")
_DECLARED = re.compile(r"""\s*<\?xml\s[^>]*encoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
_SAMPLE = "".join(map(chr, range(128)))
_SILENT = re.compile(r"<(script|style|dochdr)\b.*?(?:</\1\s*>|\Z)", re.DOTALL | re.IGNORECASE)
_INLINE = frozenset(["a", "b", "br", "em", "font", "hr", "html", "i", "p", "s", "span", "strong", "sub", "sup", "u"])
"""Tags of markup: they are dropped, and what is between them is text."""

_DEPTH = 20
"""Fields of a topic that are open at once."""

_TOPIC_IDS = ("num", "number", "id", "identifier", "qid", "topic_id", "topicid")
_TOPIC_TEXTS = ("title", "query", "question", "content", "text", "desc", "description", "summary", "note", "")
"""Fields that can be the query, the first that has text is; the last is what stands in no field."""
_TOPIC_PARTS = ("disease", "gene", "variant", "demographic", "treatment", "other")
"""Fields that are the query together, where none of those is there (Precision Medicine)."""
_LINE = re.compile(r"<(\d+)>\s*(.+)|([\w.-]{0,20}\d):(.+)")
"""A topic in a line: ``<160>What is …`` (Genomics) or ``wt09-1:obama family tree`` (Million Query, Web)."""
_LABELS = {
    "num": "Number|Topic",
    "dom": "Domain",
    "title": "Topic",
    "desc": "Description",
    "narr": "Narrative",
    "smry": "Summary",
    "con": r"Concept\(s\)|Concepts?",
    "fac": r"Factor\(s\)|Factors?",
    "def": r"Definition\(s\)|Definitions?",
    "nat": "Nationality",
}
"""What TREC's first topics repeat behind the tag, with a colon."""
_NAMES = {
    "": "other",
    "desc": "description",
    "narr": "narrative",
    "dom": "domain",
    "smry": "summary",
    "con": "concepts",
}

_DOCUMENT_IDS = ("docno", "docid", "id")
_DOCUMENT_TITLES = ("title", "headline", "head", "hl", "ttl", "ti")
_DOCUMENT_TEXTS = ("lp", "leadpara", "text", "body", "abstract", "contents")


class _Block(NamedTuple):
    place: str
    attributes: dict[str, str]
    text: str
    problem: str


def read_topics(path: Path) -> Iterator[Raw]:
    """Topics in ``<top>``, ``<topic>`` or ``<query>``, SGML or XML; lines outside of them are id, tab and text (or a colon).

    The query is the title, else ``<query>``, ``<question>``, the description, or what stands in no field; the id is that of
    ``<num>`` and its like, or the attribute ``number`` or ``id``. Further fields are metadata.
    """
    for block in _blocks(path, "top|topic|query"):
        if isinstance(block, _Block):
            yield block.place, block.problem or _topic(block)
        else:
            yield block[0], _line(block[1])


def read_documents(path: Path) -> Iterator[Raw]:
    """Documents in ``<DOC>``, several a file.

    Their id is that of ``<DOCNO>``; their title that of ``<TITLE>``, ``<HEADLINE>`` and their like; their text that of
    ``<TEXT>`` and its like, or what stands in no other field where there is none. Further fields are metadata.
    """
    for block in _blocks(path, "doc"):
        if isinstance(block, _Block):
            yield block.place, block.problem or _document(block)
        else:
            yield block[0], "expected a document in <DOC> tags"


def _blocks(path: Path, names: str) -> Iterator[_Block | tuple[str, str]]:
    """Yield what stands between a tag and its end, and, with their places, the lines outside that hold more than tags."""
    outside = re.compile(rf"<(/?)({names})(\s[^<>]*)?>|<!--|<!DOCTYPE", re.IGNORECASE)
    within = re.compile(rf"<(/?)({names})(\s[^<>]*)?>", re.IGNORECASE)
    block: _Block | None = None
    inside: list[str] = []
    name = hidden = began = ""
    size = 0
    for place, line in read_lines(path, _encoding(path)):
        if line is None:
            if block is None:
                yield _Block(place, {}, "", UNDECODABLE)
            else:
                block = block._replace(problem=f"{UNDECODABLE} in what begins here")
            continue
        at = 0
        while True:
            if hidden:
                # Nothing is read from a comment or a DOCTYPE between topics or documents.
                found = line.find(hidden, at)
                if found < 0:
                    break
                at, hidden = found + len(hidden), ""
            tag = (within if block else outside).search(line, at)
            while block and tag and tag[2].lower() != name:
                tag = within.search(line, tag.end())
            before, at = (line[at : tag.start()], tag.end()) if tag else (line[at:], len(line))
            if block is not None:
                size += len(before) + 1
                inside.append(before)
                if size > LONGEST:
                    block, inside, size = block._replace(problem=f"it is longer than {LONGEST} characters"), [], 0
                if tag:
                    problem = block.problem or ("" if tag[1] else f"its </{name}> is missing")
                    yield block._replace(text="\n".join(inside), problem=problem)
                    block, inside, size = None, [], 0
            elif not _ONLY_TAGS.fullmatch(before):
                yield place, before
            if tag is None:
                break
            if tag[2] is None:
                opens_more = "[" in line[tag.end() :].partition(">")[0]
                hidden, began = ("-->" if tag[0] == "<!--" else "]>" if opens_more else ">"), place
            elif not tag[1]:
                block, name = _Block(place, _attributes(tag[3] or ""), "", ""), tag[2].lower()
    if block is not None:
        yield block._replace(problem=block.problem or f"its </{name}> is missing")
    if hidden:
        yield _Block(began, {}, "", f"what begins here has no {hidden}")


def _encoding(path: Path) -> str:
    """Return the encoding that an XML file says it has, where its lines can be read one by one; else UTF-8."""
    _, first = next(read_lines(path, "latin-1"), ("", ""))
    said = _DECLARED.match(first or "")
    try:
        if said and codecs.encode(_SAMPLE, said[1]) == _SAMPLE.encode("ascii"):
            return codecs.lookup(said[1]).name
    except (LookupError, ValueError, TypeError):
        pass
    return "utf-8"


def _attributes(text: str) -> dict[str, str]:
    return {name.lower(): html.unescape(a or b or c) for name, a, b, c in _ATTRIBUTE.findall(text)}


def _line(line: str) -> dict[str, Any] | str:
    name, tab, text = line.partition("\t")
    found = None if tab else _LINE.fullmatch(line.strip())
    if found:
        name, text = found[1] or found[3], found[2] or found[4]
    elif not tab:
        return "expected id, tab and text, or a topic in <top> tags"
    return {"_id": name, "text": text.strip()}


def _topic(block: _Block) -> dict[str, Any] | str:
    said = {name: [text for text in texts if text] for name, texts in _fields(block.text).items()}
    for name, value in block.attributes.items():
        if name in _TOPIC_IDS and value.strip():
            said.setdefault(name, [value.strip()])
    found = next((name for name in _TOPIC_IDS if said.get(name)), None)
    if found is None:
        return "a topic needs an id, in <num> or as the attribute number; there is no <num>"
    query = next((name for name in _TOPIC_TEXTS if said.get(name)), None)
    parts = (query,) if query is not None else tuple(name for name in _TOPIC_PARTS if said.get(name))
    if not parts and not any(name in said for name in _TOPIC_TEXTS[:-1]):
        has = ", ".join(f"<{name}>" for name in said if name)
        return f"a topic needs a query, in <title>, <query> or the like; it has {has} alone"
    made: dict[str, Any] = {
        "_id": said.pop(found)[0],
        "text": " ".join(one for name in parts for one in said.pop(name)),
    }
    for name, texts in said.items():
        name = _NAMES.get(name, name)
        if texts and name not in made:
            made[name] = texts[0] if len(texts) == 1 else texts
    return made


def _fields(text: str) -> dict[str, list[str]]:
    """Return field → its texts, one for each time that it comes; a tag that stays open ends where the next one begins."""
    parts = _TAG.split(_plain(text))
    fields: dict[str, list[list[str]]] = {"": [[parts[0]]]}
    open_tags = [""]
    for closing, tag, end, content in zip(parts[1::4], parts[2::4], parts[3::4], parts[4::4], strict=True):
        name = _LANGUAGE.sub("", tag.lower())
        if name in _INLINE or end == "/":
            fields[open_tags[-1]][-1].append(content)
        elif closing:
            if name in open_tags:
                del open_tags[open_tags.index(name) :]
            fields[open_tags[-1]][-1].append(content)
        else:
            # Tags that stay open do not nest; that bounds how many are looked through for the one that is closed.
            open_tags = ["", *open_tags[1:][-_DEPTH:], name]
            fields.setdefault(name, []).append([content])
    return {name: [_cleaned(name, " ".join(one)) for one in texts] for name, texts in fields.items()}


def _cleaned(name: str, text: str) -> str:
    text = " ".join(html.unescape(text).split())
    label = _LABELS.get(name)
    return re.sub(rf"^(?:{label})\s*:\s*", "", text, flags=re.IGNORECASE) if label else text


def _document(block: _Block) -> dict[str, Any] | str:
    fields: dict[str, list[str]] = {}
    text = _SILENT.sub(" ", _plain(block.text))
    rest: list[str] = []
    at = 0
    never: set[str] = set()
    for tag in _TAG.finditer(text):
        if tag.start() < at or tag[1]:
            continue
        name = tag[2].lower()
        closing = re.compile(rf"</{re.escape(name)}\s*>", re.IGNORECASE)
        end = closing.search(text, tag.end()) if name not in never and name not in _INLINE else None
        if end is None:
            never.add(name)
            continue
        rest.append(text[at : tag.start()])
        fields.setdefault(name, []).append(text[tag.end() : end.start()])
        at = end.end()
    rest.append(text[at:])
    said = {name: " ".join(filter(None, map(_stripped, texts))) for name, texts in fields.items()}
    found = next((name for name in _DOCUMENT_IDS if said.get(name)), None)
    if found is None:
        return "a document needs an id, in <DOCNO>"
    made: dict[str, Any] = {"_id": said.pop(found)}
    title = next((name for name in _DOCUMENT_TITLES if said.get(name)), None)
    if title is not None:
        made["title"] = said.pop(title)
    texts = [said.pop(name) for name in [*said] if name in _DOCUMENT_TEXTS]
    made["text"] = " ".join(filter(None, texts)) if texts else _stripped(" ".join(rest))
    return made | {name: value for name, value in said.items() if value and name not in made}


def _plain(text: str) -> str:
    """Return a text without comments, and without the borders of CDATA."""
    kept, at = [], 0
    while (begin := text.find("<!--", at)) >= 0 and (end := text.find("-->", begin)) >= 0:
        kept.append(text[at:begin])
        at = end + 3
    return " ".join([*kept, text[at:]]).replace("<!--", " ").replace("<![CDATA[", "").replace("]]>", "")


def _stripped(text: str) -> str:
    return " ".join(html.unescape(_TAG.sub(" ", text)).split())
