"""The generated collections: their statistics are those of the published data."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spaniel import Context, Qrels, UsageError
from spaniel.collections import find_dataset
from spaniel.data import FolderDataset
from spaniel.indexing import open_corpus
from spaniel.protocols import Dataset
from spaniel.testing import Cli, contract
from spaniel_limit import words
from spaniel_limit.config import LimitConfig
from spaniel_limit.generator import listed
from spaniel_limit.graph import qrel_graph
from spaniel_limit.patterns import all_sets, fewest_documents, relevant_documents

DATA = Path(os.environ.get("SPANIEL_TEST_DATA") or Path(__file__).parents[4] / "shared" / "data")
DENSITY, STRENGTH = 0.0854815, 28.4653
"""Of LIMIT's judgments, published."""

test_limit = contract("dataset/limit", options={"documents": 46})


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return Context(tmp_path_factory.mktemp("store"))


def texts_of(context: Context, dataset: Dataset) -> dict[str, str]:
    corpus = open_corpus(context, dataset.documents())
    return {document.id: document.text for document in corpus.documents(range(len(corpus)))}


def likes(text: str, name: str) -> list[str]:
    """Return the attributes of a document; the last two are told apart by the list of all attributes."""
    assert text.startswith(f"{name} likes ")
    assert text.endswith(".")
    parts = text[len(name) + 7 : -1].split(", ")
    known = set(words.attributes())
    for match in re.finditer(" and ", parts[-1]):
        pair = [parts[-1][: match.start()], parts[-1][match.end() :]]
        if set(pair) <= known:
            return [*parts[:-1], *pair]
    return parts


# Words


def test_there_are_words_enough_and_none_twice() -> None:
    found = words.attributes()
    assert len(found) >= 1850
    assert len({word.casefold() for word in found}) == len(found)
    assert not [word for word in found if not word or "," in word or word != word.strip()]
    assert len(set(words.given_names())) == len(words.given_names())
    assert len(set(words.given_names())) * len(set(words.family_names())) >= 200_000


def test_few_attributes_share_a_word() -> None:
    owners = Counter(word for item in words.attributes() for word in set(re.findall(r"\w+", item.lower())))
    assert sum(count > 1 for count in owners.values()) <= 25


def test_lists_in_words() -> None:
    assert [listed(items) for items in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]


# Patterns


