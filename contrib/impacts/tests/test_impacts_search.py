"""Searching postings against brute force: scores, order, ties, the cut, masks, and the bound of 8-bit impacts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spaniel import ArtifactError, Run, UsageError
from spaniel.data import SparseVectors
from spaniel.store import Artifact, Draft, Need, Recipe, Store
from spaniel_impacts import plain, pruning, sweep
from spaniel_impacts.building import Precision, invert_tokens, write_vectors
from spaniel_impacts.postings import Postings, choose
from spaniel_impacts.queries import Asked, arrange
from spaniel_impacts.rescoring import score_rows


def sparse(rows: list[dict[int, float]], width: int) -> SparseVectors:
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    terms = np.array([term for row in rows for term in row], np.int32)
    values = np.array([value for row in rows for value in row.values()], np.float32)
    return SparseVectors(indptr, terms, values, width)


def random_vectors(rng: np.random.Generator, rows: int, width: int, terms: int, steps: int = 0) -> SparseVectors:
    """Make vectors with Zipf's frequencies; with ``steps``, of few distinct weights, so that ties abound."""
    shares = 1 / np.arange(1, width + 1)
    made = []
    for _ in range(rows):
        drawn = np.unique(rng.choice(width, size=rng.integers(0, terms + 1), p=shares / shares.sum()))
        values = rng.integers(1, steps + 1, len(drawn)) / 2 if steps else rng.gamma(1.2, 0.5, len(drawn)) + 1e-3
        made.append(dict(zip(drawn.tolist(), values.tolist(), strict=True)))
    return sparse(made, width)


def stored(vectors: SparseVectors, folder: Path, precision: Precision = "float32") -> Artifact:
    recipe = Recipe("index", "test/impacts", "1", {"precision": precision})
    return Store(folder).obtain(Need(recipe, lambda draft: write_vectors(vectors, draft, precision)))


def opened(vectors: SparseVectors, folder: Path, precision: Precision = "float32") -> Postings:
    write_vectors(vectors, Draft(folder), precision)
    arrays = {path.stem: np.load(path) for path in folder.glob("*.npy")}
    return Postings(**arrays, documents=len(vectors))


def brute_force(
    asked: Asked, documents: np.ndarray, allowed: np.ndarray | None = None
) -> list[list[tuple[int, float]]]:
    """Add up in float32, in the order of the terms, what each document has; sort by score, then row."""
    lists = []
    for begin, end in zip(asked.offsets[:-1], asked.offsets[1:], strict=True):
        scores, met = np.zeros(len(documents), np.float32), np.zeros(len(documents), bool)
        for term, weight in zip(asked.terms[begin:end], asked.weights[begin:end], strict=True):
            scores += weight * documents[:, term]
            met |= documents[:, term] > 0
        rows = np.flatnonzero(met if allowed is None else met & allowed)
        lists.append(sorted(((int(row), float(scores[row])) for row in rows), key=lambda pair: (-pair[1], pair[0])))
    return lists


def dense(vectors: SparseVectors) -> np.ndarray:
    whole = np.zeros((len(vectors), vectors.width), np.float32)
    whole[np.repeat(np.arange(len(vectors)), np.diff(vectors.indptr)), vectors.indices] = vectors.values
    return whole


def lists(run: Run) -> list[list[tuple[int, float]]]:
    return [list(zip(*(array.tolist() for array in run.of(query)), strict=True)) for query in range(len(run))]


def found(postings: Postings, asked: Asked, k: int, method: str, allowed: np.ndarray | None = None) -> Run:
    return postings.search(asked.offsets, asked.terms, k, weights=asked.weights, allowed=allowed, method=method)  # type: ignore[arg-type]


weights = st.dictionaries(st.integers(0, 5), st.sampled_from([0.0, 0.5, 1.0, 1.5, 3.0]), max_size=6)


@given(
    st.lists(weights, max_size=30),
    st.lists(weights, min_size=1, max_size=4),
    st.integers(0, 40),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=80, deadline=None)
def test_few_terms_and_many_ties(
    tmp_path_factory: pytest.TempPathFactory,
    documents: list[dict[int, float]],
    queries: list[dict[int, float]],
    k: int,
    seed: int,
) -> None:
    vectors = sparse(documents, 6)
    postings = opened(vectors, tmp_path_factory.mktemp("store"))
    asked = arrange(sparse(queries, 6), postings)
    allowed = np.random.default_rng(seed).random(len(documents)) < 0.5
    for mask in (None, allowed):
        expected = [one[:k] for one in brute_force(asked, dense(vectors), mask)]
        for method in ("sweep", "maxscore"):
            assert lists(found(postings, asked, k, method, mask)) == expected, method


