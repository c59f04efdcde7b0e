"""Gradients against Captum, a brute-force sum, theorems, and a model that is linear."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from spaniel import Context, Corpus, Document, Explanation, Stage, UsageError
from spaniel.explain import explain_pipeline
from spaniel_explain.config import GradientConfig, IntegratedGradientsConfig
from spaniel_explain.integrated import GradientInput, IntegratedGradients
from spaniel_explain.quadrature import nodes
from spaniel_explain.reading import Reading, Spot, read

QUERY = "which dog retrieves game"
NAMES = ("dense", "sparse", "cross")


def explained(context: Context, corpus: Corpus, stage: Stage, explainer: str, row: int = 1) -> Explanation:
    pipeline = Stage("bm25") >> stage if stage.name in ("cross-encoder", "maxsim") else stage
    return explain_pipeline(context, pipeline, QUERY, [row], corpus, explainer)[0]


def reading_of(context: Context, corpus: Corpus, stage: Stage, side: Any, row: int = 1) -> Reading:
    kind = "rerank" if stage.name == "cross-encoder" else "retrieve"
    return read(context, context.create(kind, stage), QUERY, corpus.documents([row])[0], side)


@pytest.mark.parametrize("side", ["query", "document"])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_differentiated_is_the_stages_own_score(
    name: str, side: str, context: Context, corpus: Corpus, stages: dict[str, Stage]
) -> None:
    reading = reading_of(context, corpus, stages[name], side)
    score = float(reading.run(reading.embedded(reading.inputs["input_ids"])).detach()[0])
    kind = "rerank" if name == "cross" else "retrieve"
    target = context.create(kind, stages[name])
    if kind == "rerank":
        own = float(target.score([QUERY], corpus.contents([1]))[0])
    else:
        stage = explain_pipeline(context, stages[name], QUERY, [1], corpus, "occlusion")[0]
        own = stage.score
    assert score == pytest.approx(own, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("side", ["query", "document"])
@pytest.mark.parametrize("name", NAMES)
def test_integrated_gradients_are_captums(
    name: str, side: str, context: Context, corpus: Corpus, stages: dict[str, Stage]
) -> None:
    captum = pytest.importorskip("captum.attr")
    reading = reading_of(context, corpus, stages[name], side)
    config = IntegratedGradientsConfig(side=side, steps=8, baseline="mask")  # type: ignore[arg-type]
    _, values, _ = IntegratedGradients(config, context).attribute(reading)
    ids = reading.inputs["input_ids"]
    embedded = reading.embedded(ids)
    mask = reading.embedded(torch.full_like(ids, reading.transformer.tokenizer.mask_token_id))
    mine = torch.tensor([spot is not None and spot.side == side for spot in reading.spots])
    base = torch.where(mine[None, :, None], mask, embedded)
    theirs = captum.IntegratedGradients(reading.run).attribute(embedded, base, n_steps=8, method="gausslegendre")
    assert mine.any()
    np.testing.assert_allclose(values, theirs[0].sum(dim=1).detach().numpy(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_gap_shrinks_with_the_steps(name: str, context: Context, corpus: Corpus, stages: dict[str, Stage]) -> None:
    few, many = (
        explained(context, corpus, stages[name], f"integrated-gradients(steps={steps}, rule=midpoint)")
        for steps in (2, 256)
    )
    # A largest weight over tokens (sparse) has kinks on the way, at which steps help less.
    assert abs(many.remainder) < 2e-3 * max(1.0, abs(many.score))
    assert abs(many.remainder) < abs(few.remainder) + 1e-6


def test_only_tokens_of_the_side_contribute(context: Context, corpus: Corpus, stages: dict[str, Stage]) -> None:
    made = explained(context, corpus, stages["cross"], "integrated-gradients(side=document)")
    placed = [part for part in made.contributions if part.span is not None]
    assert [made.text[slice(*part.span)] for part in placed if part.span] == made.text.split()
    assert {part.side for part in placed} == {"document"}
    assert {part.label for part in made.contributions} - {part.label for part in placed} <= {"(baseline)"}


class Linear(torch.nn.Module):
    """Reads token vectors and returns their sum, weighed by place and dimension."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = torch.nn.Embedding(7, 4)
        self.weights = torch.nn.Parameter(torch.randn(5, 4))

    def get_input_embeddings(self) -> torch.nn.Embedding:
        return self.words

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return (self.words(input_ids) * self.weights).sum(dim=(1, 2))


