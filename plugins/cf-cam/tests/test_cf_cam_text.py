"""Maps over the words of texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from spaniel import Context, Corpus, Document, UsageError
from spaniel.explain import explain_pipeline
from spaniel.testing import contract
from spaniel_cf_cam.config import MapConfig
from spaniel_cf_cam.measures import class_sensitivity
from spaniel_cf_cam.subjects import METHODS, draw
from spaniel_cf_cam.text import TextSubject
from spaniel_explain.reading import read
from spaniel_neural.testing import write_model

TEXTS = [
    "the cat sat on the mat and purred all day",
    "a dog barked at the mailman in the rain",
    "rain fell on the roof all night long",
]
ALL = ("cf-cam", "grad-cam", "grad-cam-pp", "smooth-grad-cam-pp", "hires-cam", "layer-cam", "score-cam", "ablation-cam")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), texts=[*TEXTS, "where is the cat"], num_hidden_layers=3)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    return write_model(folder, task="sequence-classification", texts=[*TEXTS, "where is the cat"], num_labels=1)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(tmp_path / "store", offline=True)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus.from_documents(Document(f"d{n}", "", text) for n, text in enumerate(TEXTS))


def _stage(folder: Path) -> str:
    return f"dense(encoder=sentence-transformer(model='{folder}'))"


@pytest.mark.parametrize("method", ALL)
def test_every_map_explains_encoders_and_cross_encoders(
    method: str, context: Context, corpus: Corpus, folder: Path, pairs: Path
) -> None:
    for stage in (_stage(folder), f"{_stage(folder)} >> cross-encoder(model='{pairs}')"):
        for side in ("document", "query"):
            made = explain_pipeline(
                context, stage, "where is the cat", [0, 2], corpus, explainer=f"{method}(side={side}, layer=-2)"
            )
            for explanation, row in zip(made, (0, 2), strict=True):
                text = corpus.contents([row])[0] if side == "document" else "where is the cat"
                words = text.split()
                assert [part.label for part in explanation.contributions] == words
                assert all(text[slice(*part.span)] == part.label for part in explanation.contributions if part.span)
                assert all(part.score >= 0 for part in explanation.contributions)
                assert abs(explanation.total() - explanation.score) < 1e-5 * max(1, abs(explanation.score))


def test_a_planted_word_has_the_highest_value(context: Context, folder: Path, corpus: Corpus) -> None:
    """Check 7: a score that is the best token's own is mapped to that token, whatever stands around it."""
    encoder: Any = context.create("retrieve", _stage(folder))
    rng = np.random.default_rng(0)
    words = sorted({word for text in TEXTS for word in text.split()} - {"cat"})
    hits = 0
    for _ in range(25):
        drawn = rng.choice(words, 8)
        place = int(rng.integers(8))
        drawn[place] = "cat"
        reading = read(context, encoder, "cat", Document("x", "", " ".join(drawn)), "document")
        layer = reading.transformer.model.get_submodule("encoder.layer.1")
        with torch.no_grad():
            wanted = reading.embedding()(reading.inputs["input_ids"])[0, 1 + place]

        def plant(module: Any, inputs: Any, output: Any, place: int = place, wanted: Any = wanted) -> Any:
            hidden = output[0] if isinstance(output, tuple) else output
            changed = 0.01 * hidden
            changed = changed.index_add(1, torch.tensor([1 + place]), wanted[None, None].expand(len(hidden), 1, -1))
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        scored = type(reading)(
            reading.transformer,
            reading.inputs,
            reading.spots,
            lambda output, wanted=wanted: (output.hidden_states[2] @ wanted).amax(dim=1),
        )
        reading.transformer.model.config.output_hidden_states = True
        handle = layer.register_forward_hook(plant)
        try:
            subject = TextSubject(scored, 1, center=False, exclude_special=True)
        finally:
            handle.remove()
            reading.transformer.model.config.output_hidden_states = False
        values = draw(subject, "cf-cam", MapConfig(weighting="softmax-std"))
        hits += int(np.argmax(values)) == place
    assert hits >= 24


