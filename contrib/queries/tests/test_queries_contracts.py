"""The promises of every component."""

from __future__ import annotations

import pytest
from spaniel.testing import contract

test_lower_case = contract("rewrite/lower-case")
test_stop_phrases = contract("rewrite/stop-phrases")
test_spelling = contract("rewrite/spelling")
test_cooccurrence = contract("rewrite/cooccurrence")
test_feedback_words = contract("rewrite/feedback-words")
test_hyde = contract("rewrite/hyde")
test_query2doc = contract("rewrite/query2doc")
test_variants = contract("rewrite/variants")
PASSAGES = {"system": ["bm25(k=20)"], "words": 5, "stride": 2}
test_passages = contract("retrieve/passages", options=PASSAGES, without=["takes any texts"])  # long texts: slow
test_passages_whole = pytest.mark.slow(contract("retrieve/passages", options=PASSAGES))
PARTS = "passages(bm25(k=20), words=20)"
test_passage_parts = contract("explain/passage-parts", target=PARTS, without=["explains every document"])
test_passage_parts_whole = pytest.mark.slow(contract("explain/passage-parts", target=PARTS))
