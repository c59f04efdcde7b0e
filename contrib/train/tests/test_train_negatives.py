"""The rules of scores hold whatever the sign of the scores, and what is no negative is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spaniel import Context, Document, Qrels, Queries
from spaniel.data import Corpus
from spaniel_train.config import NegativesConfig
from spaniel_train.material import Material
from spaniel_train.synthesizers.negatives import Negatives

POSITIVE = "the positive"


class Known:
    """Scores texts by what is written in them, and the positive by what is set."""

    def __init__(self, positive: float) -> None:
        self.positive = positive

    def score(self, queries: Any, texts: list[str]) -> np.ndarray:
        return np.array([self.positive if text == POSITIVE else float(text.split()[-1]) for text in texts], np.float32)


def mined(tmp_path: Path, positive: float, scores: list[float], rule: str, own: bool = False) -> list[float]:
    documents = [Document("right", "", POSITIVE), *(Document(f"d{at}", "", f"word {s}") for at, s in enumerate(scores))]
    corpus = Corpus.from_documents(documents)
    context = Context(tmp_path / "store", device="cpu")
    config = NegativesConfig.model_validate({"count": 100, "scorer": "tiny", "keep_empty": True, **as_option(rule)})
    made = Negatives(config, context)
    made.__dict__["scorer"] = Known(positive)
    from spaniel import Run

    run = Run.from_lists([[(row, -float(row)) for row in range(len(documents))]])
    context.run = lambda *arguments, **options: run  # type: ignore[method-assign]
    name = "d0" if own else "q"
    material = Material(
        "m", "digest", corpus, Queries.from_lists([name], ["word"]), Qrels({name: {"right": 1}}), own_left_out=own
    )
    (row,) = made.make(material, 0, 1).rows
    return sorted(float(text.split()[-1]) for text in row.negatives)


def as_option(rule: str) -> dict[str, float]:
    name, value = rule.split("=")
    return {name: float(value)}


@pytest.mark.parametrize(
    ("positive", "scores", "rule", "kept"),
    [
        (2.0, [1.95, 1.85, 2.05, -3], "percent_of_positive=95", [-3, 1.85]),
        (-2.0, [-1.95, -2.05, -2.15, 0.5], "percent_of_positive=95", [-2.15]),
        (0.0, [0.0, -0.01, 0.01], "percent_of_positive=95", [-0.01]),
        (-2.0, [-1.95, -2.05], "percent_of_positive=100", [-2.05]),
        (-2.0, [-1.95, -1.85, -2.5], "percent_of_positive=105", [-2.5, -1.95]),
        (-2.0, [-1.95, -2.05, -2.15], "margin=0.1", [-2.15]),
        (-2.0, [-1.95, -2.05], "margin=0", [-2.05]),
        (-2.0, [-3.5, -2.5], "highest=-3", [-3.5]),
        (2.0, [float("nan"), 1.0], "percent_of_positive=95", [1.0]),
        (float("nan"), [1.0, -5.0], "margin=0.1", []),
    ],
)
def test_rules_hold_for_scores_of_every_sign(
    tmp_path: Path, positive: float, scores: list, rule: str, kept: list
) -> None:
    assert mined(tmp_path, positive, scores, rule) == kept


def test_a_querys_own_document_is_no_negative(tmp_path: Path) -> None:
    assert mined(tmp_path, 2.0, [0.5, 1.0], "margin=0.1") == [0.5, 1.0]
    assert mined(tmp_path, 2.0, [0.5, 1.0], "margin=0.1", own=True) == [1.0]