def test_the_default_map_depends_on_the_query_and_the_published_one_does_not(context: Context, corpus: Corpus) -> None:
    """Of one document for two queries: by a plain softmax of small gradients, all channels weigh the same."""
    stage = "dense(encoder=minilm)"
    apart, told = {}, {}
    for weighting in ("auto", "softmax-std", "softmax"):
        maps = []
        for query in ("where is the cat", "rain on the roof"):
            explainer = f"cf-cam(weighting={weighting}, relu=false)"
            (made,) = explain_pipeline(context, stage, query, [0], corpus, explainer=explainer)
            maps.append(np.array([part.score for part in made.contributions]))
            told[weighting] = made.parameters
        apart[weighting] = class_sensitivity(*maps)
    assert apart["auto"] == apart["softmax-std"] > 0.05
    assert apart["softmax"] < 1e-3
    assert told["auto"]["weight_spread"] > 0.01 > told["softmax"]["weight_spread"]
    assert "warning" not in told["auto"]
    assert "mean activation" in told["softmax"]["warning"]
    assert {"dominant", "clusters", "noise"} <= told["auto"].keys()


def test_activations_gradients_and_masks(context: Context, folder: Path, corpus: Corpus) -> None:
    """Against autograd by hand; special tokens are no positions; batches change nothing."""
    stage: Any = context.create("retrieve", _stage(folder))
    reading = read(context, stage, "where is the cat", corpus.documents(corpus.rows(["d0"]))[0], "document")
    subject = TextSubject(reading, -2, center=False, exclude_special=True)
    assert subject.shape == (10,)
    embedded = reading.embedded(reading.inputs["input_ids"]).requires_grad_()
    hidden: list[torch.Tensor] = []
    block = reading.transformer.model.get_submodule("encoder.layer.1")
    handle = block.register_forward_hook(
        lambda module, inputs, output: hidden.append(output[0] if isinstance(output, tuple) else output)
    )
    score = reading.run(embedded)[0]
    handle.remove()
    (gradient,) = torch.autograd.grad(score, hidden)
    assert np.abs(subject.activations - hidden[0][0, 1:-1].T.detach().numpy()).max() < 1e-6
    assert np.abs(subject.gradients - gradient[0, 1:-1].T.numpy()).max() < 1e-6
    assert subject.score_masked(np.ones((3, 10))) == pytest.approx([subject.score] * 3, abs=1e-5)
    masks = np.random.default_rng(0).random((130, 10))
    alone = [float(subject.score_masked(mask[None])[0]) for mask in masks[:5]]
    assert subject.score_masked(masks)[:5] == pytest.approx(alone, abs=1e-5)
    whole = TextSubject(reading, -2, center=False, exclude_special=False)
    assert whole.shape == (12,)
    with pytest.raises(UsageError, match="has 3 blocks"):
        TextSubject(reading, 3, center=False, exclude_special=True)
    centred = TextSubject(reading, -2, center=True, exclude_special=True)
    assert np.abs(centred.activations.mean(axis=1)).max() < 1e-9


def test_the_sides_of_a_pair_are_segments(context: Context, corpus: Corpus, pairs: Path) -> None:
    stage: Any = context.create("rerank", f"cross-encoder(model='{pairs}')")
    reading = read(context, stage, "where is the cat", corpus.documents(corpus.rows(["d0"]))[0], "document")
    subject = TextSubject(reading, 0, center=True, exclude_special=True)
    assert subject.segments is not None
    assert np.bincount(subject.segments).tolist() == [10, 4]
    assert len(METHODS) == len(ALL)


test_cf_cam_keeps_its_promises = contract("explain/cf-cam", target="dense(encoder=minilm)")
test_grad_cam_keeps_its_promises = contract("explain/grad-cam", target="dense(encoder=minilm)")