def linear_reading() -> Reading:
    from contextlib import nullcontext

    transformer: Any = SimpleNamespace(
        model=Linear(), autocast=nullcontext, tokenizer=SimpleNamespace(pad_token_id=0, mask_token_id=None), folder="f"
    )
    spots = (None, *(Spot("query", 2 * at, 2 * at + 1) for at in range(3)), None)
    return Reading(transformer, {"input_ids": torch.tensor([[1, 2, 3, 4, 5]])}, spots, lambda output: output)


def test_of_a_linear_model_gradients_are_exact(context: Context) -> None:
    reading = linear_reading()
    model = reading.transformer.model
    products = (model.words(reading.inputs["input_ids"])[0] * model.weights).sum(dim=1).detach().numpy()
    score, values, _ = GradientInput(GradientConfig(side="query"), context).attribute(reading)
    np.testing.assert_allclose(values, [0, *products[1:4], 0], atol=1e-6)
    assert score == pytest.approx(products.sum(), abs=1e-5)
    empty = (model.words(torch.zeros(1, 5, dtype=torch.int64))[0] * model.weights).sum(dim=1).detach().numpy()
    config = IntegratedGradientsConfig(side="query", steps=1)
    score, values, baseline = IntegratedGradients(config, context).attribute(reading)
    np.testing.assert_allclose(values, [0, *(products - empty)[1:4], 0], atol=1e-6)
    assert baseline + values.sum() == pytest.approx(score, abs=1e-5)
    with pytest.raises(UsageError, match="no such token"):
        IntegratedGradients(IntegratedGradientsConfig(baseline="mask"), context).attribute(reading)


@pytest.mark.parametrize(("rule", "exact"), [("gauss-legendre", 9), ("midpoint", 1), ("trapezoid", 1)])
def test_quadrature_is_exact_for_polynomials_of_its_degree(rule: str, exact: int) -> None:
    places, weights = nodes(rule, 5)
    assert weights.sum() == pytest.approx(1)
    for degree in range(exact + 1):
        assert (weights * places**degree).sum() == pytest.approx(1 / (degree + 1), abs=1e-12)


def test_heads_add_up_to_what_goes_through_the_projection(
    context: Context, corpus: Corpus, stages: dict[str, Stage]
) -> None:
    """A layer's heads are the inner product of the projection's input with the gradient there."""
    made = explained(context, corpus, stages["dense"], "head-gradients")
    assert [part.label for part in made.contributions] == ["layer 1", "layer 2"]
    assert {len(part.children) for part in made.contributions} == {4}
    reading = reading_of(context, corpus, stages["dense"], "query")
    module = dict(reading.transformer.model.named_modules())["encoder.layer.0.attention.output.dense"]
    kept: list[torch.Tensor] = []
    handle = module.register_forward_hook(lambda _, given, result: kept.append(given[0]))
    score = reading.run(reading.embedded(reading.inputs["input_ids"]).requires_grad_())
    handle.remove()
    (gradient,) = torch.autograd.grad(score.sum(), kept)
    by_head = (kept[0] * gradient).sum(dim=(0, 1)).view(4, -1).sum(dim=1).tolist()
    assert [child.score for child in made.contributions[0].children] == pytest.approx(by_head, abs=1e-5)


@pytest.mark.parametrize("name", ["dense", "cross"])
def test_odd_texts_are_read_as_they_are_scored(name: str, context: Context, stages: dict[str, Stage]) -> None:
    texts = {"empty": "", "marks": "... !!!", "long": "dog " * 300, "blank": "  dog \n game  "}
    corpus = Corpus.from_documents(Document(key, "", text) for key, text in texts.items())
    pipeline = Stage("bm25") >> stages[name] if name == "cross" else stages[name]
    for query in ("dog", "?!", "  dog  game "):
        for explainer in ("integrated-gradients(steps=2, side=document)", "gradient-input", "occlusion(side=document)"):
            made = explain_pipeline(context, pipeline, query, range(len(corpus)), corpus, explainer)
            assert [one.document_id for one in made] == corpus.ids(range(len(corpus)))
            for one in made:
                sides = {"query": query, "document": one.text}
                for part in one.contributions:
                    assert part.span is None or sides[part.side][slice(*part.span)].strip()


def test_a_stage_without_a_model_is_refused(context: Context, corpus: Corpus) -> None:
    with pytest.raises(UsageError, match="explains"):
        explain_pipeline(context, "bm25", QUERY, [0], corpus, "integrated-gradients")
