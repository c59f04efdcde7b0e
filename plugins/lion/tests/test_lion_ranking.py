"""Programs that score documents: BM25 as one of them, the measures of a search, and what a search finds."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spaniel import ArtifactError, Context, Corpus, Document, Qrels, Queries, UsageError
from spaniel.data import write_folder
from spaniel.evaluation.measures import evaluate
from spaniel.explain import explain_pipeline
from spaniel.indexing import index_need
from spaniel.testing import Cli, collection, contract
from spaniel.testing.case import Case
from spaniel.testing.contracts import promises_of
from spaniel_lion.config import Part
from spaniel_lion.evolving import evolve
from spaniel_lion.programs.functions import WHOLE
from spaniel_lion.programs.published import BM25, read_program
from spaniel_lion.programs.rule import Rule
from spaniel_lion.programs.signature import RANKING
from spaniel_lion.programs.types import check_types
from spaniel_lion.ranking.judged import Judged

PLAIN = collection()
DATA = Path(os.environ.get("SPANIEL_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
SPACE = "ranking-programs"
TIED = "score = qtf * 1.0"
"""Many documents score the same."""
HOSTILE = "hostile contents are found"
test_index = contract("index/ranked", without=(HOSTILE,))  # it is tried below, with a mark
test_retriever = contract("retrieve/ranked")
test_space = contract("search_space/ranking-programs", options={"trials": 200})
test_few_functions = contract("search_space/ranking-programs", options={"functions": ("log1p", "*", "/", "+")})


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(tmp_path / "store", seed=3, offline=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return PLAIN.write(tmp_path_factory.mktemp("plain") / "data")


@pytest.mark.slow
def test_hostile_contents_are_found(tmp_path: Path) -> None:
    promises_of("index")[HOSTILE](Case("index/ranked", tmp_path))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("indptr", lambda values: np.concatenate([values[:1], values[-1:], values[2:]])),
        ("indices", lambda values: values + 10**6),
        ("indices", lambda values: values * 0 - 1),
        ("data", lambda values: values * np.float32(0.5)),
        ("data", lambda values: values * np.float32(np.nan)),
        ("lengths", lambda values: values + 1),
        ("lengths", lambda values: values[:-1]),
        ("lengths", lambda values: values.astype(np.float64)),
        ("vocabulary", lambda words: words[::-1]),
        ("vocabulary", lambda words: [words[0]] * len(words)),
        ("vocabulary", lambda words: words[:-1]),
    ],
)
def test_counts_that_are_none_are_refused(name: str, change: Any, context: Context) -> None:
    artifact = context.obtain(index_need(context, "ranked", PLAIN.corpus().need))
    indexer: Any = context.create("index", "ranked")
    indexer.check(artifact)
    if name == "vocabulary":
        file = artifact.path / "vocabulary.json"
        file.write_text(json.dumps(change(json.loads(file.read_text()))))
    else:
        values = np.load(artifact.path / f"{name}.npy")
        np.save(artifact.path / f"{name}.npy", np.ascontiguousarray(change(values)))
    with pytest.raises(ArtifactError, match=name):
        indexer.check(artifact)


def ranking(text: str) -> Rule:
    return Rule(read_program(text, RANKING), RANKING)


def searched(context: Context, stage: str, queries: Queries, corpus: Corpus) -> Any:
    retriever = context.create("retrieve", stage)
    for need in retriever.needs(corpus.need):
        context.obtain(need)
    return retriever.retrieve(queries, corpus)


def compare(context: Context, queries: Queries, corpus: Corpus) -> None:
    bm25, ranked = (searched(context, stage, queries, corpus) for stage in ("bm25", "ranked"))
    assert np.array_equal(bm25.offsets, ranked.offsets)
    assert np.allclose(bm25.scores, ranked.scores, rtol=1e-5, atol=1e-6)
    assert np.mean(bm25.rows == ranked.rows) > 0.999


def test_the_first_program_is_the_bm25_that_is_there(context: Context) -> None:
    texts = [*PLAIN.queries.texts, "dog dog ship", "nothing known", "", "the the river star river"]
    compare(context, Queries([f"q{n}" for n in range(len(texts))], texts), PLAIN.corpus())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cranfield", "vaswani"])
def test_it_is_on_real_collections(name: str, context: Context) -> None:
    if not (DATA / name).is_dir():
        pytest.skip(f"the collection {name} is not there; SPANIEL_TEST_DATA names the folder that has it")
    proxy: Any = context.create("search_space", f"judgments(collection='{DATA / name}')")
    corpus, queries, qrels = proxy.material.need_judgments("a test")
    compare(context, queries, corpus)
    run = searched(context, "ranked", queries, corpus)
    for part in ("training", "validation", "held-out"):
        agree(proxy, run, queries, corpus, qrels, "bm25", part)


def agree(proxy: Any, run: Any, queries: Queries, corpus: Corpus, qrels: Qrels, program: str, part: Part) -> None:
    """The proxy's measure is that of the list, as it is measured everywhere else."""
    names = chosen(proxy, part, 3)
    places = [at for at, name in enumerate(queries.ids) if name in names]
    judged = Qrels({name: qrels[name] for name in names}, level=qrels.level)
    measure, depth = proxy.config.measure, proxy.config.depth
    found = evaluate(run.select(places), queries.select(places), corpus, judged, [f"{measure}@{depth}"])
    assert proxy.measure(ranking(program), 3, part) == pytest.approx(found.means[f"{measure}@{depth}"], abs=1e-9)


