"""What a rewriter promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from spaniel import Corpus, Queries, Run
    from spaniel.data import Variants


@runtime_checkable
class Rewriter(Protocol):
    """Queries → queries.

    It may have ``needs(corpus)``, as retrievers do, where it reads artifacts.
    """

    def rewrite(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Queries | Variants:
        """Return queries under the same ids, for every stage behind; or texts that the next stage alone is asked.

        What becomes of a query depends neither on the others nor on their number.

        Args:
            queries: what to rewrite.
            corpus: what will be searched.
            run: the lists so far, for one that says ``follows="must"`` or ``"may"``.
        """
        ...
