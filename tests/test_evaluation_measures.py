"""Measures agree with plain implementations under the written policy, whatever the scores, grades and gaps are."""

from __future__ import annotations

import csv
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spaniel.data import Corpus, Document, FolderDataset, Qrels, Queries, Run, read_documents, read_run
from spaniel.errors import UsageError
from spaniel.evaluation import DEFAULT_MEASURES, counts, evaluate, parse_measures, write_value
from spaniel.evaluation import measures as measures_room

DATA = Path(os.environ.get("SPANIEL_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")
DOCUMENTS = 12
CORPUS = Corpus.from_documents(Document(f"d{number:02}", "", "") for number in range(DOCUMENTS))
IDS = CORPUS.ids(range(DOCUMENTS))


def collection(name: str) -> Path:
    if not (DATA / name).is_dir():
        pytest.skip(f"{name} is not in the test data (SPANIEL_TEST_DATA)")
    return DATA / name


def made_queries(count: int) -> Queries:
    return Queries.from_lists([f"q{number}" for number in range(count)], ["text"] * count)


def ndcg(ranked: list[int], judged: list[int], k: int, gain=lambda grade: grade) -> float:
    """``ranked`` are the grades by rank, ``judged`` all grades."""

    def dcg(grades: list[int]) -> float:
        return sum(gain(max(0, grade)) / math.log2(rank + 1) for rank, grade in enumerate(grades[:k], 1))

    ideal = dcg(sorted(judged, reverse=True))
    return dcg(ranked) / ideal if ideal else 0.0


def average_precision(ranked: list[int], judged: list[int]) -> float:
    relevant = sum(grade > 0 for grade in judged)
    hits, total = 0, 0.0
    for rank, grade in enumerate(ranked, 1):
        if grade > 0:
            hits += 1
            total += hits / rank
    return total / relevant if relevant else 0.0


def reciprocal_rank(ranked: list[int], k: int) -> float:
    return next((1 / rank for rank, grade in enumerate(ranked[:k], 1) if grade > 0), 0.0)


def recall(ranked: list[int], judged: list[int], k: int) -> float:
    relevant = sum(grade > 0 for grade in judged)
    return sum(grade > 0 for grade in ranked[:k]) / relevant if relevant else 0.0


GRADES = st.dictionaries(st.sampled_from([*IDS, "absent-1", "absent-2"]), st.integers(-2, 6), min_size=1)
# Few scores, so that ties are common; two that differ by one step of a float32.
SCORES = st.sampled_from([0.0, -1.0, 1.0, float(np.nextafter(np.float32(1), np.float32(2))), 1e30, -1e30])
LISTS = st.dictionaries(st.integers(0, DOCUMENTS - 1), SCORES)


@given(st.lists(st.tuples(LISTS, st.one_of(st.none(), GRADES)), min_size=1, max_size=6), st.sampled_from([1, 3, 7]))
@settings(max_examples=100, deadline=None)
def test_measures_agree_with_plain_implementations(cases, block) -> None:
    queries = made_queries(len(cases))
    run = Run.from_lists([list(found.items()) for found, _ in cases])
    qrels = Qrels({queries.ids[at]: judged for at, (_, judged) in enumerate(cases) if judged is not None})
    names = ["nDCG@3", "nDCG", "nDCG(dcg='exp-log2')@5", "AP", "RR@2", "RR", "R@4", "P@5", "Success@1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measures_room, "_BLOCK", block)
        evaluation = evaluate(run, queries, CORPUS, qrels, names)
    assert evaluation.query_ids == tuple(name for name in queries.ids if name in qrels)
    expected = []
    for found, judged in cases:
        if judged is None:
            continue
        order = sorted(found, key=lambda row: (np.float32(found[row]), IDS[row]), reverse=True)
        ranked, grades = [judged.get(IDS[row], 0) for row in order], list(judged.values())
        expected.append([
            ndcg(ranked, grades, 3), ndcg(ranked, grades, 99), ndcg(ranked, grades, 5, lambda grade: 2**grade - 1),
            average_precision(ranked, grades), reciprocal_rank(ranked, 2), reciprocal_rank(ranked, 99),
            recall(ranked, grades, 4), sum(grade > 0 for grade in ranked[:5]) / 5, float(sum(ranked[:1]) > 0),
        ])  # fmt: skip
    wanted = np.array(expected).reshape(-1, len(names)).T
    np.testing.assert_allclose(evaluation.per_query, wanted, atol=1e-12)
    for name, row in zip(evaluation.measures, wanted, strict=True):
        assert evaluation.means[name] == pytest.approx(row.mean() if len(row) else 0.0)


def test_queries_without_results_or_without_relevant_documents_count_0() -> None:
    queries = made_queries(3)
    run = Run.from_lists([[(0, 2.0), (1, 1.0)], [], [(0, 1.0)]])
    qrels = Qrels({"q0": {IDS[0]: 1}, "q1": {IDS[0]: 1}, "q2": {IDS[0]: 0}, "only-judged": {IDS[3]: 2}})
    evaluation = evaluate(run, queries, CORPUS, qrels, DEFAULT_MEASURES)
    assert evaluation.query_ids == ("q0", "q1", "q2", "only-judged")
    assert evaluation.means == dict.fromkeys(DEFAULT_MEASURES, 0.25)
    assert evaluation.values("AP").tolist() == [1, 0, 0, 0]


def test_queries_without_judgments_do_not_count() -> None:
    evaluation = evaluate(Run.from_lists([[(0, 1.0)]] * 3), made_queries(3), CORPUS, Qrels({"q1": {IDS[0]: 1}}), ["AP"])
    assert evaluation.query_ids == ("q1",)
    assert evaluation.means == {"AP": 1.0}


def test_no_queries_give_means_of_0() -> None:
    assert evaluate(Run.empty(2), made_queries(2), CORPUS, Qrels({}), ["AP"]).means == {"AP": 0.0}


def test_a_measure_that_skips_unjudged_documents_sees_the_whole_list() -> None:
    run = Run.from_lists([[(row, 100.0 - row) for row in range(DOCUMENTS)]])
    qrels = Qrels({"q0": {IDS[10]: 1, IDS[11]: 0}})
    evaluation = evaluate(run, made_queries(1), CORPUS, qrels, ["P(judged_only=True)@2", "P@2"])
    assert evaluation.means == {"P(judged_only=True)@2": 0.5, "P@2": 0.0}


@pytest.mark.parametrize("name", ["ERR@5", "Judged@5", "Bpref", "SetP", "Rprec", "infAP", "Compat", "IPrec@0.5"])
def test_every_provider_takes_empty_lists_and_ids_of_any_form(name) -> None:
    # Query ids that some tools would read as one and the same number.
    queries = Queries.from_lists(["a-1", "b-1", "c"], ["text"] * 3)
    run = Run.from_lists([[(0, 1.0)], [(1, 1.0)], []])
    qrels = Qrels({"a-1": {IDS[0]: 1}, "b-1": {IDS[0]: 1}, "c": {IDS[0]: 1}})
    values = evaluate(run, queries, CORPUS, qrels, [name]).values(name).tolist()
    assert values[0] > 0
    assert values[1:] == [0, 0]


def test_measures_taken_together_are_as_taken_alone() -> None:
    names = [
        "nDCG@3", "nDCG(dcg='exp-log2')@3", "nDCG(gains={1:5})@3", "nDCG(judged_only=True)@3", "nDCG", "AP", "AP(rel=2)",
        "P(rel=3)@2", "P(judged_only=True)@2", "NumRet", "NumRet(rel=2)", "RR@5", "RR(rel=2)@5", "SetF", "SetF(beta=2.0)",
        "IPrec@0.1", "IPrec@0.12", "Judged@4", "ERR@3", "Success(rel=2)@1",
    ]  # fmt: skip
    run = Run.from_lists([[(row, float(-row)) for row in range(8)], [(row, float(row)) for row in range(3)]])
    qrels = Qrels({"q0": {IDS[0]: 0, IDS[2]: 1, IDS[5]: 4, IDS[9]: 3}, "q1": {IDS[1]: 1, IDS[0]: 1}})
    together = evaluate(run, made_queries(2), CORPUS, qrels, names)
    assert together.measures == tuple(parse_measures(names))
    for name in together.measures:
        alone = evaluate(run, made_queries(2), CORPUS, qrels, [name])
        np.testing.assert_array_equal(together.values(name), alone.per_query[0], err_msg=name)


def test_two_names_of_one_computation_are_both_measured() -> None:
    names = ["nDCG(dcg='exp-log2')@3", "nDCG(gains={2:3})@3"]
    run = Run.from_lists([[(0, 2.0), (1, 1.0)]])
    evaluation = evaluate(run, made_queries(1), CORPUS, Qrels({"q0": {IDS[0]: 1, IDS[1]: 2}}), names)
    assert evaluation.per_query[0, 0] == evaluation.per_query[1, 0] > 0


def test_exponential_gains_agree_with_the_script_of_ir_measures_where_that_can_compute_them() -> None:
    import ir_measures

    names = ["nDCG(dcg='exp-log2')@3"]
    grades = {IDS[0]: 1, IDS[1]: 4, IDS[2]: 0, IDS[3]: 3}
    run = Run.from_lists([[(2, 4.0), (0, 3.0), (1, 2.0), (3, 1.0)]])
    ours = evaluate(run, made_queries(1), CORPUS, Qrels({"q0": grades}), names).per_query[0, 0]
    listed = {"1": {IDS[2]: 4.0, IDS[0]: 3.0, IDS[1]: 2.0, IDS[3]: 1.0}}
    if not ir_measures.gdeval.is_available():
        pytest.skip("the script needs perl")
    theirs = ir_measures.gdeval.calc_aggregate([ir_measures.parse_measure(names[0])], {"1": grades}, listed)
    assert ours == pytest.approx(next(iter(theirs.values())), abs=1e-5)


def test_names_are_canonical_and_come_once() -> None:
    assert parse_measures(["MAP", "AP", "nDCG@10 ", "Recall@5"]) == ("AP", "nDCG@10", "R@5")
    assert parse_measures(DEFAULT_MEASURES) == DEFAULT_MEASURES


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ndcg@10", "did you mean nDCG@10?"),
        ("ndcg_cut_10", "did you mean nDCG@10?"),
        ("map", "did you mean AP?"),
        ("Recal@20", "R@20"),
        ("P", "cutoff: int, required (written P@10)"),
        ("P(depth=2)@5", "P takes cutoff"),
        ("P@0", "the cut-off must be from 1"),
        ("P@-1", "is no measure"),
        ("P@2.5", "P takes cutoff"),
        ("P(rel=0)@5", "the level of relevance must be 1 or more"),
        ("alpha_nDCG", "(written alpha_nDCG@10)"),
        ("nDCG(dcg='other')@10", "'log2', 'exp-log2'"),
        ("IPrec@0.123", "two decimals"),
        ("quality", "ir-measur.es"),
        ("", "ir-measur.es"),
        ("__import__('os')", "is no measure"),
        ("(" * 10_000, "is no measure"),
    ],
)
def test_what_is_no_measure_is_refused_with_the_way_out(name, said) -> None:
    with pytest.raises(UsageError) as caught:
        parse_measures([name])
    assert said in str(caught.value)
    assert name[:80] in str(caught.value)


