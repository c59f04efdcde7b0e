"""YAML of pipelines and recipes: what it means, and every fault with file, line and column."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from spaniel.cli.main import main
from spaniel.errors import UsageError
from spaniel.expression.data import DataFault, from_data
from spaniel.yaml import MAX_BYTES, MAX_NODES, parse_yaml, read_yaml

BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9))


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("", None),
        ("# nothing", None),
        ("a: 2001-13-45", {"a": "2001-13-45"}),
        ("a: 2001-12-14", {"a": "2001-12-14"}),
        ("a: [no, on, 12:30, 0.5, .5, 5., -7, +7, 1e-5, 1.5e+3, true, ~, null]",
         {"a": ["no", "on", "12:30", 0.5, 0.5, 5.0, -7, 7, 1e-5, 1500.0, True, None, None]}),
        ("a: ['0x1F', \"0777\"]", {"a": ["0x1F", "0777"]}),
        ("1: x", {"1": "x"}),
        ("base: &b {k: 1, j: 2}\nx: {<<: *b, k: 3}", {"base": {"k": 1, "j": 2}, "x": {"k": 3, "j": 2}}),
        ("x: {<<: [{k: 1}, {k: 2, j: 2}]}", {"x": {"k": 1, "j": 2}}),
        ("a: &a [1]\nb: *a", {"a": [1], "b": [1]}),
        ("a: |\n  two\n  lines\n", {"a": "two\nlines\n"}),
        ("\ufeffa: 1", {"a": 1}),
    ],
)  # fmt: skip
def test_plain_values(text: str, content: Any) -> None:
    found = parse_yaml(text, "f").content
    assert found == content
    assert repr(found) == repr(content), "numbers keep their types"


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("a: 1\nb: " + "9" * 5000, "2:4", "at most 300 digits"),
        ('a: "\\U00110000"', "1:7", "a character that does not exist"),
        ('a: "\\ud800"', "1:4", "lone surrogate"),
        ('a: "\\0"', "1:4", "NUL"),
        ("a:\n  b: \0", "2:6", "U\\+0000"),
        ("a: \x07", "1:4", "U\\+0007"),
        ("a: !!int ''", "1:4", "the tag .*int"),
        ("a: !!python/object:os.system x", "1:4", "the tag .*python"),
        ("!!set {a, b}", "1:1", "the tag"),
        ("a: 0x_", "1:4", "quote it"),
        ("a: 0777", "1:4", "quote it"),
        ("a: 1_000", "1:4", "quote it"),
        ("a: .inf", "1:4", "no finite number"),
        ("a: .nan", "1:4", "no finite number"),
        ("a: 1e999", "1:4", "no finite number"),
        (BOMB, r"\d+:\d+", f"more than {MAX_NODES} nodes"),
        ("a: &a " + "x" * 2**17 + "\nb: [" + "*a, " * 20 + "]", r"2:\d+", "characters"),
        ("[" * 5000, r"1:\d+", "nested deeper"),
        ("- " * 3000 + "x", r"1:\d+", "nested deeper"),
        ("a: &a [*a]", "1:8", "inside what it names"),
        ("a: &a {<<: *a}", "1:12", "inside what it names"),
        ("a: *b", "1:4", "no anchor &b"),
        ("a: 1\nb: 2\na: 3", "3:1", "'a' comes twice; it is in line 1"),
        ("? [a]\n: b", "1:3", "a key is a text"),
        ("<<: 5", "1:5", "takes a mapping"),
        ("--- a\n--- b", "2:1", "a second document"),
        ("a:\n\t- b", "2:1", "no YAML"),
        ("{a", "1:3", "no YAML"),
        ("a: b: c", "1:5", "no YAML"),
        ("@a: b", "1:1", "no YAML"),
    ],
)
def test_faults_have_their_place(text: str, place: str, message: str) -> None:
    began = time.process_time()
    with pytest.raises(UsageError, match=rf"^f\.yaml:{place}: .*{message}"):
        parse_yaml(text, "f.yaml")
    assert time.process_time() - began < 5


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes("a: ü".encode("utf-16"))
    assert read_yaml(path).content == {"a": "ü"}
    for data, message in (
        (b"a: 1\nb: \xff", r"f\.yaml:2:4: the bytes are no UTF-8"),
        (b"#" * (MAX_BYTES + 1), "more than"),
    ):
        path.write_bytes(data)
        with pytest.raises(UsageError, match=message):
            read_yaml(path)
    for missing in (tmp_path, tmp_path / "none", "a\0b"):
        with pytest.raises(UsageError, match="cannot be read"):
            read_yaml(missing)


@settings(max_examples=150, deadline=None)
@given(text=st.text(st.sampled_from("ab:-[]{}&*!|>'\"\\#%@` \n\t,?<0.~=U\0\u2028é"), max_size=40))
def test_any_text_is_data_or_a_fault_with_its_place(text: str) -> None:
    try:
        parse_yaml(text, "f").content  # noqa: B018
        told = "f:"
    except UsageError as error:
        told = str(error)
    assert told.startswith("f:")


def test_the_place_of_what_a_pipeline_cannot_hold() -> None:
    text = "- bm25: {k: 10}\n- rrf:\n    inputs: [bm25, {a: 1, b: 2}]\n"
    read = parse_yaml(text, "p.yaml")
    with pytest.raises(DataFault) as caught:
        from_data(read.content)
    assert read.where(caught.value.place) == "p.yaml:3:20"
    assert from_data({"x": {"place": 1, "make": 2}}).stages[0].options == {"place": 1, "make": 2}


@pytest.mark.parametrize("value", ["2001-13-45", "9" * 5000, '"\\U00110000"', "!!int ''", "0x_", ".inf", "&a [*a]"])
def test_a_pipeline_file_with_a_fault_ends_in_an_error(value: str, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(f"- missing: {{k: {value}}}\n- cut: {{k: {value}}}\n")
    result = CliRunner().invoke(main, ["--store", str(tmp_path / "store"), "plan", f"@{path}", "python-docs"])
    assert result.exit_code not in (0, None)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
