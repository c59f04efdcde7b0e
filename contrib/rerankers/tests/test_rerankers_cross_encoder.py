"""Cross-encoders beside sentence-transformers, on tiny random models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from spaniel import Context, Corpus, Document, Queries, Run, Stage, UsageError
from spaniel.store import Store
from spaniel.testing import Case, collection, promises_of
from spaniel_neural.testing import write_model
from spaniel_rerankers.layout import read_layout

PLAIN = collection()
TEXTS = [document.contents for document in PLAIN.documents]
QUERIES = [*PLAIN.queries.texts, "", "the tide"]
PAIRS = [(query, text) for query in QUERIES for text in (*TEXTS[::5], "", "dog " * 80)]
TASK = "sequence-classification"


def make_model(folder: Path, **options: Any) -> Path:
    return write_model(
        folder, options.pop("family", "bert"), TASK, texts=TEXTS, num_labels=options.pop("labels", 1), **options
    )


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("cross") / "model")


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(tmp_path / "store", device="cpu", offline=True)


def score(
    context: Context, folder: Path, pairs: Sequence[tuple[str, str]] = PAIRS, **options: Any
) -> NDArray[np.float32]:
    reranker = context.create("rerank", Stage("cross-encoder", model=str(folder), **options))
    scores: NDArray[np.float32] = reranker.score([query for query, _ in pairs], [text for _, text in pairs])
    return scores


def predict(folder: Path, **options: Any) -> NDArray[np.float32]:
    from sentence_transformers import CrossEncoder

    made = CrossEncoder(str(folder), device="cpu", local_files_only=True).predict(
        PAIRS, show_progress_bar=False, **options
    )
    return np.asarray(made, np.float32)


def save(folder: Path, target: Path, **options: Any) -> Path:
    import torch
    from sentence_transformers import CrossEncoder

    activation = options.pop("activation", None)
    if activation:
        options["activation_fn"] = getattr(torch.nn, activation)()
    CrossEncoder(str(folder), device="cpu", local_files_only=True, **options).save(str(target))
    return target


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_scores_are_those_of_sentence_transformers(context: Context, tmp_path: Path, family: str) -> None:
    folder = make_model(tmp_path / family, family=family)
    assert np.allclose(score(context, folder), predict(folder), atol=1e-5)


@pytest.mark.parametrize("activation", ["Sigmoid", "Identity", "Tanh"])
def test_a_saved_activation_prompt_and_length(context: Context, tmp_path: Path, model: Path, activation: str) -> None:
    folder = save(
        model,
        tmp_path / "saved",
        activation=activation,
        max_length=17,
        prompts={"find": "which dog "},
        default_prompt_name="find",
    )
    expected = predict(folder)
    assert np.allclose(score(context, folder), expected, atol=1e-5)
    assert np.allclose(score(context, folder, prompt="find"), expected, atol=1e-5)
    assert np.allclose(score(context, folder, prompt=""), predict(folder, prompt=""), atol=1e-5)
    assert not np.allclose(score(context, folder, prompt=""), expected, atol=1e-3)


def test_the_activation_of_older_folders(context: Context, tmp_path: Path, model: Path) -> None:
    folder = make_model(tmp_path / "old")
    config = json.loads((folder / "config.json").read_text())
    config["sbert_ce_default_activation_function"] = "torch.nn.modules.linear.Identity"
    (folder / "config.json").write_text(json.dumps(config))
    logits = score(context, folder)
    assert np.allclose(logits, predict(folder), atol=1e-5)
    assert np.allclose(1 / (1 + np.exp(-logits)), score(context, folder, activation="sigmoid"), atol=1e-5)


def test_one_label_of_several(context: Context, tmp_path: Path) -> None:
    names = {0: "no", 1: "perhaps", 2: "yes"}
    folder = make_model(tmp_path / "three", labels=3, id2label=names, label2id={name: n for n, name in names.items()})
    expected = predict(folder)
    assert np.allclose(score(context, folder, label=1), expected[:, 1], atol=1e-5)
    assert np.allclose(score(context, folder, label="yes"), expected[:, 2], atol=1e-5)
    shares = predict(folder, apply_softmax=True)
    assert np.allclose(score(context, folder, label="yes", activation="softmax"), shares[:, 2], atol=1e-5)
    for label in (None, 3, -1, "maybe"):
        with pytest.raises(UsageError, match=r"0 \(no\), 1 \(perhaps\), 2 \(yes\)"):
            score(context, folder, label=label)


def test_a_language_models_yes_and_no(context: Context, tmp_path: Path) -> None:
    folder = save(
        write_model(tmp_path / "llama", "llama", "causal-lm", texts=[*TEXTS, "yes no"], max_length=40),
        tmp_path / "saved",
    )
    assert not read_layout(folder).is_plain
    expected = predict(folder)
    assert np.allclose(score(context, folder), expected, atol=1e-5)
    assert expected.std() > 0.01


def test_neither_order_nor_batches_matter(tmp_path: Path, model: Path) -> None:
    everything = score(Context(tmp_path / "a", device="cpu"), model)
    for size in (1, 3):
        single = Context(tmp_path / f"batches-{size}", device="cpu", batch_size=size)
        assert np.allclose(score(single, model), everything, atol=1e-5)
    backwards = score(Context(tmp_path / "b", device="cpu"), model, PAIRS[::-1])
    assert np.allclose(backwards[::-1], everything, atol=1e-5)


def test_half_precision_is_near(tmp_path: Path, model: Path) -> None:
    context = Context(tmp_path / "store", device="cpu")
    full, half = score(context, model), score(context, model, dtype="bfloat16")
    assert half.dtype == np.float32
    assert np.abs(full - half).max() < 0.1
    assert not np.array_equal(full, half)


def test_a_pair_is_scored_once(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Across lists, stages and sessions; what was scored before needs no model at all."""
    corpus = PLAIN.corpus()
    queries = Queries.from_lists(["a", "b", "c"], ["which dog", "ship", "which dog"])
    run = Run.from_lists([[(row, 1.0) for row in range(10)]] * 3)

    def rerank(context: Context) -> tuple[Run, dict[str, float]]:
        with context.stage("test") as stage:
            found = context.create("rerank", Stage("cross-encoder", model=str(model))).rerank(queries, run, corpus)
        return found, stage.cost

    first, cost = rerank(Context(tmp_path / "store", device="cpu"))
    assert cost["pairs scored"] == 30
    assert cost["model calls"] >= 1
    assert "cached scores" not in cost

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("loaded")

    monkeypatch.setattr("spaniel_neural.loading.load_transformer", refuse)
    again, cost = rerank(Context(tmp_path / "store", device="cpu"))
    assert again == first
    assert cost == {"pairs scored": 30, "cached scores": 20}
    with pytest.raises(AssertionError, match="loaded"):
        rerank(Context(tmp_path / "other", device="cpu"))