@pytest.mark.parametrize(
    ("run", "grade", "name", "said"),
    [
        (Run.empty(2), 1, "AP", "lists for 2 queries, not for 1"),
        (Run.from_lists([[(DOCUMENTS, 1.0)]]), 1, "AP", f"has row {DOCUMENTS}"),
        (Run.from_lists([[(0, 1.0)]]), 2_000_000, "nDCG@3", "gains up to 1000000"),
        (Run.from_lists([[(0, 1.0)]]), 30, "nDCG(dcg='exp-log2')@3", "gains up to 1000000"),
        (Run.from_lists([[(0, 1.0)]]), 5, "ERR@3", "gains up to 4"),
    ],
)
def test_what_cannot_be_measured_is_refused(run, grade, name, said) -> None:
    with pytest.raises(UsageError, match=said):
        evaluate(run, made_queries(1), CORPUS, Qrels({"q0": {IDS[0]: grade}}), [name])


def test_a_package_that_is_missing_is_named(monkeypatch) -> None:
    import ir_measures

    measures_room._parse.cache_clear()
    monkeypatch.setattr(ir_measures.pyndeval, "is_available", lambda: False)
    with pytest.raises(UsageError, match=r"alpha_nDCG@10.*pip install ir-measures.pyndeval"):
        parse_measures(["alpha_nDCG@10"])


