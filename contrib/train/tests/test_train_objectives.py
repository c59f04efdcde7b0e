"""Objectives against plain formulas and sentence-transformers' own losses; schedules; groups of parameters."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from spaniel import Context, UsageError
from spaniel.testing import Case, contract, promises_of
from spaniel_train.batch import Batch, Outputs, collate
from spaniel_train.optimizers import group_parameters, state_bytes
from spaniel_train.recipe import Group, Ramp, Rate
from spaniel_train.rows import Row, parse_row, score_key
from spaniel_train.schedules import rate_at, weight_at
from torch.nn import functional

NAMES = (
    *("info-nce", "margin-mse", "kl", "mse", "triplet", "hinge"),
    *("ranknet", "lambdarank", "listnet", "listmle", "flops", "l1"),
)
LANGUAGE = ("masked-lm", "causal-lm")
test_info_nce = contract("objective/info-nce", options={"scale": 5.0, "symmetric": True})
test_lambdarank = contract("objective/lambdarank", options={"k": 3})
test_adamw = contract("optimizer/adamw")
test_sgd = contract("optimizer/sgd", options={"momentum": 0.9, "nesterov": True})
test_adafactor = contract("optimizer/adafactor")


@pytest.mark.parametrize("promise", promises_of("objective"))
@pytest.mark.parametrize("name", [*NAMES, *LANGUAGE])
def test_objectives_keep_the_promises_of_components(name: str, promise: str, tmp_path: Path) -> None:
    promises_of("objective")[promise](Case(f"objective/{name}", tmp_path))


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return Context(tmp_path_factory.mktemp("objectives") / "store", device="cpu", offline=True)


def make(seed: int = 0, queries: int = 4, wrong: int = 3) -> tuple[Batch, Outputs]:
    """Rows with distinct texts and a teacher, and random vectors for them."""
    rng = np.random.default_rng(seed)
    rows = []
    for q in range(queries):
        texts = [f"p{q}", *(f"n{q}-{n}" for n in range(wrong))]
        scores = {score_key(f"q{q}", text): float(rng.normal()) for text in texts}
        rows.append(Row(f"q{q}", (texts[0],), tuple(texts[1:]), scores))
    batch = collate(rows, {row.query: frozenset(row.positives) for row in rows}, 1, wrong, rng)
    left = torch.from_numpy(rng.normal(size=(queries, 6))).float()
    right = torch.from_numpy(rng.normal(size=(len(batch.texts), 6))).float()
    matrix = functional.normalize(left, dim=1) @ functional.normalize(right, dim=1).T
    scores = torch.where(batch.filled, matrix.gather(1, batch.groups.clamp(min=0)), 0.0).requires_grad_()
    return batch, Outputs(scores, matrix, left, right)


def loss(context: Context, expression: str, batch: Batch, outputs: Outputs) -> float:
    return float(context.create("objective", expression).loss(outputs, batch).detach())


def test_info_nce_is_the_ranking_loss_of_sentence_transformers(context: Context) -> None:
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    batch, outputs = make()
    columns = [outputs.texts[batch.groups[:, place]] for place in range(4)]
    peer = MultipleNegativesRankingLoss(None, scale=20.0)
    expected = peer.compute_loss_from_embeddings([outputs.queries, *columns], None)
    assert loss(context, "info-nce(scale=20)", batch, outputs) == pytest.approx(float(expected), abs=1e-5)


def test_distillation_is_that_of_sentence_transformers_and_of_torch(context: Context) -> None:
    batch, outputs = make()
    s, t = outputs.scores.detach(), batch.teacher
    margins = [(s[q, 0] - s[q, n] - t[q, 0] + t[q, n]) ** 2 for q in range(4) for n in range(1, 4)]
    assert loss(context, "margin-mse", batch, outputs) == pytest.approx(float(sum(margins)) / 12, rel=1e-5)
    assert loss(context, "mse", batch, outputs) == pytest.approx(float(functional.mse_loss(s, t)), rel=1e-5)
    kl = functional.kl_div((s / 2).log_softmax(1), (t / 2).softmax(1), reduction="batchmean") * 4
    assert loss(context, "kl(temperature=2.0)", batch, outputs) == pytest.approx(float(kl), rel=1e-5)


def test_pairwise_losses_are_their_formulas(context: Context) -> None:
    batch, outputs = make()
    s = outputs.scores.detach().double().numpy()
    pairs = [(q, n) for q in range(4) for n in range(1, 4)]
    ranknet = np.mean([math.log1p(math.exp(-2 * (s[q, 0] - s[q, n]))) for q, n in pairs])
    assert loss(context, "ranknet(sigma=2.0)", batch, outputs) == pytest.approx(ranknet, rel=1e-5)
    hinge = np.mean([max(0.0, 0.5 - s[q, 0] + s[q, n]) for q, n in pairs])
    assert loss(context, "hinge(margin=0.5)", batch, outputs) == pytest.approx(hinge, rel=1e-5)
    triplet = functional.triplet_margin_loss(
        outputs.queries.repeat_interleave(3, 0),
        outputs.texts[batch.groups[:, 0]].repeat_interleave(3, 0),
        outputs.texts[batch.groups[:, 1:].reshape(-1)],
        margin=1.0,
    )
    assert loss(context, "triplet", batch, outputs) == pytest.approx(float(triplet), rel=1e-5)


def test_lambdarank_weighs_pairs_by_the_change_in_ndcg(context: Context) -> None:
    from sklearn.metrics import ndcg_score

    batch, outputs = make()
    s, gains = outputs.scores.detach().numpy(), batch.relevant.numpy().astype(float)
    expected = 0.0
    for q in range(4):
        before = ndcg_score(gains[q : q + 1], s[q : q + 1])
        for n in range(1, 4):
            swapped = s[q].copy()
            swapped[[0, n]] = swapped[[n, 0]]
            delta = abs(ndcg_score(gains[q : q + 1], swapped[None]) - before)
            expected += delta * math.log1p(math.exp(-(s[q, 0] - s[q, n])))
    assert loss(context, "lambdarank", batch, outputs) == pytest.approx(expected / 4, rel=1e-4)


def test_listwise_losses_are_their_formulas(context: Context) -> None:
    batch, outputs = make()
    s = outputs.scores.detach()
    listnet = functional.cross_entropy(3 * s, batch.teacher.softmax(1))
    assert loss(context, "listnet(scale=3.0, grades=teacher)", batch, outputs) == pytest.approx(
        float(listnet), rel=1e-5
    )
    listmle = 0.0
    for q in range(4):
        ordered = s[q][batch.teacher[q].argsort(descending=True)]
        listmle += sum(float(ordered[at:].logsumexp(0) - ordered[at]) for at in range(4))
    assert loss(context, "listmle(grades=teacher)", batch, outputs) == pytest.approx(listmle / 4, rel=1e-5)


def test_sparsity_is_that_of_sentence_transformers(context: Context) -> None:
    from sentence_transformers.sparse_encoder.losses import FlopsLoss

    batch, outputs = make()
    expected = FlopsLoss(None).compute_loss_from_embeddings(outputs.texts.abs())
    assert loss(context, "flops(of=texts)", batch, outputs) == pytest.approx(float(expected), rel=1e-5)
    l1 = outputs.queries.abs().sum(1).mean() + outputs.texts.abs().sum(1).mean()
    assert loss(context, "l1", batch, outputs) == pytest.approx(float(l1), rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_filled_up_or_unlabelled_changes_nothing_and_gradients_are_finite(context: Context, name: str) -> None:
    batch, outputs = make()
    width = batch.groups.shape[1]
    wider = {
        "groups": functional.pad(batch.groups, (0, 2), value=-1),
        "relevant": functional.pad(batch.relevant, (0, 2)),
        "teacher": functional.pad(batch.teacher, (0, 2), value=math.nan),
    }
    padded = Batch(batch.rows, batch.texts, wrong=batch.wrong, **wider)
    scores = functional.pad(outputs.scores.detach(), (0, 2)).requires_grad_()
    vectors = [v.clone().requires_grad_() for v in (outputs.matrix, outputs.queries, outputs.texts)]
    made = context.create("objective", name).loss(Outputs(scores, *vectors), padded)
    assert float(made.detach()) == pytest.approx(loss(context, name, batch, outputs), rel=1e-5)
    made.backward()
    for tensor in (scores, *vectors):
        assert tensor.grad is None or bool(tensor.grad.isfinite().all())
    assert scores.grad is None or not scores.grad[:, width:].any()


def test_a_text_that_answers_a_query_is_never_held_against_it(context: Context) -> None:
    rows = [Row("a", ("x",)), Row("a", ("y",)), Row("b", ("x",)), Row("c", ("z",))]
    known = {"a": frozenset("xy"), "b": frozenset("x"), "c": frozenset("z")}
    batch = collate(rows, known, 1, 0, np.random.default_rng(0))
    assert batch.texts == ("x", "y", "z")
    assert batch.wrong.tolist() == [[False, False, True]] * 2 + [[False, True, True], [True, True, False]]
    alone = collate(rows[:1], known, 1, 0, np.random.default_rng(0))
    outputs = Outputs(torch.zeros(1, 1, requires_grad=True), torch.zeros(1, 1))
    assert loss(context, "info-nce", alone, outputs) == 0


def test_schedules_count_optimizer_steps() -> None:
    rate = Rate(warmup=2, shape="linear")
    assert [round(rate_at(rate, step, 6), 4) for step in range(6)] == [0.3333, 0.6667, 1.0, 0.75, 0.5, 0.25]
    assert rate_at(Rate(warmup=0, shape="cosine", floor=0.2), 5, 10) == pytest.approx(0.6)
    ramp = Ramp(start=0.0, end=4.0, after=2, steps=4, shape="quadratic")
    assert [weight_at(ramp, step) for step in (0, 2, 4, 6, 60)] == [0, 0, 1, 4, 4]


def test_parameters_are_grouped_and_their_state_is_counted(context: Context) -> None:
    model = torch.nn.ModuleDict({"words": torch.nn.Embedding(5, 4), "out": torch.nn.Linear(4, 3)})
    rules = [Group(shape="vectors", weight_decay=0.0), Group(shape="embeddings", frozen=True)]
    groups = group_parameters(model, rules)
    assert [sorted(group.parameters) for _, group in groups] == [["out.bias"], ["out.weight"]]
    assert not model["words"].weight.requires_grad
    for name, state in (
        ("adamw", 2 * 15 * 4 + 2 * 4),
        ("sgd", 0),
        ("sgd(momentum=0.9)", 15 * 4),
        ("adafactor", 7 * 4 + 3 * 4 + 4 * 4),
    ):
        optimizer = context.create("optimizer", name).make([group for _, group in groups])
        model["out"](torch.ones(1, 4)).sum().backward()
        optimizer.step()
        assert state_bytes(optimizer) == state
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0, 0]
    with pytest.raises(UsageError, match="fits none"):
        group_parameters(model, [Group(names=["nothing.*"])])
    with pytest.raises(UsageError, match="there is no block"):
        group_parameters(model, [Group(layers=[3])])


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"query": "a"}, "at least one positive"),
        ({"query": "a", "positives": "b"}, "list of texts"),
        ({"query": "a", "positives": ["b"], "scores": {"k": True}}, "finite numbers"),
        ({"query": "a", "positives": ["b"], "negative": []}, "no field 'negative'"),
    ],
)
def test_malformed_rows_are_named(fields: dict[str, Any], problem: str) -> None:
    assert problem in str(parse_row(fields))


def test_rows_survive_their_file() -> None:
    row = Row("a", ("b",), ("c",), {score_key("a", "b"): 1.5}, "find: ", "t", "d", {"n": 1})
    assert parse_row(row.to_json()) == row
