"""The promises of every component."""

from __future__ import annotations

from spaniel.testing import contract

test_index = contract("index/bm25")
test_tantivy_index = contract("index/tantivy")
test_bm25 = contract("retrieve/bm25")
test_tantivy = contract("retrieve/tantivy")
test_terms = contract("explain/bm25-terms")
test_terms_of_tantivy = contract("explain/bm25-terms", target="tantivy(phrases=true)")
test_terms_of_rm3 = contract("explain/feedback-terms", target="rm3(document_weights=uniform)")
test_terms_of_bo1 = contract("explain/feedback-terms", target="bo1")
test_rm3 = contract("retrieve/rm3", options={"document_weights": "uniform"})
test_bo1 = contract("retrieve/bo1")