def test_pooled_but_not_judged_is_trec_evals_minus_1() -> None:
    run = Run.from_lists([[(IDS.index(f"d0{place}"), 9.0 - rank) for rank, place in enumerate("204135")]])
    letters = {"d00": 1, "d01": 0, "d02": -1, "d03": 1, "d04": -1, "d05": 0}
    # c a e b d f, where c and e are pooled and not judged.
    means = evaluate(run, made_queries(1), CORPUS, Qrels({"q0": letters}), ["Bpref", "infAP", "AP"]).means
    assert means == pytest.approx({"Bpref": 0.75, "infAP": 0.675, "AP": 0.45}, abs=1e-6)


ORACLE = {
    "AP": "map", "Bpref": "bpref", "infAP": "infAP", "Rprec": "Rprec", "P@3": "P_3", "R@5": "recall_5", "RR": "recip_rank",
    "SetP": "set_P", "SetAP": "set_map", "Success@1": "success_1", "IPrec@0.5": "iprec_at_recall_0.50",
    "NumRet": "num_ret", "NumRel": "num_rel", "NumRet(rel=1)": "num_rel_ret",
}  # fmt: skip


@pytest.mark.parametrize("level", [1, 2, 3])
def test_measures_agree_with_trec_eval_at_every_level(level: int) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    rng = np.random.default_rng(level)
    grades = {f"q{at}": {name: int(rng.integers(-1, 4)) for name in IDS if rng.random() < 0.8} for at in range(40)}
    run = Run.from_lists([[(row, -rank) for rank, row in enumerate(rng.permutation(DOCUMENTS)[:9])] for _ in range(40)])
    lists = {f"q{at}": dict(zip(CORPUS.ids(run.of(at)[0]), map(float, run.of(at)[1]), strict=True)) for at in range(40)}
    theirs = pytrec_eval.RelevanceEvaluator(
        grades, {"map", "bpref", "infAP", "Rprec", "P.3", "recall.5", "recip_rank", "set_P", "set_map", "success.1",
                 "iprec_at_recall.0.50", "num_ret", "num_rel", "num_rel_ret"}, relevance_level=level,
    ).evaluate(lists)  # fmt: skip
    for qrels, names in (
        (Qrels(grades, level=level), ORACLE),
        (Qrels(grades), [n if n == "NumRet" else _leveled(n, level) for n in ORACLE]),
        (Qrels(grades, level=0.25), [n if n == "NumRet" else _leveled(n, level) for n in ORACLE]),
    ):
        got = evaluate(run, made_queries(40), CORPUS, qrels, [n.replace("rel=1", f"rel={level}") for n in names])
        assert len(got.measures) == len(ORACLE)
        for row, key in zip(got.per_query, ORACLE.values(), strict=True):
            wanted = [theirs[name][key] for name in got.query_ids]
            np.testing.assert_allclose(row, wanted, atol=1e-12, err_msg=f"{key} at {level}")


