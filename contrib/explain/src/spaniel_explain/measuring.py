"""Explainers held against the score that they explain."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from spaniel import Corpus, Document, Explanation, Run, Stage, UsageError
from spaniel.evaluation.statistics import bootstrap_intervals
from spaniel.explain import can_explain, explain_target
from spaniel.explanation.shading import placed

from spaniel_explain import faithfulness as measures
from spaniel_explain.faithfulness import Floats, Worth
from spaniel_explain.scoring import TextScorer, scorer_of
from spaniel_explain.texts import Unit, keep, words

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from spaniel import Context
    from spaniel.pipeline import Bound

MEASURES = ("deletion", "insertion", "average drop", "increase", "sensitivity", "ms", "model calls")
RANDOM = "(random order)"
"""A row for words in random order, which every explainer should beat."""


class Plan(NamedTuple):
    """What is measured.

    Attributes:
        side: the text whose words count.
        steps: points of the curves of deletion and insertion, beside the first.
        share: of the words that are kept for average drop and increase.
        noise: texts with a word less that sensitivity looks at.
        top: words that two explainers may have in common.
    """

    side: str = "query"
    steps: int = 10
    share: float = 0.5
    noise: int = 3
    top: int = 3


@dataclass
class Report:
    """What was measured: for each explainer a value a pair and measure, and for each two how they agree.

    Attributes:
        names: the explainers, and :data:`RANDOM`.
        pairs: pairs of query and document that were measured.
        left_out: pairs that say nothing: a text of one word, or words that do not raise the score.
        values: measure → ``(names, pairs)``, NaN where a measure has no value.
        agreement: two names → ``(2, pairs)``, rank correlation and overlap.
    """

    names: tuple[str, ...]
    pairs: int = 0
    left_out: int = 0
    values: dict[str, Floats] = field(default_factory=dict)
    agreement: dict[tuple[str, str], Floats] = field(default_factory=dict)

    def summary(self, measure: str, row: int, seed: int = 0) -> tuple[float, float, float] | None:
        """Return mean and 95 % bootstrap interval over pairs; ``None`` where there is no value."""
        return _interval(self.values[measure][row], seed)

    def to_json(self, seed: int = 0) -> dict[str, Any]:
        """Return plain data."""
        return {
            "pairs": self.pairs,
            "left_out": self.left_out,
            "explainers": [
                {"explainer": name, **{m: _as_json(self.summary(m, row, seed)) for m in MEASURES}}
                for row, name in enumerate(self.names)
            ],
            "agreement": [
                {
                    "explainers": list(both),
                    "rank correlation": _as_json(_interval(found[0], seed)),
                    "overlap": _as_json(_interval(found[1], seed)),
                }
                for both, found in self.agreement.items()
            ],
        }


def _interval(values: Floats, seed: int) -> tuple[float, float, float] | None:
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    low, high = bootstrap_intervals(known[None, :], seed)[0].tolist()
    return float(known.mean()), low, high


def _as_json(found: tuple[float, float, float] | None) -> dict[str, float] | None:
    return None if found is None else dict(zip(("mean", "low", "high"), found, strict=True))


class Subject(NamedTuple):
    """A pair that is explained: a query and a row of a corpus, and the query's list before the stage, if any."""

    query: str
    row: int
    corpus: Corpus
    run: Run | None = None

    @property
    def document(self) -> Document:
        """The document."""
        return self.corpus.documents([self.row])[0]

    def text(self, side: str) -> str:
        """Return one of the texts."""
        return self.query if side == "query" else self.document.contents

    def altered(self, side: str, text: str) -> Subject:
        """Return the pair with another text on one side; the list before the stage stays as it is."""
        if side == "query":
            return self._replace(query=text)
        changed = self.document._replace(title="", text=text)
        if self.run is None:
            return Subject(self.query, 0, Corpus.from_documents([changed]))
        listed = np.unique([*self.run.rows.tolist(), self.row])
        documents = [changed if d.id == changed.id else d for d in self.corpus.documents(listed)]
        corpus = Corpus.from_documents(documents)
        rows = corpus.rows([document.id for document in documents])
        run = Run.build(self.run.offsets, rows[np.searchsorted(listed, self.run.rows)], self.run.scores)
        return Subject(self.query, int(rows[np.searchsorted(listed, self.row)]), corpus, run)


Explain = Callable[[Subject], Explanation]


class Prepared(NamedTuple):
    """What gives scores to altered texts of a pair, and the explainers by their expressions."""

    scorer: Callable[[Subject], TextScorer]
    explainers: Mapping[str, Explain]


def prepare(context: Context, target: Bound, explainers: Sequence[str], side: str) -> Prepared:
    """Make explainers of a stage; one that has a side, and is given none, explains this one. Nothing is measured yet.

    Raises:
        UsageError: an explainer does not take the stage or is of the other side, or the stage cannot score altered texts.
    """
    thing = context.make(target)
    scorer = scorer_of(context, thing)
    if scorer is None or side not in scorer.sides:
        raise UsageError(
            f"`{target.expression}` gives no score to altered texts on the {side}'s side, by which explanations "
            "could be measured"
        )

    def score_of(subject: Subject) -> TextScorer:
        return cast("TextScorer", scorer_of(context, thing, subject.run))

    return Prepared(score_of, {name: _explainer(context, name, target, side) for name in explainers})