def chosen(proxy: Any, part: Part, seed: int) -> list[str]:
    from spaniel_lion.ranking.proxy import part_of

    _, queries, qrels = proxy.material.need_judgments("a test")
    return part_of(queries, qrels, seed, part)


@pytest.mark.parametrize("program", ["bm25", TIED])
@pytest.mark.parametrize("options", ["", ", depth=2", ", measure=AP", ", measure=AP, depth=3"])
def test_measures_are_those_of_the_tool(options: str, program: str, context: Context, tmp_path: Path) -> None:
    """Graded, with ties, documents that no list has, documents that the corpus lacks, and levels of relevance."""
    judgments = {name: dict(PLAIN.qrels[name]) for name in PLAIN.queries.ids if name in PLAIN.qrels}
    rng = np.random.default_rng(0)
    for judged in judgments.values():
        judged.update({document.id: int(rng.integers(4)) for document in PLAIN.documents[::3]})
        judged["not there"] = 2
    write_folder(tmp_path / "data", PLAIN.documents, PLAIN.queries, {"test": Qrels(judgments)})
    (tmp_path / "data" / "spaniel.json").write_text('{"rel": 2}')
    proxy: Any = context.create("search_space", f"judgments(collection='{tmp_path / 'data'}'{options})")
    corpus, queries, qrels = proxy.material.need_judgments("a test")
    assert qrels.level == 2
    run = searched(context, f"ranked(program='{program}')", queries, corpus)
    agree(proxy, run, queries, corpus, qrels, program, "training")


def test_a_querys_own_document_is_left_out(context: Context, tmp_path: Path) -> None:
    documents = [Document("a", "", "flat tyre"), Document("b", "", "flat tyre pump"), Document("c", "", "cat")]
    names = ["a", "b"]
    queries = Queries(names, ["flat tyre", "flat tyre pump"])
    write_folder(tmp_path / "data", documents, queries, {"test": Qrels({"a": {"b": 1}, "b": {"a": 1}})})
    proxy: Any = context.create("search_space", f"judgments(collection='{tmp_path / 'data'}', depth=1)")
    assert proxy.measure(ranking("bm25"), 0, "training") == 0
    (tmp_path / "data" / "spaniel.json").write_text('{"leave_out_own": true}')
    context = Context(tmp_path / "store", seed=3)
    proxy = context.create("search_space", f"judgments(collection='{tmp_path / 'data'}', depth=1)")
    assert proxy.measure(ranking("bm25"), 0, "training") == 1


def test_parts_have_no_query_in_common_and_move_with_the_seed(context: Context, folder: Path) -> None:
    proxy: Any = context.create("search_space", f"judgments(collection='{folder}')")
    parts: tuple[Part, ...] = ("training", "validation", "held-out")
    drawn = [[set(chosen(proxy, part, seed)) for part in parts] for seed in range(6)]
    for each in drawn:
        assert sorted(name for part in each for name in part) == sorted(PLAIN.queries.ids)
        assert [len(part) for part in each] == [4, 1, 1]
    assert len({tuple(sorted(each[0])) for each in drawn}) > 1
    one: Any = context.create("search_space", f"judgments(collection='{folder}', part=validation)")
    space: Any = context.create("search_space", SPACE)
    assert one.score(space, TIED, 3) == proxy.measure(ranking(TIED), 3, "validation")
    assert proxy.held_out(ranking(TIED), 3) == proxy.measure(ranking(TIED), 3, "held-out")