@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("terms", [2, 12])
@pytest.mark.parametrize("k", [1, 10, 300])
def test_several_windows(tmp_path: Path, steps: int, terms: int, k: int) -> None:
    # The sweep has windows of 65,536 documents, MaxScore smaller ones at first.
    rng = np.random.default_rng(terms)
    part = random_vectors(rng, 900, 40, terms, steps)
    vectors = part.take(np.tile(np.arange(900), 75)[rng.permutation(67_500)])
    postings = opened(vectors, tmp_path)
    asked = arrange(random_vectors(rng, 6, 40, 8, steps), postings)
    expected = [one[:k] for one in brute_force(asked, dense(vectors))]
    for method in ("sweep", "maxscore"):
        assert lists(found(postings, asked, k, method)) == expected, method
    assert len(vectors) > sweep.WINDOW


def test_terms_that_can_just_lift_a_document(tmp_path: Path) -> None:
    # The last terms together add what is missing to the least of the best, to the last bit and one bit more or less.
    big, small = np.float32(1), np.spacing(np.float32(1))
    rng = np.random.default_rng(0)
    rows = [{0: float(big + 4 * small)} for _ in range(5)]
    rows += [
        {0: float(big), 1: float(small * rng.integers(1, 4)), 2: float(small * rng.integers(1, 4)), 3: float(small)}
        for _ in range(3000)
    ]
    vectors = sparse(rows, 4)
    postings = opened(vectors, tmp_path)
    asked = arrange(sparse([{0: 1.0, 1: 1.0, 2: 1.0, 3: 1.0}, {0: 0.1, 1: 0.3, 2: 0.7, 3: 3.0}], 4), postings)
    for k in (1, 5, 50):
        expected = [one[:k] for one in brute_force(asked, dense(vectors))]
        assert lists(found(postings, asked, k, "maxscore")) == expected
        assert found(postings, asked, k, "sweep") == found(postings, asked, k, "maxscore")