def _leveled(name: str, level: int) -> str:
    if "rel=" in name:
        return name
    head, at, cut = name.partition("@")
    return f"{head}(rel={level}){at}{cut}"


def test_what_is_counted_is_summed_and_not_averaged() -> None:
    queries = made_queries(2)
    run = Run.from_lists([[(0, 2.0), (1, 1.0)], []])
    qrels = Qrels({"q0": {IDS[0]: 1, IDS[5]: 2}, "q1": {IDS[0]: 1, IDS[1]: 3, IDS[2]: 1, IDS[4]: 0}})
    names = ["NumQ", "NumRel", "NumRet", "NumRet(rel=1)", "NumRel(rel=2)", "P@2"]
    means = evaluate(run, queries, CORPUS, qrels, names).means
    assert means == {"NumQ": 2, "NumRel": 5, "NumRet": 2, "NumRet(rel=1)": 1, "NumRel(rel=2)": 2, "P@2": 0.25}
    assert [counts(name) for name in names] == [True] * 5 + [False]
    assert (write_value("NumQ", 2.0), write_value("P@2", 0.25)) == ("2", "0.2500")
    assert evaluate(run, queries, CORPUS, qrels.with_level(2), ["NumRel"]).means == {"NumRel": 2}


@given(
    st.dictionaries(st.sampled_from(IDS), st.sampled_from([-1, 0, 0.25, 0.5, 1, 1.5, 3]), min_size=1),
    st.permutations(range(DOCUMENTS)),
)
@settings(max_examples=100, deadline=None)
def test_fractions_are_gains(judged, order) -> None:
    run = Run.from_lists([[(row, -float(rank)) for rank, row in enumerate(order[:8])]])
    names = ["nDCG@5", "nDCG(dcg='exp-log2')@5", "AP", "R@3", "Judged@4"]
    got = evaluate(run, made_queries(1), CORPUS, Qrels({"q0": judged}), names).per_query[:, 0]
    ranked, grades = [judged.get(IDS[row], 0) for row in order[:8]], list(judged.values())
    wanted = [
        ndcg(ranked, grades, 5), ndcg(ranked, grades, 5, lambda grade: 2**grade - 1), average_precision(ranked, grades),
        recall(ranked, grades, 3), sum(IDS[row] in judged for row in order[:4]) / 4,
    ]  # fmt: skip
    np.testing.assert_allclose(got, wanted, atol=5e-6)


