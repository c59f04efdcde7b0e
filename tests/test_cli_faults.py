"""What people get wrong, and what they are told: one message with the way out, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spaniel import Component, Context, PluginError, UsageError, hookimpl
from spaniel.data import Document, write_folder
from spaniel.plugins import load_registry
from spaniel.rerank import PointwiseReranker
from spaniel.store import Store
from spaniel.testing import Cli, collection

PIPELINE = "- bm25: {k: 3, b: 0.5}\n- cut: {k: 2}\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return collection().write(tmp_path / "tiny")


def test_a_pipeline_comes_from_yaml_and_from_plain_data(run_cli: Cli, tmp_path: Path, data: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    planned = run_cli("plan", f"@{tmp_path / 'pipeline.yaml'}", str(data), "--json").json
    assert planned["expression"] == "bm25(k=3, b=0.5) % 2"
    compared = run_cli("compare", f"@{tmp_path / 'pipeline.yaml'}", str(data), "--json").json
    assert compared["systems"][0]["expression"] == planned["expression"]
    plain = Context(tmp_path / "store").pipeline([{"bm25": {"k": 3, "b": 0.5}}, {"cut": {"k": 2}}])
    assert str(plain.expression) == planned["expression"]
    (tmp_path / "bad.yaml").write_text("bm25: [")
    for name, says in (("bad.yaml", "bad.yaml:1:8: no YAML"), ("none.yaml", "none.yaml cannot be read")):
        ran = run_cli("plan", f"@{tmp_path / name}", str(data))
        assert ran.exit_code == 2
        assert says in ran.stderr


@pytest.mark.parametrize(
    ("field", "value"),
    [("task", None), ("run", 7), ("measures", {"nDCG@10": "abc"}), ("seed", "0"), ("made_with", []), ("split", None)],
)
def test_a_damaged_record_is_named(run_cli: Cli, tmp_path: Path, data: Path, field: str, value: Any) -> None:
    out = tmp_path / "x.trec"
    assert run_cli("run", "bm25", str(data), "-o", str(out)).exit_code == 0
    record = tmp_path / "x.trec.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), field: value}))
    ran = run_cli("rerun", str(out))
    assert ran.exit_code == 1
    assert f"x.trec.json: is damaged: its {field} is missing or of another type" in ran.stderr


def test_rerun_tells_before_and_now(run_cli: Cli, tmp_path: Path, data: Path) -> None:
    out = tmp_path / "x.trec"
    measured = run_cli("run", "bm25", str(data), "-o", str(out), "-m", "RR", "--json").json["measures"]
    again = run_cli("rerun", str(out), "--json").json
    assert again["measures"] == {"RR": {"before": measured["RR"], "now": measured["RR"], "difference": 0.0}}


@pytest.mark.parametrize("option", ["--trace", "-o"])
def test_where_nothing_can_be_written_is_said_before_any_work(
    run_cli: Cli, tmp_path: Path, data: Path, option: str
) -> None:
    ran = run_cli("run", "bm25", str(data), option, str(tmp_path / "nowhere" / "x.trec"))
    assert ran.exit_code == 2
    assert f"there is no folder {tmp_path / 'nowhere'}" in ran.stderr
    assert run_cli("plan", "bm25", str(data), "--json").json["artifacts"][0]["there"] is False


def test_what_was_skipped_is_counted(run_cli: Cli, data: Path) -> None:
    with (data / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "dog-0", "text": "again"}\nno json\n')
    ran = run_cli("run", "bm25", str(data), "--on-error", "skip")
    assert ran.exit_code == 0
    assert "note: 1 malformed and 1 duplicate records were left out of the documents, first: " in ran.stderr


def test_malformed_input_leaves_no_draft(tmp_path: Path, run_cli: Cli, data: Path) -> None:
    with (data / "corpus.jsonl").open("a") as file:
        file.write("no json\n")
    ran = run_cli("--store", str(tmp_path / "store"), "search", "bm25", str(data), "dog")
    assert ran.exit_code == 2
    assert "corpus.jsonl:25" in ran.stderr
    assert not list(Store(tmp_path / "store").list())


def test_a_new_plugin_takes_nobodys_name(run_cli: Cli, tmp_path: Path) -> None:
    for name in ("bm25", "spaniel-bm25", "cut"):
        ran = run_cli("plugins", "new", name, "--kind", "rerank" if name == "cut" else "retrieve", "-o", str(tmp_path))
        assert ran.exit_code == 2
        assert f"'{name}' is taken" in ran.stderr
    assert not list(tmp_path.glob("spaniel-*"))


def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    documents = [Document("a", "", "text"), Document("b\n", "", "text")]
    with pytest.raises(UsageError):
        write_folder(tmp_path / "out", documents, None, {"test": collection().qrels})
    assert not list(tmp_path.iterdir())
    (tmp_path / "out").mkdir()
    write_folder(tmp_path / "out", documents[:1])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["corpus.jsonl"]


def test_a_score_that_is_no_number_names_component_and_query(tmp_path: Path) -> None:
    registry = load_registry(warn=False)
    registry.register(_Plugin(), "at-hand")
    plain = collection()
    with pytest.raises(PluginError, match="at-hand: rerank `not-a-number`: its list for the query 'dog' has a score"):
        Context(tmp_path, registry=registry).run("bm25 >> not-a-number", plain.queries, plain.corpus())


def test_a_sum_that_no_float_holds_is_refused(tmp_path: Path) -> None:
    plain = collection()
    with pytest.raises(UsageError, match="too large for 32 bits"):
        Context(tmp_path).run("1e308 * bm25 + 1e308 * bm25(k1=2)", plain.queries, plain.corpus())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plan", "bm25", ""], "not an empty text"),
        (["plan", "bm25 % -1", "x"], "`%` cuts after 0 documents or more\n  bm25 % -1\n         ^^"),
        (["plan", "rrf()", "x"], "`rrf` works on pipelines"),
        (["plan", "bm25(method=bm25+)", "x"], "needs quotes"),
        (["plan", "weighted(bm25, bm25, weights=[1])", "x"], "options of `weighted`: 1 weights for 2 systems"),
        (["run", "bm25", "x", "--device", "quux"], "'quux' is no device; there are auto, cpu, cuda"),
        (["compare", "bm25", "x", "--all-pairs", "--baseline", "1"], "there is no folder"),
    ],
)
def test_messages_say_what_is_allowed(run_cli: Cli, arguments: Sequence[str], said: str) -> None:
    ran = run_cli(*arguments)
    assert ran.exit_code == 2
    assert said in ran.stderr
    assert "Value error" not in ran.stderr


def test_a_kind_that_is_switched_off_says_so(run_cli: Cli, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANIEL_DISABLE", "text")
    ran = run_cli("plan", "bm25", str(data))
    assert (
        "a component of kind analyzer, which spaniel-text adds, which is switched off: spaniel plugins enable"
        in ran.stderr
    )


def test_a_variable_that_names_nothing_is_said(run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANIEL_DISABLE", "nope")
    assert "SPANIEL_DISABLE names nope, which no installed plugin is called" in run_cli("components").stderr


def test_a_table_needs_an_id_in_its_header(run_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "corpus.csv").write_text("d1,cat\n")
    ran = run_cli("search", "bm25", str(tmp_path), "cat")
    assert "corpus.csv:1: expected a header with one of _id, id" in ran.stderr


def test_damaged_names_of_collections_cost_nothing_else(run_cli: Cli) -> None:
    folder = Path(run_cli.env["SPANIEL_CONFIG"])
    folder.mkdir(parents=True)
    (folder / "datasets.json").write_text('{"a": 5}')
    ran = run_cli("datasets", "list")
    assert ran.exit_code == 0
    assert "python-docs" in ran.stdout
    assert "irds:…" in ran.stdout
    assert "datasets.json" in ran.stderr
    assert run_cli("datasets", "remove", "a").exit_code == 1


class _NotANumber(PointwiseReranker):
    def score(self, queries: Sequence[str], texts: Sequence[str]) -> np.ndarray:
        return np.full(len(texts), np.nan, np.float32)


class _Plugin:
    @hookimpl
    def rerank(self) -> list[Component]:
        return [Component("not-a-number", f"{__name__}:_NotANumber", "score everything with NaN")]