@given(st.integers(1, 60), st.integers(1, 40), st.integers(1, 4), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_every_pattern_has_k_documents_a_query(queries: int, documents: int, k: int, seed: int) -> None:
    for pattern in ("dense", "random", "cycle", "disjoint"):
        for balanced in (False, True) if pattern == "dense" else (False,):
            rng = np.random.default_rng(seed)
            try:
                found = relevant_documents(pattern, queries, documents, k, rng, balanced)
            except UsageError:
                assert k > documents or pattern in ("dense", "disjoint")
                continue
            assert found.shape == (queries, k)
            assert all(len(set(line)) == k for line in found.tolist())
            assert found.min() >= 0
            assert found.max() < documents
            degrees = np.bincount(found.ravel(), minlength=documents)
            if pattern == "cycle" and queries == documents:
                assert (degrees == k).all()
            if pattern == "disjoint":
                assert degrees.max() <= 1
            if pattern == "dense":
                assert len({tuple(line) for line in found.tolist()}) == queries


def test_the_dense_pattern_takes_the_first_sets_of_the_fewest_documents() -> None:
    found = relevant_documents("dense", 1000, 46, 2, np.random.default_rng(0))
    np.testing.assert_array_equal(found, all_sets(46, 2)[:1000])
    assert fewest_documents(1000, 2) == 46
    degrees = np.bincount(found.ravel())
    assert Counter(degrees.tolist()) == {45: 37, 37: 7, 38: 2}
    balanced = relevant_documents("dense", 1000, 46, 2, np.random.default_rng(0), balanced=True)
    assert np.bincount(balanced.ravel()).min() > 37
    with pytest.raises(UsageError, match="45 documents have 990 sets of 2, too few for 1000 queries; it takes 46"):
        relevant_documents("dense", 1000, 45, 2, np.random.default_rng(0))


def test_random_documents_are_asked_for_as_often_as_chance_has_it() -> None:
    degrees = np.bincount(relevant_documents("random", 4000, 50, 3, np.random.default_rng(1)).ravel(), minlength=50)
    share = 3 / 50
    assert abs(degrees.mean() - 4000 * share) < 1e-9
    # Chi-squared with 49 degrees of freedom, scaled by the variance of a draw without replacement; 99.9 % is 85.4.
    assert ((degrees - 240) ** 2 / (4000 * share * (1 - share))).sum() < 85.4


# Statistics


@pytest.mark.parametrize("seed", [42, 7])
def test_a_small_one_has_the_statistics_of_the_published(context: Context, seed: int) -> None:
    dataset = find_dataset(context, f"limit:seed={seed}")
    queries, qrels, texts = dataset.queries("test"), dataset.qrels("test"), texts_of(context, dataset)
    assert (len(texts), len(queries)) == (46, 1000)
    assert {len(judged) for judged in qrels.values()} == {2}
    assert len({frozenset(judged) for judged in qrels.values()}) == 1000
    degrees = Counter(name for judged in qrels.values() for name in judged)
    assert Counter(degrees.values()) == {45: 37, 37: 7, 38: 2}
    graph = qrel_graph(qrels)
    assert graph.edges == 42_698
    assert graph.density == pytest.approx(DENSITY, abs=1e-7)
    assert graph.strength == pytest.approx(STRENGTH, abs=1e-4)
    items = {name: likes(text, name) for name, text in texts.items()}
    assert {len(several) for several in items.values()} == {45}
    assert all(len(set(several)) == 45 for several in items.values())
    for name, text in zip(queries.ids, queries.texts, strict=True):
        asked = text.removeprefix("Who likes ").removesuffix("?")
        assert {person for person, several in items.items() if asked in several} == set(qrels[name])
    fillers = [45 - degrees[name] for name in texts]
    assert Counter(fillers) == {0: 37, 8: 7, 7: 2}


@pytest.mark.parametrize("name", ["limit-small", "limit"])
def test_the_published_data_have_the_same_graph(name: str) -> None:
    if not (DATA / name).is_dir():
        pytest.skip(f"{name} is not in the test data (SPANIEL_TEST_DATA)")
    graph = qrel_graph(FolderDataset(DATA / name).qrels("test"))
    assert (graph.queries, graph.edges) == (1000, 42_698)
    assert graph.density == pytest.approx(DENSITY, abs=1e-7)
    assert graph.strength == pytest.approx(STRENGTH, abs=1e-4)


def test_the_graph_of_scifact_is_the_published_one() -> None:
    if not (DATA / "scifact").is_dir():
        pytest.skip("scifact is not in the test data (SPANIEL_TEST_DATA)")
    graph = qrel_graph(FolderDataset(DATA / "scifact").qrels("test"))
    assert (round(graph.density, 6), round(graph.strength, 4)) == (0.001449, 0.4222)


def test_the_graph_is_that_of_comparing_all_pairs() -> None:
    rng = np.random.default_rng(0)
    qrels = {
        f"q{query}": {f"d{d}": int(rng.integers(-1, 3)) for d in rng.choice(12, rng.integers(1, 5), replace=False)}
        for query in range(25)
    }
    sets = [{name for name, grade in judged.items() if grade > 0} for judged in qrels.values()]
    weights = [
        len(a & b) / len(a | b) if a & b else 0.0 for i, a in enumerate(sets) for j, b in enumerate(sets) if i != j
    ]
    found = qrel_graph(Qrels(qrels))
    assert found.edges == sum(weight > 0 for weight in weights) // 2
    assert found.density == pytest.approx(sum(weight > 0 for weight in weights) / (25 * 24))
    assert found.strength == pytest.approx(sum(weights) / 25)
    assert qrel_graph(Qrels({})) == (0, 0, 0.0, 0.0)


def test_the_graph_asks_the_judgments_what_is_relevant() -> None:
    grades = {"q1": {"a": 1, "b": 2}, "q2": {"a": 2, "b": 1}, "q3": {"b": 2}}
    assert qrel_graph(Qrels(grades)).edges == 3
    assert qrel_graph(Qrels(grades, level=2)).edges == 1


@pytest.mark.slow
def test_a_full_one_has_fifty_thousand_people(context: Context) -> None:
    dataset = find_dataset(context, "limit:full")
    texts, qrels = texts_of(context, dataset), dataset.qrels("test")
    assert len(texts) == 50_000
    assert len({name for judged in qrels.values() for name in judged}) == 46
    asked = {text.removeprefix("Who likes ").removesuffix("?") for text in dataset.queries("test").texts}
    relevant = {name for judged in qrels.values() for name in judged}
    for name, text in list(texts.items())[::500]:
        items = likes(text, name)
        assert len(set(items)) == 45
        if name not in relevant:
            assert not asked & set(items)


# Options


def test_names_are_presets_and_options(context: Context) -> None:
    assert find_dataset(context, "limit:small").documents().recipe == find_dataset(context, "limit").documents().recipe
    named = find_dataset(context, "limit:documents=60,pattern=cycle,queries=30,balanced=true")
    written = context.create("dataset", "limit(documents=60, pattern=cycle, queries=30, balanced=true)")
    assert named.documents().recipe == written.documents().recipe
    assert named.name == "limit:documents=60,queries=30,pattern=cycle,balanced=True"
    assert LimitConfig(name="full,seed=3").resolved() == LimitConfig(documents=50_000, seed=3)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("medium", "'medium' is none of small, full"),
        ("sed=3", "'sed=3' is none of"),
        ("documents=many", "documents: "),
        ("documents=0", "documents: "),
        ("pattern=star", "pattern: "),
        ("query_template=Who?", "has no {item}"),
    ],
)
def test_a_name_that_is_wrong_is_told(context: Context, name: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        find_dataset(context, f"limit:{name}")
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("queries=5000,documents=200", "attributes are too few for 5000 queries"),
        ("queries=2590,documents=3000", "that no query asks for; there are 0"),
        ("documents=5000000", "names at the most, not 5000000"),
        ("pattern=disjoint", "disjoint sets of 2 for 1000 queries take 2000 documents, not 46"),
    ],
)
def test_what_cannot_be_made_is_told_at_once(context: Context, options: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_dataset(context, f"limit:{options}").qrels("test")


def test_the_seed_decides_everything(context: Context) -> None:
    first, second = (texts_of(Context(context.store), find_dataset(context, "limit:seed=1")) for _ in range(2))
    assert first == second
    other = find_dataset(context, "limit:seed=2")
    assert not set(first) & set(texts_of(context, other)) or first != texts_of(context, other)
    assert other.queries("test").texts != find_dataset(context, "limit:seed=1").queries("test").texts


def test_the_parts_share_neither_attributes_nor_names(context: Context) -> None:
    test, train = find_dataset(context, "limit:part=test"), find_dataset(context, "limit:part=train,seed=9")
    assert (list(test.splits), list(train.splits)) == (["test"], ["train"])
    sides: list[Any] = [texts_of(context, dataset) for dataset in (test, train)]
    items = [{item for name, text in side.items() for item in likes(text, name)} for side in sides]
    assert not items[0] & items[1]
    assert not set(sides[0]) & set(sides[1])


def test_own_words_and_other_sets(context: Context, tmp_path: Path) -> None:
    (tmp_path / "things.txt").write_text("\n".join(f"thing {n}" for n in range(40)))
    (tmp_path / "people.txt").write_text("\n".join(f"P{n}" for n in range(9)))
    options = 'documents=9, queries=20, k=3, min_items=4, query_template="Wer mag {item}?", seed=1'
    made = context.create(
        "dataset", f'limit(attributes="{tmp_path / "things.txt"}", names="{tmp_path / "people.txt"}", {options})'
    )
    assert all(text.startswith("Wer mag thing ") for text in made.queries("test").texts)
    assert {len(judged) for judged in made.qrels("test").values()} == {3}
    assert set(texts_of(context, made)) == {f"P{n}" for n in range(9)}
    for text in texts_of(context, made).values():
        assert text.count("thing") >= 4
    with pytest.raises(UsageError, match="cannot be read"):
        context.create("dataset", 'limit(attributes="/nowhere.txt")').qrels("test")
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(UsageError, match="no line with a word"):
        context.create("dataset", f'limit(names="{tmp_path / "empty.txt"}")').qrels("test")


def test_it_is_exported_and_read_again(run_cli: Cli, tmp_path: Path, context: Context) -> None:
    shown = run_cli("datasets", "export", "limit:documents=30,queries=100", str(tmp_path / "out")).stdout
    assert "wrote 30 documents and 100 queries" in shown
    made, read = find_dataset(context, "limit:documents=30,queries=100"), FolderDataset(tmp_path / "out")
    assert read.queries("test") == made.queries("test")
    assert dict(read.qrels("test")) == dict(made.qrels("test"))
    assert texts_of(context, read) == texts_of(context, made)
