"""Search by the heaviest terms of a query, then by all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from spaniel import Corpus, PluginError, Queries, Run
from spaniel.data import SparseVectors
from spaniel.encoding import encode_queries, open_named, vectors_need
from spaniel.indexing import allowed_rows, check_filter, index_need, open_index
from spaniel.store import Need

from spaniel_inference_free_sparse.config import TwoPhaseConfig
from spaniel_inference_free_sparse.queries import prune

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel.protocols import Index


class TwoPhaseRetriever:
    """The first phase reads the postings of heavy terms alone; a window of its documents gets the scores of all terms.

    It pays where query weights are uneven, as IDF's are: frequent words are light and have the longest postings. Documents
    that share light terms alone with a query are not found. Where the first phase would drop no term of a query, or with
    ``ratio=0``, the result is that of one phase.
    """

    def __init__(self, config: TwoPhaseConfig, context: Context) -> None:
        self.config = config
        self.context = context

    def needs(self, corpus: Need) -> Sequence[Need]:
        """The index, which needs the vectors."""
        check_filter(self.context, self.config.index, self.config.filter)
        return [index_need(self.context, self.config.index, self.vectors(corpus), "sparse")]

    def vectors(self, corpus: Need) -> Need:
        """Name the vectors of a corpus."""
        return vectors_need(self.context, self.config.encoder, corpus)

    def index(self, corpus: Corpus) -> Index:
        """Return the opened index of a corpus."""
        return open_index(self.context, self.config.index, self.vectors(corpus.need), "sparse")

    def retrieve(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Run:
        """Return the best ``k`` documents of each query's window, with their whole scores."""
        from spaniel_impacts.rescoring import score_rows

        c = self.config
        asked = encode_queries(self.context, c.encoder, queries)["sparse"]
        documents = open_named(self.context, self.context.obtain(self.vectors(corpus.need)), "sparse")
        if not (isinstance(asked, SparseVectors) and isinstance(documents, SparseVectors)):
            raise PluginError(
                "spaniel-inference-free-sparse", f"`{c.encoder}` gives {documents.form} vectors under the name sparse"
            )
        allowed = allowed_rows(self.context, corpus, c.filter)
        heavy = prune(asked, c.ratio) if c.ratio else asked
        window = max(c.k, min(c.window, int(np.ceil(c.expansion * c.k))))
        limits = {} if allowed is None else {"allowed": allowed}
        found = self.index(corpus).search(heavy, window if len(heavy.values) < len(asked.values) else c.k, **limits)
        if len(heavy.values) < len(asked.values):
            scores = score_rows(asked, documents, found.offsets, found.rows)
            found = Run.build(found.offsets, found.rows, scores).cut(c.k)
        self.context.advance(len(queries))
        return found
