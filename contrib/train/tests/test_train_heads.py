"""The pooled head: the same weights and gradients as the modules of sentence-transformers, and nothing else changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Router, Transformer
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling
from spaniel_neural.testing import write_model
from spaniel_train.heads import DEAD, GreatestScores, pool_as_made

TEXTS = ["the dog runs", "a ship sails on the river in winter", "bread", "the star shines on the cold dark water"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = {"initializer_range": 0.5, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return write_model(tmp_path_factory.mktemp("heads") / "model", "bert", "masked-lm", texts=TEXTS, **settings)


def encoder(folder: Path, activation: Any = "relu", routed: bool = False, pooling: Any = "max") -> SparseEncoder:
    modules: list[Any] = [Transformer(str(folder), transformer_task="fill-mask"), SpladePooling(pooling, activation)]
    if routed:
        modules = [Router.for_query_document([SparseStaticEmbedding(modules[0].tokenizer, frozen=True)], modules)]
    return SparseEncoder(modules=modules, device="cpu").train()


def run(model: SparseEncoder) -> torch.Tensor:
    model.zero_grad()
    made = model(model.preprocess(TEXTS, task="document"), task="document")["sentence_embedding"]
    ((made.mean(dim=0) ** 2).sum() - made[0] @ made[1]).backward()
    return made.detach()


@pytest.mark.parametrize("activation", ["relu", "log1p_relu"])
@pytest.mark.parametrize("routed", [False, True])
def test_weights_and_gradients_are_the_modules_own(folder: Path, activation: str, routed: bool) -> None:
    plain, joined = (encoder(folder, activation, routed) for _ in range(2))
    assert pool_as_made(joined) == 1
    torch.testing.assert_close(run(joined), run(plain), rtol=1e-5, atol=1e-6)
    pairs = list(zip(joined.named_parameters(), plain.named_parameters(), strict=True))
    assert pairs
    for (name, mine), (other, theirs) in pairs:
        assert name == other
        if theirs.grad is None:
            assert mine.grad is None
        else:
            torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-5)


def test_what_is_saved_is_the_model_as_it_was(folder: Path, tmp_path: Path) -> None:
    joined = encoder(folder)
    pool_as_made(joined)
    joined.eval().save_pretrained(str(tmp_path / "out"), create_model_card=False)
    again = SparseEncoder(str(tmp_path / "out"), device="cpu")
    mine, theirs = (m.encode_document(TEXTS, convert_to_sparse_tensor=False) for m in (joined, again))
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


def test_other_poolings_stay_as_they_are(folder: Path) -> None:
    assert pool_as_made(encoder(folder, pooling="sum")) == 0


@pytest.mark.parametrize("part", [256, 7])
def test_the_function_is_relu_of_the_maximum(monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    from spaniel_train import heads

    monkeypatch.setattr(heads, "_PAIRS", part * 16)
    hidden, weight = torch.randn(5, 7, 16, requires_grad=True), torch.randn(600, 16, requires_grad=True)
    bias = torch.randn(600)
    bias[::3] = DEAD
    bias.requires_grad_()
    mask = torch.rand(5, 7) > 0.4
    mask[:, 2] = True
    seen = torch.randn(5, 600)

    def gradients(made: torch.Tensor) -> Any:
        return torch.autograd.grad((made * seen).sum(), (hidden, weight, bias))

    made = GreatestScores.apply(hidden, weight, bias, mask)
    scores = (hidden @ weight.T + bias).masked_fill(~mask[:, :, None], -torch.inf)
    wanted = scores.amax(dim=1).relu()
    torch.testing.assert_close(made, wanted, rtol=1e-5, atol=1e-5)
    assert not made[:, ::3].any()
    for mine, theirs in zip(gradients(made), gradients(wanted), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)
