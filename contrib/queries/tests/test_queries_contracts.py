"""The promises of every component."""

from __future__ import annotations

from spaniel.testing import contract

test_lower_case = contract("rewrite/lower-case")
test_stop_phrases = contract("rewrite/stop-phrases")
test_spelling = contract("rewrite/spelling")
test_cooccurrence = contract("rewrite/cooccurrence")
test_feedback_words = contract("rewrite/feedback-words")
test_hyde = contract("rewrite/hyde")
test_query2doc = contract("rewrite/query2doc")
test_variants = contract("rewrite/variants")
test_passages = contract("retrieve/passages", options={"system": ["bm25(k=20)"], "words": 5, "stride": 2})
test_passage_parts = contract("explain/passage-parts", target="passages(bm25(k=20), words=5)")