def test_weights_of_every_size(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    values = 10.0 ** rng.uniform(-38, 20, (500, 6))
    vectors = sparse([dict(enumerate(row.tolist())) for row in values], 6)
    postings = opened(vectors, tmp_path)
    asked = arrange(sparse([dict(enumerate((10.0 ** rng.uniform(-6, 6, 6)).tolist())) for _ in range(20)], 6), postings)
    assert found(postings, asked, 7, "sweep") == found(postings, asked, 7, "maxscore")


@pytest.mark.parametrize("method", ["sweep", "maxscore"])
def test_8_bits_keep_within_their_bound(tmp_path: Path, method: str) -> None:
    rng = np.random.default_rng(1)
    vectors, queries = random_vectors(rng, 3000, 60, 25), random_vectors(rng, 40, 60, 10)
    postings = opened(vectors, tmp_path, "uint8")
    assert postings.data.dtype == np.uint8
    asked = arrange(queries, postings)
    run = found(postings, asked, 3000, method)
    whole, wanted = dense(vectors).astype(np.float64), dense(queries).astype(np.float64)
    exact, greatest = wanted @ whole.T, whole.max(axis=0)
    for query in range(len(queries)):
        rows, scores = run.of(query)
        if not len(rows):
            continue
        bound = float((wanted[query] * greatest).sum()) / 510
        gap = np.abs(scores - exact[query, rows])
        assert gap.max() <= bound * (1 + 1e-5), "half a step a term"
        assert gap.max() > bound / 100, "the bound is of the order of what happens"
        assert set(rows.tolist()) == set(np.flatnonzero(((whole > 0) & (wanted[query] > 0)).any(axis=1)).tolist())


def test_tokens_become_counts(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    texts = [rng.integers(0, 7, rng.integers(0, 9)).astype(np.int32) for _ in range(50)]
    batches = [
        (np.array([len(text) for text in part], np.int64), np.concatenate([np.empty(0, np.int32), *part]))
        for part in (texts[:20], texts[20:])
    ]
    indptr, indices, counts = invert_tokens(batches, 7, Draft(tmp_path))
    for term in range(7):
        part = slice(indptr[term], indptr[term + 1])
        expected = {row: int((text == term).sum()) for row, text in enumerate(texts) if (text == term).any()}
        assert dict(zip(indices[part].tolist(), counts[part].tolist(), strict=True)) == expected
        assert (np.diff(indices[part]) > 0).all()


def test_scores_of_given_rows() -> None:
    rng = np.random.default_rng(4)
    vectors, queries = random_vectors(rng, 200, 30, 9), random_vectors(rng, 5, 30, 6)
    offsets, rows = np.arange(6) * 7, rng.integers(0, 200, 35).astype(np.int32)
    made = score_rows(queries, vectors, offsets, rows)
    exact = dense(queries).astype(np.float64) @ dense(vectors).astype(np.float64).T
    assert np.allclose(made, exact[np.repeat(np.arange(5), 7), rows], rtol=1e-6)


def test_masks_shorter_and_longer_than_the_index(tmp_path: Path) -> None:
    postings = opened(sparse([{0: 1.0}] * 6, 1), tmp_path)
    asked = arrange(sparse([{0: 1.0}], 1), postings)
    assert found(postings, asked, 9, "sweep", np.array([False, True, True])).rows.tolist() == [1, 2]
    assert found(postings, asked, 9, "maxscore", np.ones(20, bool)).rows.tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(UsageError, match="flat array of booleans"):
        found(postings, asked, 9, "sweep", np.ones(6, np.int8))


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([{0: 1.0}, {1: -0.5}], "row 1 has a weight that is negative"),
        ([{0: float("nan")}], "row 0 has a weight that is negative or not finite"),
        ([{0: float("inf")}], "not finite"),
        ([{7: 1.0}], "beyond the vocabulary"),
    ],
)
def test_what_is_no_impact(tmp_path: Path, rows: list[dict[int, float]], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        stored(sparse(rows, 3), tmp_path)


def test_a_term_twice_in_a_row(tmp_path: Path) -> None:
    twice = SparseVectors(np.array([0, 2]), np.array([1, 1], np.int32), np.ones(2, np.float32), 3)
    with pytest.raises(UsageError, match="row 0 has a term twice"):
        stored(twice, tmp_path)


def test_queries_that_do_not_fit(tmp_path: Path) -> None:
    postings = opened(sparse([{0: 1.0}], 3), tmp_path)
    with pytest.raises(UsageError, match="over 4 terms, and an index of 3"):
        arrange(sparse([{0: 1.0}], 4), postings)
    with pytest.raises(UsageError, match="negative"):
        arrange(sparse([{0: -1.0}], 3), postings)


def test_what_was_stored_is_opened_mapped(tmp_path: Path) -> None:
    for precision in ("float32", "uint8"):
        artifact = stored(sparse([{0: 1.0, 2: 0.5}, {2: 2.0}], 3), tmp_path, precision)
        postings = Postings.open(artifact, 2)
        assert isinstance(postings.data, np.memmap)
        assert [postings.impact(2, row) for row in range(2)] == pytest.approx([0.5, 2.0], abs=0.004)
        assert postings.impact(1, 0) == 0


def test_damage_is_named(tmp_path: Path) -> None:
    artifact = stored(sparse([{0: 1.0, 2: 0.5}], 3), tmp_path)
    np.save(artifact.path / "indices.npy", np.zeros(5, np.int32))
    with pytest.raises(ArtifactError, match="build it again"):
        Postings.open(artifact, 1)


@pytest.mark.parametrize("precision", ["float32", "uint8"])
@pytest.mark.parametrize("k", [1, 7, 100])
def test_maxscore_with_frequent_and_rare_terms(tmp_path: Path, precision: Precision, k: int) -> None:
    # Enough documents for several windows, terms with bounds of blocks and without, and masks.
    rng = np.random.default_rng(k)
    rows, width = 140_000, 400
    shares = 1 / np.arange(1, width + 1)
    terms = np.searchsorted(np.cumsum(shares / shares.sum()), rng.random((rows, 5))).clip(0, width - 1)
    kept = np.sort(terms, axis=1)
    kept = np.where(np.diff(kept, axis=1, prepend=-1) == 0, -1, kept)
    counts, flat = (kept >= 0).sum(axis=1), kept[kept >= 0].astype(np.int32)
    values = rng.gamma(1.2, 0.5, len(flat)).astype(np.float32) + np.float32(0.01)
    vectors = SparseVectors(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), flat, values, width)
    postings = opened(vectors, tmp_path, precision)
    queries = [dict.fromkeys(rng.choice(width, size, replace=False).tolist(), 0.7) for size in (1, 2, 3, 5, 9)]
    queries += [{0: 1.0, 1: 1.0, 2: 0.5}, {0: 0.3, 399: 1.0}, {5: 1.0, 40: 1.0, 390: 2.0}]
    asked = arrange(sparse(queries, width), postings)
    allowed = rng.random(rows) < 0.1
    for mask in (None, allowed):
        assert found(postings, asked, k, "sweep", mask) == found(postings, asked, k, "maxscore", mask)
    assert (postings.limits.place >= 0).any()
    assert (postings.limits.place < 0).any()


