"""The promises of the spaces and of every proxy, and what the spaces do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spaniel import Context, UsageError
from spaniel.expression import Stage
from spaniel.plugins import load_registry
from spaniel.testing import Case, contract, promises_of
from spaniel_search.candidates import digest
from spaniel_search.config import Budget
from spaniel_search.objectives import ProxyObjective
from spaniel_search.proxies import score_all
from spaniel_search.searching import Plan, search
from spaniel_training_free_nas import architectures, cells, recipes
from spaniel_training_free_nas.cells import Limits
from spaniel_training_free_nas.config import FlexiBertConfig
from spaniel_training_free_nas.recipes import SEEDS
from spaniel_training_free_nas.recurrent import fresh_recurrent
from spaniel_training_free_nas.scoring import scores_of

ENCODERS: dict[str, Any] = {
    "hidden": [32, 64],
    "layers": [1, 2],
    "ff_dim": [48, 64],
    "embedding": 24,
    "vocab_size": 500,
    "positions": 32,
    "batch_size": 4,
    "seq_len": 16,
    "build": "declared",
}
NETWORKS: dict[str, Any] = {
    "hidden": 12, "embedding": 10, "vocab_size": 128, "tokenizer": "characters", "batch_size": 4, "seq_len": 8, "layers": 2,
}  # fmt: skip
SIXTEEN = Limits(nodes=16, bounded=False)
SPACES = {"flexibert": ENCODERS, "rnn-cells": NETWORKS}
OURS = [
    one.name
    for one in load_registry(warn=False).components("search_space")
    if one.distribution == "spaniel-training-free-nas" and one.component.role == "proxy"
]
ATTENDING = ("head-confidence", "head-importance", "softmax-confidence", "synaptic-diversity")

test_flexibert = contract("search_space/flexibert", options=ENCODERS)
test_flexibert_with_default_options = contract("search_space/flexibert", without=["builds its candidates"])
test_rnn_cells = contract("search_space/rnn-cells", options=NETWORKS)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", OURS)
def test_proxies_keep_their_promises(name: str, space: str, tmp_path: Any, texts: Path) -> None:
    if space == "rnn-cells" and name in ATTENDING:
        pytest.skip("recurrent networks have no heads")
    case = Case(f"search_space/{name}", tmp_path, space=str(Stage(space, data=str(texts), **SPACES[space])))
    for check in promises_of("search_space").values():
        check(case)


@pytest.mark.parametrize("space", SPACES)
def test_all_proxies_share_one_pass(space: str, context: Context, texts: Path) -> None:
    made = context.create("search_space", Stage(space, data=str(texts), **SPACES[space]))
    fitting = [name for name in OURS if space == "flexibert" or name not in ATTENDING]
    proxies = {name: context.create("search_space", name) for name in fitting}
    candidate = made.sample(np.random.default_rng(1))
    passes = []
    forward = made.forward
    made.forward = lambda *given: passes.append(given) or forward(*given)
    together = score_all(made, proxies, candidate, 3)
    assert len(passes) == 1
    for name, proxy in proxies.items():
        assert proxy.score(made, candidate, 3) == pytest.approx(together[name], rel=1e-4)
    other = score_all(made, proxies, candidate, 4)
    assert all(other[name] != value for name, value in together.items())


def test_proxies_need_a_space_of_models(context: Context) -> None:
    space = context.create("search_space", 'pipelines(expression="bm25(k1=?)")')
    with pytest.raises(UsageError, match="needs a space of models"):
        context.create("search_space", "head-confidence").score(space, space.sample(np.random.default_rng(0)), 0)


def test_the_size_is_the_number_of_candidates() -> None:
    assert architectures.size(FlexiBertConfig()) == 2 * (48**2 + 48**4) == 10_621_440


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seq_len": 600}, "more than positions"),
        ({"hidden": [30]}, "no multiple of heads=4"),
        ({"heads": [1]}, "heads are even"),
        ({"layers": [2, 2]}, "different numbers"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str, context: Context) -> None:
    with pytest.raises(UsageError, match=message):
        context.create("search_space", Stage("flexibert", **options))


@pytest.mark.parametrize(
    "change",
    [
        {"hidden": 99},
        {"hidden": "32"},
        {"layers": []},
        {"layers": [{"op": "SDP"}]},
        {"layers": [{"op": "XYZ", "heads": 2, "ff": 48, "num_ff": 1}]},
        {"layers": [{"op": "SDP", "heads": 2.0, "ff": 48, "num_ff": 1}]},
    ],
)
def test_encoders_that_are_none_are_refused(change: dict[str, Any], context: Context) -> None:
    space = context.create("search_space", Stage("flexibert", **ENCODERS))
    good = {"hidden": 32, "layers": [{"op": "SDP", "heads": 2, "ff": 48, "num_ff": 1}]}
    space.validate(good)
    with pytest.raises(UsageError):
        space.build({**good, **change}, 0)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ({"h_new_1": {"op": "linear", "input": ["x"]}}, "without gaps"),
        ({"h_new_0": {"op": "cube", "input": ["x"]}}, "operation 'cube'"),
        ({"h_new_0": {"op": "blend", "input": ["x", "x"]}}, "takes 3 to 3"),
        ({"h_new_0": {"op": "linear", "input": ["x", "h_prev_1"]}}, "not there"),
        ({"h_new_0": {"op": "linear", "input": ["x"]}}, "does not depend on h_prev_0"),
        ({"h_new_0": {"op": "elementwise_sum", "input": ["x", "h_prev_0"]}}, "passes no linear"),
        (
            {"a": {"op": "linear", "input": ["x", "b"]}, "b": {"op": "linear", "input": ["a", "h_prev_0"]},
             "h_new_0": {"op": "linear", "input": ["a"]}},
            "circle",
        ),
        ({**SEEDS["rnn"], "idle": {"op": "linear", "input": ["x"]}}, "no state depends on 'idle'"),
    ],
)  # fmt: skip
def test_cells_that_are_none_are_refused(cell: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        recipes.validate(cell, 24, 3)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_names_and_the_order_of_sums_do_not_change_the_form_of_a_cell(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cell = cells.sample(rng, Limits())
    inner = [name for name in cell if not name.startswith("h_new")]
    names = dict(zip(inner, (f"other_{at}" for at in rng.permutation(len(inner))), strict=True))
    other = {}
    for name in rng.permutation(list(cell)):
        node = cell[str(name)]
        inputs = [names.get(one, one) for one in node["input"]]
        if node["op"] in recipes.COMMUTATIVE:
            inputs = [inputs[at] for at in rng.permutation(len(inputs))]
        other[names.get(str(name), str(name))] = {"op": node["op"], "input": inputs}
    assert recipes.canonical(other) == recipes.canonical(cell)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_changes_of_cells_change_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = cells.sample(rng, SIXTEEN), cells.sample(rng, SIXTEEN)
    mutated = cells.mutate(first, rng, SIXTEEN)
    recipes.validate(mutated, 16, 3)
    assert recipes.canonical(mutated) != recipes.canonical(first)
    child = cells.cross(first, second, rng, SIXTEEN)
    recipes.validate(child, 16, 3)
    assert recipes.states(child) == recipes.states(first)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_bounded_cells_stay_bounded(seed: int) -> None:
    cell = cells.sample(np.random.default_rng(seed), Limits())
    network = fresh_recurrent(cell, 1, 20, 6, 6, seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2)
        ids = torch.randint(0, 20, (2, 60), generator=torch.Generator().manual_seed(seed))
        output = network(network.embed(ids), torch.ones(2, 60, dtype=torch.bool))
    assert float(output.abs().max()) < 100


@pytest.mark.parametrize("name", SEEDS)
def test_classic_cells_are_bounded_candidates(name: str) -> None:
    assert Limits().allow(SEEDS[name])
    assert recipes.canonical(SEEDS[name]) == recipes.canonical(recipes.canonical(SEEDS[name]))


def test_strategies_find_what_a_proxy_likes(context: Context) -> None:
    space = str(Stage("flexibert", **ENCODERS))
    plan = Plan(space, "ageing-evolution(population=8, sample=4)", Budget(candidates=40), batch=4)
    found = search(context, plan, ProxyObjective(context, space, "count"))
    made = context.create("search_space", space)
    rng = np.random.default_rng(0)
    random = [made.counts(made.sample(rng))["parameters"] for _ in range(40)]
    assert found.best.score is not None
    assert found.best.score > np.quantile(random, 0.9)
    assert digest(made, json.loads(json.dumps(found.best.candidate))) == digest(made, found.best.candidate)


def test_scores_that_were_interrupted_go_on(context: Context, texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = str(Stage("flexibert", data=str(texts), **ENCODERS))
    made = context.create("search_space", space)
    rng = np.random.default_rng(0)
    candidates = [made.sample(rng) for _ in range(25)]
    proxies = ["head-confidence", "hidden-covariance", "large-noise-jacobian"]
    forward, runs = made.forward, []

    def counted(*given: Any) -> Any:
        if len(runs) == 14:
            raise KeyboardInterrupt
        runs.append(given)
        return forward(*given)

    monkeypatch.setattr(made, "forward", counted)
    with pytest.raises(KeyboardInterrupt):
        scores_of(context, space, candidates, proxies)
    monkeypatch.setattr(made, "forward", lambda *given: runs.append(given) or forward(*given))
    scores = scores_of(context, space, candidates, proxies)
    assert len(runs) == 14 + 25 - 10  # the first ten had been written
    again = scores_of(context, space, candidates, proxies)
    assert len(runs) == 14 + 25 - 10
    large = context.create("search_space", "large-noise-jacobian")
    for at in (0, 13, 24):
        assert scores["large-noise-jacobian"][at] == pytest.approx(-large.score(made, candidates[at], 0), rel=1e-4)
    assert all(np.array_equal(scores[name], again[name]) for name in proxies)


def test_only_proxies_are_run_on_spaces(context: Context) -> None:
    with pytest.raises(UsageError, match="a proxy is needed"):
        scores_of(context, "flexibert", [], ["genetic"])
    with pytest.raises(UsageError, match="a space is needed"):
        scores_of(context, "count", [], ["count"])