def test_measures_of_whole_grades_refuse_fractions_and_say_so() -> None:
    run, qrels = Run.from_lists([[(0, 1.0)]]), Qrels({"q0": {IDS[0]: 0.5}})
    for name in ("ERR@5", "Compat"):
        with pytest.raises(UsageError, match=r"takes whole grades, and the judgments have 0\.5; nDCG and"):
            evaluate(run, made_queries(1), CORPUS, qrels, [name])
    whole = Qrels({"q0": {IDS[0]: 1.0}})
    assert evaluate(run, made_queries(1), CORPUS, whole, ["ERR@5"]).means["ERR@5"] > 0


DIVERSITY = [
    "alpha_nDCG@5",
    "ERR_IA@5",
    "nERR_IA@3",
    "AP_IA",
    "P_IA@5",
    "StRecall@3",
    "NRBP",
    "alpha_nDCG(alpha=0.2)@4",
]


def test_diversity_agrees_with_ndeval() -> None:
    pyndeval = pytest.importorskip("pyndeval")
    rng = np.random.default_rng(0)
    judged = {
        f"q{at}": {
            part: {name: int(rng.integers(-1, 2)) for name in IDS if rng.random() < 0.4} for part in "123"[: 1 + at % 3]
        }
        for at in range(12)
    }
    order = [rng.permutation(DOCUMENTS)[:9] for _ in judged]
    run = Run.from_lists([[(row, -float(rank)) for rank, row in enumerate(rows)] for rows in order])
    flat = [
        pyndeval.SubtopicQrel(query, part, name, max(0, grade))
        for query, parts in judged.items()
        for part, names in parts.items()
        for name, grade in names.items()
    ]
    listed = [
        pyndeval.ScoredDoc(f"q{at}", IDS[row], -float(rank))
        for at, rows in enumerate(order)
        for rank, row in enumerate(rows)
    ]
    theirs = pyndeval.ndeval(
        flat,
        listed,
        ["alpha-nDCG@5", "ERR-IA@5", "nERR-IA@3", "MAP-IA", "P-IA@5", "strec@3", "NRBP"],
        alpha=0.5,
        beta=0.5,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measures_room, "_BLOCK", 10)  # a query at a time: the first one has one subtopic
        got = evaluate(run, made_queries(12), CORPUS, Qrels.from_subtopics(judged), DIVERSITY)
    for name, key in zip(
        DIVERSITY, ["alpha-nDCG@5", "ERR-IA@5", "nERR-IA@3", "MAP-IA", "P-IA@5", "strec@3", "NRBP"], strict=False
    ):
        np.testing.assert_allclose(
            got.values(name), [theirs[q].get(key, 0.0) for q in got.query_ids], atol=1e-9, err_msg=name
        )
    assert got.values(DIVERSITY[-1]).any()