def test_what_decides_a_score_tells_caches_apart(tmp_path: Path, model: Path) -> None:
    context = Context(tmp_path / "store", device="cpu")
    other = make_model(tmp_path / "other", seed=1)
    variants: list[tuple[Path, dict[str, Any]]] = [
        (model, {}),
        (other, {}),
        (model, {"activation": "identity"}),
        (model, {"prompt": "dog "}),
        (model, {"max_length": 9}),
        (model, {"dtype": "bfloat16"}),
    ]
    made = [
        context.create("rerank", Stage("cross-encoder", model=str(folder), **options)) for folder, options in variants
    ]
    assert len({one.kept.path for one in made}) == len(variants)
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in model.iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    assert context.create("rerank", Stage("cross-encoder", model=str(moved), k=3)).kept.path == made[0].kept.path


def test_the_weight_of_the_first_stage(context: Context, model: Path) -> None:
    corpus = PLAIN.corpus()
    queries = Queries.from_lists(["a"], ["which dog"])
    run = Run.from_lists([[(row, float(20 - row**2)) for row in range(8)]])
    alone = context.create("rerank", Stage("cross-encoder", model=str(model))).rerank(queries, run, corpus)
    mixed = context.create("rerank", Stage("cross-encoder", model=str(model), weight=0.25)).rerank(queries, run, corpus)

    def standard(one: Run) -> dict[int, float]:
        values = one.scores.astype(np.float64)
        return dict(zip(one.rows.tolist(), ((values - values.mean()) / values.std()).tolist(), strict=True))

    mine, theirs = standard(alone), standard(run)
    for row, value in zip(*mixed.of(0), strict=True):
        assert value == pytest.approx(0.25 * mine[row] + 0.75 * theirs[row], abs=1e-5)
    first = context.create("rerank", Stage("cross-encoder", model=str(model), weight=0.0)).rerank(queries, run, corpus)
    assert np.array_equal(first.rows, run.rows)


def test_pipelines_rerank(context: Context, model: Path) -> None:
    corpus = Corpus.from_documents(Document(f"d{number:02d}", "", text) for number, text in enumerate(TEXTS))
    found = context.run(Stage("bm25", k=6) >> Stage("cross-encoder", model=str(model), k=4), PLAIN.queries, corpus)
    assert set(found.lengths.tolist()) == {4}
    expected = score(context, model, [(PLAIN.queries.texts[0], text) for text in corpus.contents(found.of(0)[0])])
    assert np.allclose(found.of(0)[1], expected, atol=1e-6)


def break_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("encoder", "none for sequence classification"),
        ("weights", "no model.safetensors"),
        ("code", "asks for the code of evil.Module"),
        ("activation", "asks for the activation os.system"),
        ("sentence", "holds a SentenceTransformer"),
        ("nothing", "there is no model folder"),
    ],
)
def test_what_cannot_score_pairs_is_refused(context: Context, tmp_path: Path, what: str, said: str) -> None:
    folder = make_model(tmp_path / "model")
    if what == "encoder":
        folder = write_model(tmp_path / "encoder", texts=TEXTS)
    elif what == "weights":
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    elif what == "code":
        (folder / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": "", "type": "evil.Module"}]))
        (folder / "config_sentence_transformers.json").write_text(json.dumps({"model_type": "CrossEncoder"}))
    elif what == "activation":
        break_config(folder, sbert_ce_default_activation_function="os.system")
    elif what == "sentence":
        (folder / "modules.json").write_text("[]")
    else:
        folder = tmp_path / "no such/place"
    with pytest.raises(UsageError, match=said):
        score(context, folder)


def test_the_digest_is_of_content(tmp_path: Path, model: Path) -> None:
    store = Store(tmp_path / "store")
    assert read_layout(model).digest(store) == read_layout(make_model(tmp_path / "same")).digest(store)
    assert read_layout(model).digest(store) != read_layout(make_model(tmp_path / "other", seed=5)).digest(store)


@pytest.mark.parametrize("cache", [False, True])
@pytest.mark.parametrize("promise", promises_of("rerank"))
def test_the_contract(tmp_path: Path, model: Path, promise: str, cache: bool) -> None:
    options = {"model": str(model), "k": 5, "cache": cache}
    promises_of("rerank")[promise](Case("rerank/cross-encoder", tmp_path, options=options))