def test_numpy_finds_what_the_compiled_sweep_does(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    vectors, queries = random_vectors(rng, 900, 40, 9, 3), random_vectors(rng, 20, 40, 6, 3)
    allowed = rng.random(900) < 0.3
    for precision in ("float32", "uint8"):
        postings = opened(vectors, tmp_path / precision, precision)
        asked = arrange(queries, postings)
        weights = asked.weights if postings.steps is None else asked.weights * postings.steps[asked.terms]
        for k in (1, 10, 900):
            for mask, constant in ((None, 0.0), (allowed, 0.0), (None, 0.7)):
                keys = np.full((20, k), -1, np.int64)
                constants = np.full(20, constant, np.float32)
                parts = (asked.offsets, asked.terms, weights, constants, mask, 900)
                plain.sweep_plainly(postings.indptr, postings.indices, postings.data, *parts, keys)
                run = postings.search(
                    asked.offsets, asked.terms, k, weights=asked.weights, constants=constants, allowed=mask
                )
                assert Run.from_matrix(*plain.unpack(keys)) == run


def test_little_work_loads_nothing_that_is_compiled(tmp_path: Path) -> None:
    opened(sparse([{0: 1.0}] * 9, 1), tmp_path)
    program = f"""
import sys, numpy as np
from spaniel import Context
from spaniel_impacts import plain
from spaniel_impacts.postings import Postings
arrays = {{name: np.load(r"{tmp_path}/" + name + ".npy") for name in ("indptr", "indices", "data")}}
postings = Postings(**arrays, documents=9)
asked = np.array([0, 1]), np.zeros(1, np.int32)
postings.load(Context(r"{tmp_path}/store"), 1)
few = postings.search(*asked, 3)
assert few.rows.tolist() == [0, 1, 2]
assert "numba" not in sys.modules
plain.LITTLE = 0
postings.load(Context(r"{tmp_path}/store"), 1)
assert "spaniel_impacts.sweep" in sys.modules
assert postings.search(*asked, 3) == few
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)


def test_bounds_are_those_of_the_postings(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    vectors = random_vectors(rng, 700, 30, 9)
    for precision in ("float32", "uint8"):
        postings = opened(vectors, tmp_path / precision, precision)
        limits, terms = postings.limits, np.arange(30, dtype=np.int32)
        kth = limits.prepare(terms, 5)
        for term in range(30):
            part = slice(postings.indptr[term], postings.indptr[term + 1])
            rows, impacts = postings.indices[part], postings.data[part].astype(np.float32)
            assert limits.greatest[term] == (impacts.max() if len(impacts) else 0)
            if len(impacts) < 5:
                assert kth[term] == 0
            else:
                assert np.sort(impacts)[-5] * 0.98 <= kth[term] <= np.sort(impacts)[-5]
            line = limits.place[term]
            assert (line >= 0) == (len(rows) * 16 >= 700)
            for block in range(limits.maxima.shape[1] if line >= 0 else 0):
                inside = rows >> 6 == block
                assert limits.maxima[line, block] == (impacts[inside].max() if inside.any() else 0)
                assert limits.starts[line, block] == np.searchsorted(rows, block << 6)


def test_maxscore_is_chosen_by_documents_and_postings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    postings = opened(sparse([{0: 1.0}] * 9 + [{1: 1.0}], 2), tmp_path)
    frequent, rare = np.array([0], np.int32), np.array([1], np.int32)
    assert choose(postings, frequent, 1, 1) == "sweep"
    monkeypatch.setattr("spaniel_impacts.postings.EACH", 10)
    assert choose(postings, frequent, 1, 1) == "maxscore"
    assert choose(postings, frequent, 1, 2) == "sweep"
    assert choose(postings, rare, 1, 1) == "sweep"
    assert choose(postings, np.repeat(frequent, 9), 1, 1) == "sweep"


def test_windows_and_blocks_fit() -> None:
    assert pruning.FIRST % 64 == 0
    assert sweep.WINDOW % sweep.BLOCK == 0
    assert pruning.FIRST <= pruning.WINDOW