def test_diversity_without_subtopics_is_refused(capfd) -> None:
    pytest.importorskip("pyndeval")
    run = Run.from_lists([[(0, 1.0)]])
    with pytest.raises(UsageError, match=r"alpha_nDCG@5 needs judgments by subtopic.*second column"):
        evaluate(run, made_queries(1), CORPUS, Qrels({"q0": {IDS[0]: 1}}), ["alpha_nDCG@5"])
    judged = {"q0": {"1": {IDS[0]: 1}, "2": {IDS[0]: 0}}}
    means = evaluate(
        run, made_queries(1), CORPUS, Qrels.from_subtopics(judged), ["AP", "alpha_nDCG@5", "ERR_IA@5"]
    ).means
    assert means["AP"] == 1
    assert 0 < means["ERR_IA@5"] < 1 == means["alpha_nDCG@5"]
    assert capfd.readouterr().err == ""


@pytest.fixture(scope="module")
def cranfield() -> tuple[Corpus, Queries, dict[str, dict[str, int]], Run]:
    """Cranfield under a random run that finds most of what is judged."""
    folder = collection("cranfield")
    dataset = FolderDataset(folder)
    with (folder / "qrels" / "test.tsv").open(encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file, delimiter="\t"))
    grades: dict[str, dict[str, int]] = {}
    for record in records:
        grades.setdefault(record["query-id"], {})[record["corpus-id"]] = int(record["score"])
    names = sorted({f"{number}" for number in range(1, 1401)} | {name for judged in grades.values() for name in judged})
    corpus = Corpus.from_documents(Document(name, "", "") for name in names)
    queries = dataset.queries("test")
    rng = np.random.default_rng(0)
    # Scores of few values: most places are decided by the tie rule.
    rows = np.argsort(rng.random((len(queries), len(corpus))), axis=1)[:, :400].astype(np.int32)
    return corpus, queries, grades, Run.from_matrix(rows, rng.integers(0, 40, rows.shape).astype(np.float32))


def test_cranfield_agrees_with_plain_implementations(cranfield) -> None:
    corpus, queries, grades, run = cranfield
    evaluation = evaluate(run, queries, corpus, Qrels(grades), DEFAULT_MEASURES)
    assert len(evaluation.query_ids) == 225
    for column, name in enumerate(evaluation.query_ids):
        ranked = [grades[name].get(document, 0) for document in corpus.ids(run.of(queries.ids.index(name))[0])]
        judged = list(grades[name].values())
        expected = [ndcg(ranked, judged, 10), reciprocal_rank(ranked, 10), recall(ranked, judged, 100)]
        expected.append(average_precision(ranked, judged))
        np.testing.assert_allclose(evaluation.per_query[:, column], expected, atol=1e-12)


def test_cranfield_with_negative_grades_is_as_with_0(cranfield) -> None:
    corpus, queries, grades, run = cranfield
    # The least grade as -1, as in the collection's copies that mark such documents so.
    negative = Qrels(
        {q: {d: -1 if grade == 1 else grade for d, grade in judged.items()} for q, judged in grades.items()}
    )
    zero = Qrels({q: {d: 0 if grade == 1 else grade for d, grade in judged.items()} for q, judged in grades.items()})
    names = [*DEFAULT_MEASURES, "nDCG(dcg='exp-log2')@10", "P@5", "Rprec", "SetP", "Judged@10"]
    got, wanted = (evaluate(run, queries, corpus, qrels, names) for qrels in (negative, zero))
    np.testing.assert_array_equal(got.per_query, wanted.per_query)
    assert got.means["nDCG@10"] != evaluate(run, queries, corpus, Qrels(grades), ["nDCG@10"]).means["nDCG@10"]


def test_a_published_run_has_the_values_of_trec_eval() -> None:
    dataset = FolderDataset(collection("cacm"))
    records = read_documents(collection("cacm") / "corpus.jsonl.gz")
    corpus = Corpus.from_documents(document for _, document in records)
    queries, qrels = dataset.queries("test"), dataset.qrels("test")
    run = read_run(collection("cacm") / "gold" / "bm25-anserini.trec", queries, corpus, on_error="skip")
    means = evaluate(run, queries, corpus, qrels, ["P@30", "AP", "nDCG@10"]).means
    assert {name: round(value, 4) for name, value in means.items()} == {"P@30": 0.1981, "AP": 0.2806, "nDCG@10": 0.4604}
