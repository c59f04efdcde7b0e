"""Search by the heaviest terms of a query, then by all of them."""

from __future__ import annotations

from typing import cast

import numpy as np
from spaniel import Corpus, Queries, Run
from spaniel.data import SparseVectors
from spaniel.encoding import encode_queries, open_named
from spaniel.indexing import allowed_rows
from spaniel_sparse.retriever import SparseRetriever

from spaniel_inference_free_sparse.config import TwoPhaseConfig
from spaniel_inference_free_sparse.queries import prune


class TwoPhaseRetriever(SparseRetriever):
    """The first phase reads the postings of heavy terms alone; a window of its documents gets the scores of all terms.

    It pays where query weights are uneven, as IDF's are: frequent words are light and have the longest postings. Documents
    that share light terms alone with a query are not found. Where the first phase would drop no term of a query, or with
    ``ratio=0``, the result is that of one phase.
    """

    config: TwoPhaseConfig

    def retrieve(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Run:
        """Return the best ``k`` documents of each query's window, with their whole scores."""
        from spaniel_impacts.rescoring import score_rows

        c = self.config
        asked = cast(SparseVectors, encode_queries(self.context, c.encoder, queries)["sparse"])
        heavy = prune(asked, c.ratio) if c.ratio else asked
        if len(heavy.values) == len(asked.values):
            return super().retrieve(queries, corpus, run)
        documents = cast(
            SparseVectors, open_named(self.context, self.context.obtain(self.vectors(corpus.need)), "sparse")
        )
        window = max(c.k, min(c.window, int(np.ceil(c.expansion * c.k))))
        allowed = allowed_rows(self.context, corpus, c.filter)
        found = self.index(corpus).search(heavy, window, **({} if allowed is None else {"allowed": allowed}))
        scores = score_rows(asked, documents, found.offsets, found.rows)
        self.context.advance(len(queries))
        return Run.build(found.offsets, found.rows, scores).cut(c.k)
