"""What encoders promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spaniel.data import DenseVectors, MultiVectors, SparseVectors, Vectors, open_vectors, save_vectors
from spaniel.testing.case import Case, expect, expect_close
from spaniel.testing.collections import VARIANTS, collection

_ROLES = ("query", "document")
_FORMS = ("dense", "sparse", "multi-vector", "binary")


def _encode(case: Case, texts: Sequence[str], role: str, batch_size: int | None = None) -> Mapping[str, Vectors]:
    component = case.make(case.context(batch_size=batch_size))
    encoded = component.encode(texts, role)
    gives = case.registered.component.gives
    expect(bool(gives), "the component does not declare what it gives")
    expect(set(encoded) == set(gives), f"encode returned {sorted(encoded)}; declared are {sorted(gives)}")
    for name, vectors in encoded.items():
        expect(isinstance(vectors, Vectors), f"{name} is {type(vectors).__name__}, none of the vector types")
        expect(name not in _FORMS or vectors.form == name, f"{name} has the form {vectors.form}")
        expect(len(vectors) == len(texts), f"{name} has {len(vectors)} rows for {len(texts)} texts")
        expect(_is_finite(vectors), f"{name} holds values that are not finite")
    result: Mapping[str, Vectors] = encoded
    return result


def _is_finite(vectors: Any) -> bool:
    return bool(np.isfinite(np.asarray(vectors.values, np.float64)).all())


def _texts(case: Case) -> list[str]:
    return [*(document.contents for document in case.plain.documents[:10]), *case.plain.queries.texts]


def _unpacked(vectors: Vectors, row: int) -> np.ndarray[Any, Any]:
    """Return the numbers of one row: of sparse vectors as wide as the vocabulary."""
    one = vectors.take([row])
    if isinstance(one, SparseVectors):
        wide = np.zeros(one.width, np.float64)
        wide[one.indices] = one.values
        return wide
    return np.asarray(one.values, np.float64)


def _expect_same(first: Mapping[str, Vectors], second: Mapping[str, Vectors], tolerance: float, what: str) -> None:
    for name, vectors in first.items():
        for row in range(len(vectors)):
            expect_close(_unpacked(vectors, row), _unpacked(second[name], row), tolerance, f"{what}: {name}, row {row}")


def gives_what_it_declares(case: Case) -> None:
    """Every declared representation, one row a text, in both roles, whatever the texts are like."""
    for variant in VARIANTS:
        made = collection(variant)
        _encode(case, [document.contents for document in made.documents], "document")
        _encode(case, made.queries.texts, "query")


def takes_no_texts(case: Case) -> None:
    """No texts give representations without rows, as wide as others."""
    for role in _ROLES:
        nothing, something = _encode(case, [], role), _encode(case, ["dog"], role)
        for name, vectors in nothing.items():
            for field in ("width", "bits"):
                same = getattr(vectors, field, None) == getattr(something[name], field, None)
                expect(same, f"{name}: no texts give another {field}")
            if isinstance(vectors, DenseVectors | MultiVectors):
                widths = [v.values.shape[1] for v in (vectors, something[name]) if not isinstance(v, SparseVectors)]
                expect(widths[0] == widths[1], f"{name}: no texts give {widths[0]} dimensions, not {widths[1]}")


def is_deterministic(case: Case) -> None:
    """Two sessions with one seed give the same vectors to the last bit."""
    for role in _ROLES:
        _expect_same(_encode(case, _texts(case), role), _encode(case, _texts(case), role), 0.0, "two sessions")


def keeps_texts_apart(case: Case) -> None:
    """The vectors of a text depend neither on the other texts, nor on their order, nor on the batch size."""
    texts = _texts(case)
    for role in _ROLES:
        together = _encode(case, texts, role)
        for size in (1, 5):
            _expect_same(together, _encode(case, texts, role, size), case.tolerance, f"batches of {size}")
        for row in range(0, len(texts), 5):
            one = {name: vectors.take([row]) for name, vectors in together.items()}
            _expect_same(one, _encode(case, [texts[row]], role), case.tolerance, f"text {row} with others and alone")
        backwards = _encode(case, texts[::-1], role)
        turned = {name: vectors.take(range(len(texts))[::-1]) for name, vectors in backwards.items()}
        _expect_same(together, turned, case.tolerance, "texts in another order")


def survives_saving(case: Case) -> None:
    """Vectors that were saved and opened are the same."""
    for name, vectors in _encode(case, _texts(case), "document").items():
        save_vectors(vectors, case.folder / name)
        _expect_same({name: vectors}, {name: open_vectors(case.folder / name)}, 0.0, "saved and opened")


def takes_metadata(case: Case) -> None:
    """Metadata, one mapping a text, are accepted."""
    component = case.make(case.context())
    for role in _ROLES:
        encoded = component.encode(["dog", "cat"], role, [{"domain": "animals"}, {}])
        expect(set(encoded) == set(case.registered.component.gives), "metadata change what is given")


def has_fingerprints(case: Case) -> None:
    """The fingerprint is a mapping from text to text, and the same in every session."""
    for role in _ROLES:
        first, second = (dict(case.make(case.context()).fingerprint(role)) for _ in range(2))
        expect(first == second, f"two sessions have other fingerprints: {first} and {second}")
        texts = all(isinstance(key, str) and isinstance(value, str) for key, value in first.items())
        expect(texts, f"the fingerprint {first} is no mapping from text to text")


PROMISES = {
    "gives what it declares": gives_what_it_declares,
    "takes no texts": takes_no_texts,
    "is deterministic": is_deterministic,
    "keeps texts apart": keeps_texts_apart,
    "survives saving": survives_saving,
    "takes metadata": takes_metadata,
    "has fingerprints": has_fingerprints,
}
