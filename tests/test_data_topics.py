"""TREC's topics and documents, as they are published: SGML with tags left open, XML, and what comes between."""

from __future__ import annotations

import gzip
import time
from pathlib import Path
from typing import Any

import pytest
from spaniel.data import Document, Faults, read_documents, read_queries
from spaniel.errors import UsageError


def put(folder: Path, text: str, name: str = "topics.trec") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def topics(folder: Path, text: str) -> dict[str, tuple[str, dict[str, Any]]]:
    queries = read_queries(put(folder, text))
    metadata = queries.metadata or [{}] * len(queries)
    return {name: (one, dict(m)) for name, one, m in zip(queries.ids, queries.texts, metadata, strict=True)}


EXAMPLES = {
    "a field that is not asked for ends the one before": (
        "<top>\n<num> Number: 051 <dom> Domain: International Economics\n<title> Topic: Airbus Subsidies\n"
        "<desc> Description: A document will discuss\nsubsidies.\n<con> Concept(s): 1. Airbus\n</top>",
        {
            "051": (
                "Airbus Subsidies",
                {
                    "domain": "International Economics",
                    "description": "A document will discuss subsidies.",
                    "concepts": "1. Airbus",
                },
            )
        },
    ),
    "two in one line": (
        "<top><num>1<title>one</top><top><num>2<title>two</top>",
        {"1": ("one", {}), "2": ("two", {})},
    ),
    "one ends where the next begins": (
        "<top><num>1<title>one\n</top> <top>\n<num>2<title>two\n</top>",
        {"1": ("one", {}), "2": ("two", {})},
    ),
    "attributes, and fields of a language": (
        '<top lang="en">\n<num>C041</num>\n<EN-title>Pesticides in Baby Food</EN-title>\n'
        "<EN-desc> Find reports. </EN-desc>\n</top>",
        {"C041": ("Pesticides in Baby Food", {"description": "Find reports."})},
    ),
    "XML of 2020": (
        '<?xml version="1.0" encoding="UTF-8"?>\n<!-- <topic number="0"><query>none</query></topic> -->\n'
        '<topics task="COVID" batch="1">\n  <topic number="1">\n    <query>coronavirus origin</query>\n'
        "    <question>what is the origin of COVID-19</question>\n    <narrative>looking for &lt;all&gt; of it</narrative>\n"
        '  </topic>\n  <topic number="2"><query>response</query></topic></topics>\n',
        {
            "1": (
                "coronavirus origin",
                {"question": "what is the origin of COVID-19", "narrative": "looking for <all> of it"},
            ),
            "2": ("response", {}),
        },
    ),
    "XML with the text in no field": (
        '<topics>\n<topic number="7">\nA 58-year-old\npatient\n</topic>\n</topics>',
        {"7": ("A 58-year-old patient", {})},
    ),
    "XML with subtopics": (
        '<topic number="1" type="faceted"><query>family tree</query><subtopic number="1" type="nav">Find a</subtopic>'
        '<subtopic number="2" type="inf">Find b</subtopic></topic>',
        {"1": ("family tree", {"subtopic": ["Find a", "Find b"]})},
    ),
    "XML of clinical decision support": (
        '<topics>\n<topic number="1" type="test">\n<note>78 M w/ pmh</note>\n<description>A man of 78.</description>\n'
        "<summary>78-year-old</summary></topic></topics>",
        {"1": ("A man of 78.", {"note": "78 M w/ pmh", "summary": "78-year-old"})},
    ),
    "XML of precision medicine": (
        '<topic number="1"><disease>Liposarcoma</disease><gene>CDK4</gene><demographic>38-year-old</demographic></topic>',
        {"1": ("Liposarcoma CDK4 38-year-old", {})},
    ),
    "queries of NTCIR, eHealth and Indri": (
        "<queries><query><qid>0001</qid><content>a picture</content><description>d</description></query>\n"
        "<query><id>q2</id><title>an artery</title></query>\n<query><number>51</number><text>oil</text></query></queries>",
        {"0001": ("a picture", {"description": "d"}), "q2": ("an artery", {}), "51": ("oil", {})},
    ),
    "a topic in a line": (
        "<160>What is PrnP?\n161\tid: a tab\nwt09-1:family tree: a query\n 3:french lick\n",
        {
            "160": ("What is PrnP?", {}),
            "161": ("id: a tab", {}),
            "wt09-1": ("family tree: a query", {}),
            "3": ("french lick", {}),
        },
    ),
    "CLEF": (
        '<topic lang="en">\n<identifier>10.2452/401-AH</identifier>\n<title>Euro &amp; Inflation</title>\n</topic>',
        {"10.2452/401-AH": ("Euro & Inflation", {})},
    ),
    "microblogs": (
        "<top>\n<num> Number: MB001 </num>\n<query> BBC staff cuts </query>\n<querytime> Tue Feb 08 </querytime>\n</top>",
        {"MB001": ("BBC staff cuts", {"querytime": "Tue Feb 08"})},
    ),
    "markup, CDATA, entities and what is no tag": (
        "<top><num>1</num><title><![CDATA[a < b & c]]> <b>bold</b> &#233;t&eacute; AT&T x<y</title>"
        "<narr>first <i>second</i> third<br/>fourth</narr></top>",
        {"1": ("a < b & c bold été AT&T x<y", {"narrative": "first second third fourth"})},
    ),
    "fields within a field": (
        "<topic><num>1</num><query>q</query><narrative>good: <relevant>r</relevant> and more</narrative></topic>",
        {"1": ("q", {"narrative": "good: and more", "relevant": "r"})},
    ),
    "no title but a description": ("<top><num>1<desc> Description: only this</top>", {"1": ("only this", {})}),
    "an empty title": ("<top><num>1</num><title></title></top>", {"1": ("", {})}),
    "a DOCTYPE": (
        '<!DOCTYPE topics [\n<!ENTITY a "expanded">\n<!ENTITY b "&a;&a;">\n]>\n<topic number="1"><title>&b;</title></topic>',
        {"1": ("&b;", {})},
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_topics(name: str, tmp_path: Path) -> None:
    text, expected = EXAMPLES[name]
    assert topics(tmp_path, text) == expected
    assert topics(tmp_path, "\ufeff" + text.replace("\n", "\r\n")) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<top><num>1<title>one\n<top><num>2<title>two</top>", "1: its </top> is missing"),
        ("<top><num>2<title>two</top>\n<top><num>1", "2: its </top> is missing"),
        ("<top><title>one</top>\n<top><num>2<title>two</top>", "1: a topic needs an id"),
        ("stray\n<top><num>2<title>two</top>", "1: expected id, tab and text"),
        ("<top><num>2<title>two</top>\n<!-- no end", "2: what begins here has no -->"),
    ],
)
def test_topics_that_are_broken_are_named(text: str, message: str, tmp_path: Path) -> None:
    path = put(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        read_queries(path)
    assert str(caught.value).startswith(f"{path}:{message}")
    faults = Faults("skip")
    assert read_queries(path, faults).ids == ("2",)
    assert faults.count == 1


@pytest.mark.parametrize(
    "encoding", ["iso-8859-1", "windows-1251", "UTF-8", "utf-16", "rot13", "hex", "no-such", "idna"]
)
def test_an_xml_file_may_say_its_encoding(encoding: str, tmp_path: Path) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?>\n<topic number="1"><title>caf\xe9</title></topic>'
    known = encoding in ("iso-8859-1", "windows-1251")
    path = tmp_path / "t.xml"
    path.write_bytes(text.encode("latin-1" if known else "utf-8"))
    assert read_queries(path, format="trec").texts == ({"windows-1251": "cafй"}.get(encoding, "café"),)
    path.write_bytes(text.partition("\n")[2].encode("latin-1"))
    with pytest.raises(UsageError, match="no UTF-8"):
        read_queries(path, format="trec")


DOCUMENTS = """<DOC>
<DOCNO> FT911-1 </DOCNO>
<DATE>910514</DATE>
<HEADLINE>
FT  14 MAY 91 / Fuel &amp; power
</HEADLINE>
<TEXT>
First <P> paragraph.
</TEXT>
<TEXT>Second.</TEXT>
</DOC><DOC><docno>AP-2</docno><HEAD>one</HEAD><TEXT></TEXT></DOC>
<DOC>
<DOCNO>WEB-3</DOCNO>
<DOCHDR>
HTTP/1.1 200 OK
</DOCHDR>
<html><title>Home</title><script>var x = "<b>";</script><body>Welcome<br>here <!-- not this --></body></html>
</DOC>
"""


@pytest.mark.parametrize("name", ["docs.trec", "docs.sgml.gz"])
def test_documents(name: str, tmp_path: Path) -> None:
    path = put(tmp_path, DOCUMENTS, name)
    found = list(read_documents(path, format="trec-documents"))
    assert [document for _, document in found] == [
        Document("FT911-1", "FT 14 MAY 91 / Fuel & power", "First paragraph. Second.", {"date": "910514"}),
        Document("AP-2", "one", ""),
        Document("WEB-3", "Home", "Welcome here"),
    ]
    assert [place for place, _ in found] == [f"{path}:{line}" for line in (1, 11, 12)]


def test_documents_without_a_field_for_their_text(tmp_path: Path) -> None:
    path = put(tmp_path, "<doc><docno>1</docno><title>İ title</title>\nall <em>the</em> rest\n</doc>", "d.trec")
    assert [d for _, d in read_documents(path, format="trec-documents")] == [Document("1", "İ title", "all the rest")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<DOC><TEXT>x</TEXT></DOC>\n", "1: a document needs an id, in <DOCNO>"),
        ("<DOC><DOCNO>1</DOCNO>\n", "1: its </doc> is missing"),
        ("text outside\n", "1: expected a document in <DOC> tags"),
        ("<DOC>\n<DOCNO>1\x00</DOCNO></DOC>\n", "1: the id '1\\x00' has white space or NUL"),
    ],
)
def test_documents_that_are_broken_are_named(text: str, message: str, tmp_path: Path) -> None:
    path = put(tmp_path, text + "<DOC><DOCNO>2</DOCNO><TEXT>y</TEXT></DOC>\n", "d.trec")
    with pytest.raises(UsageError) as caught:
        list(read_documents(path, format="trec-documents"))
    assert str(caught.value).startswith(f"{path}:{message}")
    faults = Faults("skip")
    assert [d.id for _, d in read_documents(path, faults, "trec-documents")] == ["2"]
    assert faults.count == 1


@pytest.mark.parametrize("piece", ["<!--", "<a", "<title>", "<script>", "</b>", "<top", "&a;", "<![CDATA[", "<x></y>"])
def test_files_made_to_take_long_do_not(piece: str, tmp_path: Path) -> None:
    text = f"<DOC><DOCNO>1</DOCNO>{piece * 30_000}</DOC><top><num>1<title>{piece * 30_000}</top>"
    path = put(tmp_path, text, "x.trec")
    started = time.process_time()
    list(read_documents(path, Faults("skip"), "trec-documents"))
    read_queries(path, Faults("skip"))
    assert time.process_time() - started < 3
