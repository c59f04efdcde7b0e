"""What each term of an expanded query adds, and where it came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spaniel import Contribution, Corpus, Explanation, Run

from spaniel_bm25.feedback import Expanded, TermFeedback
from spaniel_bm25.places import Places

if TYPE_CHECKING:
    from spaniel import Context

_NAMED = 3
"""Documents that a note names."""


class FeedbackTerms:
    """Exact: the score is the sum, over the terms of the expanded query, of weight times the term's own score.

    A term's weight is what the query itself gives to it and what each document of the feedback does; its children are
    these shares. RM3's are its own formula; Bo1 weighs all documents at once, and what it gives to a term is owed to
    documents in proportion to how often they hold it.
    """

    exact = True

    def __init__(self, config: None, context: Context) -> None:
        self.context = context

    def explain(self, target: TermFeedback, query: str, rows: Sequence[int], corpus: Corpus) -> Sequence[Explanation]:
        """Explain no documents; others only behind an earlier run.

        Raises:
            UsageError: there are documents, and no earlier run.
        """
        return self.explain_behind(target, query, rows, corpus, None)

    def explain_behind(
        self, target: TermFeedback, query: str, rows: Sequence[int], corpus: Corpus, run: Run | None
    ) -> Sequence[Explanation]:
        """Explain the scores of documents for a query that was expanded by an earlier run.

        Raises:
            UsageError: there is no earlier run.
        """
        if not len(rows):
            return []
        expanded = target.expansion(query, corpus, run)
        index = target.index(corpus)
        scores = index.term_scores([term.token for term in expanded], rows)
        sources = sorted({row for term in expanded for row in term.sources})
        names = dict(zip(sources, corpus.ids(sources), strict=True))
        asked = Places(index.analyzer, query)
        # A term is called what the query calls it, or else the first document that it came from.
        words: dict[str, str] = {}
        for text in reversed(corpus.contents(sources)):
            words.update(Places(index.analyzer, text).words())
        words.update(asked.words())
        parameters = {"feedback": ", ".join(names[row] for row in sources) or "no documents"}
        made = []
        for column, (name, text) in enumerate(zip(corpus.ids(rows), corpus.contents(rows), strict=True)):
            held = Places(index.analyzer, text)
            parts = tuple(
                _part(term, float(score), words.get(term.token, term.token), names, asked, held)
                for term, score in zip(expanded, scores[:, column], strict=True)
            )
            total = sum(part.score for part in parts)
            made.append(Explanation("feedback", "feedback-terms", query, name, total, parts, 0.0, parameters))
        return made


def _part(term: Expanded, score: float, label: str, names: dict[int, str], asked: Places, held: Places) -> Contribution:
    places = (*asked.spots((term.token,), "query"), *held.spots((term.token,), "document"))
    came = sorted(term.sources.items(), key=lambda pair: -pair[1])
    if not score:
        said = [*(["the query"] if term.own else []), *(names[row] for row, _ in came)]
        origin = ", ".join(said[:_NAMED]) + (" …" if len(said) > _NAMED else "")
        note = f"not in the document; weight {term.weight:.4f}, from {origin}"
        return Contribution(label, 0.0, "term", note=note, places=places)
    own = (Contribution("(the query)", term.own * score, "query", note=f"weight {term.own:.4f}"),) if term.own else ()
    sources = tuple(
        Contribution(names[row], share * score, "document", note=f"feedback, weight {share:.4f}") for row, share in came
    )
    note = f"weight {term.weight:.4f} × {score:.4f}"
    return Contribution(label, term.weight * score, "term", (*own, *sources), note, places=places)