def test_what_no_program_is_and_what_has_no_number(context: Context, folder: Path) -> None:
    for text, message in (
        ("score = norm(tf) * df", "goes number by number"),
        ("score = n * al", "returns a scalar as `score`"),
        ("score = tf * g", "reads `g`"),
        ("score = tf\nreturn score, tf", "line 1"),
    ):
        with pytest.raises(UsageError, match=message):
            check_types(read_program(text, RANKING), RANKING)
    with pytest.raises(UsageError, match="published ones are bm25"):
        read_program("lion", RANKING)
    corpus = PLAIN.corpus()
    infinite = "score = log(tf - tf)"
    with pytest.raises(UsageError, match="no finite score for"):
        searched(context, f"ranked(program='{infinite}')", PLAIN.queries, corpus)
    proxy: Any = context.create("search_space", f"judgments(collection='{folder}')")
    space: Any = context.create("search_space", SPACE)
    assert proxy.score(space, infinite, 0) == 0
    programs: Any = context.create("search_space", "programs")
    with pytest.raises(UsageError, match="ranking-programs"):
        proxy.score(programs, programs.start, 0)
    with pytest.raises(UsageError, match="give --space programs"):
        context.create("search_space", "digits(steps=1)").score(space, space.start, 0)
    with pytest.raises(UsageError, match="no function 'norm'"):
        context.create("search_space", f"{SPACE}(functions=[norm])")


def test_mutations_go_number_by_number(context: Context) -> None:
    space: Any = context.create("search_space", SPACE)
    rng, candidate, seen = np.random.default_rng(0), space.start, set()
    for _ in range(150):
        candidate = space.mutate(candidate, rng)
        space.validate(candidate)
        seen.update(statement.function for statement in space.read(candidate).statements)
    assert len(seen) > 15
    assert not seen & WHOLE


def test_another_program_builds_nothing_and_rows_are_scored_without_a_search(context: Context) -> None:
    corpus = PLAIN.corpus()
    searched(context, "ranked", PLAIN.queries, corpus)
    before = len(list(context.store.list()))
    run = searched(context, f"ranked(program='{TIED}', k=3)", PLAIN.queries, corpus)
    assert len(list(context.store.list())) == before
    assert (run.lengths == 3).all()
    retriever: Any = context.create("retrieve", f"ranked(program='{TIED}')")
    scores = retriever.score_rows(PLAIN.queries, list(range(len(corpus))), corpus)
    for query in range(len(run)):
        rows, given = run.of(query)
        assert np.array_equal(scores[query, rows], given)
        assert rows.tolist() == np.argsort(-scores[query], kind="stable")[:3].tolist()
    (made,) = explain_pipeline(context, "ranked", "a dog and a cat", [0], corpus, explainer="occlusion")
    assert abs(made.total() - made.score) < 1e-5


def test_entries_that_a_program_cannot_tell_apart_are_worked_out_once(context: Context, folder: Path) -> None:
    proxy: Any = context.create("search_space", f"judgments(collection='{folder}')")
    proxy.measure(ranking("bm25"), 0, "training")
    judged: Judged = proxy._parts[0, "training"]
    one, places = judged._counts, judged._places
    assert len(one.tf) < len(places)
    columns = np.stack([one.tf, one.dl, one.df, one.qtf])
    assert len(np.unique(columns, axis=1).T) == len(one.tf)


def test_a_search_begins_at_bm25_and_what_it_finds_is_a_component(
    folder: Path, tmp_path: Path, run_cli: Cli, context: Context
) -> None:
    proxy = f"judgments(collection='{folder}', measure=AP, depth=20)"
    found = evolve(context, SPACE, proxy, 40, population=10, runs=1)
    space: Any = context.create("search_space", SPACE)
    first = context.create("search_space", proxy).score(space, space.start, 3)
    assert found.walks[0].trials[0].score == pytest.approx(first)
    assert found.score >= first
    out = tmp_path / "found.txt"
    ran = run_cli(
        "programs", "search", "--space", SPACE, "--proxy", proxy, "--then", proxy.replace("AP", "AP, part=validation"),
        "--budget", "30", "--population", "8", "--runs", "1", "--tolerance", "0.5", "-o", str(out), "--json",
    )  # fmt: skip
    assert ran.exit_code == 0, ran.stderr
    assert ran.json["held_out"].keys() == {"found", "baseline"}
    assert all(0 <= value <= 1 for value in ran.json["held_out"].values())
    shown = run_cli("programs", "show", str(out), "--of", "ranking")
    assert shown.stdout.startswith(out.read_text().strip())
    assert "states" not in shown.stdout
    assert len(searched(context, f"ranked(program='{out}')", PLAIN.queries, PLAIN.corpus()).rows)
    ran = run_cli("programs", "search", "--space", 'pipelines(expression="bm25(k1=?)")', "--budget", "10")
    assert (ran.exit_code, "no space of programs" in ran.stderr) == (2, True)
    assert "score" in BM25