def measure(context: Context, prepared: Prepared, subjects: Sequence[Subject], plan: Plan) -> Report:
    """Measure explainers of a stage on pairs.

    Raises:
        UsageError: an explainer says nothing of this side's words.
    """
    explainers = list(prepared.explainers)
    report = Report((*explainers, RANDOM))
    columns: list[Floats] = []
    agreements: list[Floats] = []
    for subject in subjects:
        found = _measure_pair(context, prepared, subject, plan)
        context.advance(1)
        if found is None:
            report.left_out += 1
            continue
        columns.append(found[0])
        agreements.append(found[1])
    report.pairs = len(columns)
    stacked = np.stack(columns) if columns else np.empty((0, len(report.names), len(MEASURES)))
    report.values = {name: stacked[:, :, at].T for at, name in enumerate(MEASURES)}
    for at, both in enumerate(combinations(explainers, 2)):
        report.agreement[both] = np.stack([a[at] for a in agreements], axis=1) if agreements else np.empty((2, 0))
    return report


def _explainer(context: Context, name: str, target: Bound, side: str) -> Explain:
    bound = _on_side(context, context.bind("explain", name), side)
    component, thing = context.make(bound), context.make(target)
    accepts = getattr(component, "accepts", None)
    named = f"{target.kind}/{target.registered.name}" in bound.registered.component.takes
    if not named and not (can_explain(context, bound.registered, target) or (accepts and accepts(thing))):
        raise UsageError(f"`{name}` does not explain `{target.expression}`")

    def explain(subject: Subject) -> Explanation:
        return explain_target(component, thing, subject.query, [subject.row], subject.corpus, subject.run)[0]

    return explain


def _on_side(context: Context, bound: Bound, side: str) -> Bound:
    """Return an explainer whose side, where it has one, is this one."""
    own, given = getattr(bound.config, "side", side), bound.expression
    if own == side:
        return bound
    if "side" in given.options:
        raise UsageError(
            f"`{given}` explains the {own}, and the words of the {side} are measured: leave its side out, or give "
            f"--side {own}"
        )
    return context.bind("explain", Stage(given.name, *given.inputs, **{**given.options, "side": side}))


def _measure_pair(context: Context, prepared: Prepared, subject: Subject, plan: Plan) -> tuple[Floats, Floats] | None:
    """Return ``(explainers and random, measures)`` and ``(two explainers, 2)``."""
    text = subject.text(plan.side)
    units = words(text)
    if len(units) < 2:
        return None
    worth = _worth(prepared.scorer(subject), subject, text, units, plan.side)
    ends = measures.spread(worth, len(units))
    if ends is None:
        return None
    rng = context.rng("faithfulness", subject.query, subject.document.id)
    taken = rng.permutation(len(units))[: plan.noise].tolist()
    rows, importances = [], []
    for explain in prepared.explainers.values():
        started = time.perf_counter()
        with context.stage("explain") as stage:
            importance = importances_of(explain(subject), units, plan.side)
        cost = [1000 * (time.perf_counter() - started - stage.loading), float(stage.cost.get("model calls", 0))]
        changed = list(_changed(explain, subject, text, units, taken, plan.side))
        rows.append([*_curves(worth, importance, ends, plan), measures.sensitivity(importance, changed), *cost])
        importances.append(importance)
    nothing = float("nan")
    rows.append([*_curves(worth, rng.random(len(units)), ends, plan), nothing, nothing, nothing])
    agreement = [
        [measures.correlation(one, other), measures.overlap(one, other, plan.top)]
        for one, other in combinations(importances, 2)
    ]
    return np.array(rows), np.array(agreement).reshape(-1, 2)


def _curves(worth: Worth, importance: Floats, ends: tuple[float, float], plan: Plan) -> list[float]:
    return [
        measures.deletion(worth, importance, plan.steps, ends),
        measures.insertion(worth, importance, plan.steps, ends),
        *measures.drop(worth, importance, plan.share, ends),
    ]


def _changed(
    explain: Explain, subject: Subject, text: str, units: Sequence[Unit], taken: Sequence[int], side: str
) -> Iterator[tuple[int, Floats]]:
    for word in taken:
        mask = np.ones((1, len(units)), bool)
        mask[0, word] = False
        (shorter,) = keep(text, units, mask)
        left = words(shorter)
        # Words that grow together when one between them goes are other words.
        if len(left) == len(units) - 1:
            yield word, importances_of(explain(subject.altered(side, shorter)), left, side)


def _worth(scorer: TextScorer, subject: Subject, text: str, units: Sequence[Unit], side: str) -> Worth:
    def worth(masks: NDArray[np.bool_]) -> Floats:
        texts = keep(text, units, masks)
        if side == "query":
            return scorer.vary_query(texts, [subject.row], subject.corpus)[:, 0]
        return scorer.vary_document(subject.query, subject.document, texts, subject.corpus)

    return worth


def importances_of(explanation: Explanation, units: Sequence[Unit], side: str) -> Floats:
    """Return what an explanation says of each word: ``(words,)``; what stands on several is shared by their letters.

    Raises:
        UsageError: it says nothing of this side's words.
    """
    marks = list(placed(explanation.contributions, side))
    if not marks:
        raise UsageError(
            f"`{explanation.explainer}` points at no words of the {side}: choose another --side, or another explainer"
        )
    starts, ends = (np.array([getattr(unit, name) for unit in units]) for name in ("start", "end"))
    total = np.zeros(len(units))
    for mark in marks:
        common = np.clip(np.minimum(ends, mark.end) - np.maximum(starts, mark.start), 0, None)
        if common.sum():
            total += mark.score * common / common.sum()
    return total
