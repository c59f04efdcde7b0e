"""What the views add to a score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import Contribution, Corpus, Explanation, UsageError
from spaniel.data import Run

from spaniel_mvp.reranker import Mvp

if TYPE_CHECKING:
    from spaniel import Context

    from spaniel_mvp.scoring import Views


class MvpViews:
    """The score of a passage, by views: for the mean, each view's share of it; else the views that decide it.

    Its parameters say how far the views order the list alike (Kendall's tau of each pair of views), and the cosines of
    their anchors. The note of each part has the passage's rank in that view and the share of the anchor's attention that
    the passage gets, the mean over layers and heads, beside the share that it would get if all got the same.
    """

    def __init__(self, config: None, context: Context) -> None:
        self.context = context

    def explain(self, target: Any, query: str, rows: Sequence[int], corpus: Corpus) -> Sequence[Explanation]:
        """Explain scores in the list that was reranked for the query last, where it holds the rows; else the rows are it.

        Raises:
            UsageError: the target is no ``mvp``.
        """
        listed = list(_checked(target).listed.get(query, ()))
        return self._explain(target, query, rows, corpus, listed if set(rows) <= set(listed) else list(rows))

    def explain_behind(
        self, target: Any, query: str, rows: Sequence[int], corpus: Corpus, run: Run | None
    ) -> Sequence[Explanation]:
        """Explain scores in the list of an earlier run."""
        if run is None:
            return self.explain(target, query, rows, corpus)
        return self._explain(target, query, rows, corpus, run.cut(_checked(target).config.k).of(0)[0].tolist())

    def _explain(
        self, target: Any, query: str, rows: Sequence[int], corpus: Corpus, listed: Sequence[int]
    ) -> Sequence[Explanation]:
        if not len(rows):
            return []
        missing = [row for row in rows if row not in set(listed)]
        if missing:
            raise UsageError(f"the document {corpus.ids(missing[:1])[0]} is not in the list that mvp ranks")
        from spaniel_mvp.settings import with_aggregate

        texts = target.texts(corpus, listed)
        (views,) = target.views([query], texts, [len(listed)], attention=True)
        (scores,) = target.score_lists([query], texts, [len(listed)])
        how = with_aggregate(target.loaded.model.settings, target.config.aggregate)
        parameters = {"aggregate": how, "passages": len(listed), **_agreement(views)}
        made = []
        for row, name in zip(rows, corpus.ids(rows), strict=True):
            at = list(listed).index(row)
            score = float(scores[at])
            parts = _parts(views, at, how)
            rest = score - sum(part.score for part in parts)
            if abs(rest) <= 1e-5 * max(1.0, abs(score)):
                score, rest = score - rest, 0.0  # the order of summing in float32 is no remainder
            made.append(Explanation("mvp", "mvp-views", query, name, score, parts, rest, parameters))
        return made


def _checked(target: Any) -> Mvp:
    if not isinstance(target, Mvp):
        raise UsageError(f"mvp-views explains mvp, not {type(target).__name__}")
    return target


def _parts(views: Views, at: int, how: str | int) -> tuple[Contribution, ...]:
    """Return each view's share; a smooth maximum is the mean under the softmax of the views, and that one's entropy."""
    count, passages = views.scores.shape
    own = views.scores[:, at].astype(np.float64)
    weights = np.full(count, 1 / count) if how == "mean" else np.zeros(count)
    if how == "logsumexp":
        weights = np.exp(own - own.max())
        weights /= weights.sum()
    elif how != "mean":
        weights[how if isinstance(how, int) else int(own.argmax())] = 1.0
    ranks = 1 + (views.scores > views.scores[:, at : at + 1]).sum(axis=1)
    assert views.attention is not None  # it was asked for
    parts = [
        Contribution(
            f"view {view}",
            float(weights[view] * own[view]),
            "view",
            note=f"score {own[view]:.4f}, rank {ranks[view]} of {passages}, attention {views.attention[view, at]:.4f} "
            f"({1 / passages:.4f} each if even)",
        )
        for view in range(count)
        if weights[view]
    ]
    if how == "logsumexp":
        held = weights[weights > 0]
        spread = -float((held * np.log(held)).sum()) - float(np.log(count))
        parts.append(Contribution("(entropy of the views)", spread, "baseline", note="0 where all views agree"))
    return tuple(parts)


def _agreement(views: Views) -> dict[str, Any]:
    return {
        "kendall_tau": [[round(value, 4) for value in row] for row in kendall(views.scores).tolist()],
        "anchor_cosines": [[round(value, 4) for value in row] for row in cosines(views.anchors).tolist()],
    }


def kendall(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return Kendall's tau-b of each pair of views over the passages, ``(views, views)``; 0 where a view has only ties.

    Source: Kendall, The treatment of ties in ranking problems, 1945.
    """
    signs = np.sign(scores[:, :, None].astype(np.float64) - scores[:, None, :]).reshape(len(scores), -1)
    norms = np.sqrt((signs**2).sum(axis=1))
    products = norms[:, None] * norms
    made: NDArray[np.float64] = np.where(products > 0, signs @ signs.T / np.where(products > 0, products, 1.0), 0.0)
    return made


def cosines(anchors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the cosines of anchors, ``(views, views)``."""
    rows = anchors.astype(np.float64)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    made: NDArray[np.float64] = rows @ rows.T
    return made
