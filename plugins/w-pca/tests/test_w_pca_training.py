"""Distillation against its formulas, folders in other libraries, and the commands."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from spaniel import Context, UsageError
from spaniel.expression import Stage
from spaniel.testing import Cli, contract
from spaniel_neural.testing import write_model
from spaniel_train.batch import collate
from spaniel_train.data import Data
from spaniel_train.models import load_trainee
from spaniel_train.recipe import Model
from spaniel_train.rows import Row, to_lines
from spaniel_train.steps import Gradients
from spaniel_w_pca.distillation import LayerwiseKd, PredictionKd, dist
from spaniel_w_pca.features import Way, shown_by, teacher_layer
from spaniel_w_pca.folder import reduced_words, write_encoder
from spaniel_w_pca.learning import LAYERS, TEACHER, LayerwiseTrainee
from torch.nn import functional

SENTENCE = "the cat of river sails in winter bread and salt shine water ship north wind letter stone green old"
WORDS = SENTENCE.split()
TEXTS = [
    " ".join(WORDS[(number * 7 + at * (1 + number % 5)) % len(WORDS)] for at in range(8 + number % 9))
    for number in range(24)
]
SMALL: dict[str, Any] = {
    "layers": 3, "hidden": 24, "heads": 2, "ffn_units": 8, "embed": 12, "vocab_size": 400, "positions": 40,
}  # fmt: skip
CANDIDATE = [0, 8, 3]
ROWS = [Row(text[:20], (text,)) for text in TEXTS[:6]]

test_layerwise_encoder = contract("trainee/layerwise-encoder")
test_layerwise_kd = contract("objective/layerwise-kd")
test_prediction_kd = contract("objective/prediction-kd", options={"loss": "dist"})


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of four layers."""
    return write_model(tmp_path_factory.mktemp("teacher"), texts=TEXTS, num_hidden_layers=4, lowercase=True)


@pytest.fixture(scope="module")
def student(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A candidate with fresh weights and the teacher's tokenizer."""
    context = Context(tmp_path_factory.mktemp("store"), device="cpu", offline=True)
    space: Any = context.create("search_space", Stage("nlu-bert-mobilebert", seq_len=32, **SMALL))
    return write_encoder(context, space, CANDIDATE, 3, str(teacher), tmp_path_factory.mktemp("student"))


def load(context: Context, student: Path, teacher: Path | None, tmp_path: Path, *ways: Way) -> LayerwiseTrainee:
    kind = "layerwise-encoder" if teacher is None else f"layerwise-encoder(teacher={json.dumps(str(teacher))})"
    spec = Model(kind=kind, base=str(student), max_length=32)  # type: ignore[arg-type]
    made = load_trainee(context, spec, torch.device("cpu"), tmp_path / "scratch")
    assert isinstance(made, LayerwiseTrainee)
    made.ways = list(ways)
    made.model.eval()
    return made


def batch_of(rows: list[Row]) -> Any:
    return collate(rows, {}, 1, 0, np.random.default_rng(0))


def listen(heard: dict[int, Any], at: int, _: Any, __: Any, out: Any) -> None:
    heard[at] = out


# Layers


@pytest.mark.parametrize(
    ("layer_map", "student", "teacher", "expected"),
    [
        ("last-of-group", 6, 12, [1, 3, 5, 7, 9, 11]),
        ("last-of-group", 12, 12, list(range(12))),
        ("last-of-group", 4, 6, [1, 2, 4, 5]),
        ("last-of-group", 12, 6, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]),
        ("first-of-group", 6, 12, [0, 2, 4, 6, 8, 10]),
    ],
)
def test_layers_are_mapped_as_in_the_paper(layer_map: Any, student: int, teacher: int, expected: list[int]) -> None:
    assert [teacher_layer(layer_map, layer, student, teacher) for layer in range(student)] == expected


@pytest.mark.parametrize("features", ["mse", "pkd"])
def test_the_layerwise_loss_is_its_formula(
    features: Any, context: Context, student: Path, teacher: Path, tmp_path: Path
) -> None:
    way = Way(features=features)
    trainee = load(context, student, teacher, tmp_path, way)
    batch = batch_of(ROWS[:3])
    items = trainee.items(batch)
    outputs = trainee.outputs(trainee.represent(items), batch)
    objective: Any = context.create("objective", f"layerwise-kd(features={features})")
    found = float(objective.loss(outputs, batch).detach())

    # The same with each text alone, the models' own hidden states, and no masks.
    transformer, bert = trainee._transformer, trainee.teacher.model[0].model
    total, tokens = 0.0, 0
    with torch.no_grad():
        for text, _ in items:
            inputs = trainee.model.tokenizer(text, return_tensors="pt", truncation=True, max_length=32)
            theirs = bert(**inputs, output_hidden_states=True).hidden_states
            modules = [*shown_by(transformer).attention, *[layer.attention for layer in bert.encoder.layer]]
            heard: dict[int, Any] = {}
            handles = [module.register_forward_hook(partial(listen, heard, at)) for at, module in enumerate(modules)]
            network, ids = transformer.encoder, inputs["input_ids"]
            ours = [network.embeddings(network.embed(ids), torch.ones_like(ids, dtype=torch.bool))]
            for block in network.blocks:
                ours.append(block(ours[-1], torch.ones_like(ids, dtype=torch.bool)))
            bert(**inputs)
            for handle in handles:
                handle.remove()
            attention = [out[0] if isinstance(out, tuple) else out for _, out in sorted(heard.items())]
            project = trainee.projections
            families = ["bert", "mobilebert", "bert"]
            pairs = [(project.hidden(ours[0]), theirs[0])]
            for layer, goal in enumerate([1, 2, 3]):
                pairs.append((project.attention[families[layer]](attention[layer]), attention[3 + goal]))
                pairs.append((project.hidden(ours[layer + 1]), theirs[goal + 1]))
            for a, b in pairs:
                if features == "pkd":
                    a, b = ((one - one.mean(1, keepdim=True)) / (one.std(1, keepdim=True) + 1e-6) for one in (a, b))
                total += float(functional.mse_loss(a, b)) * ids.shape[1]
            tokens += ids.shape[1]
    assert found == pytest.approx(total / tokens, rel=1e-4)


def test_gradients_are_the_same_in_parts_and_cached(
    context: Context, student: Path, teacher: Path, tmp_path: Path
) -> None:
    objectives: list[Any] = [
        context.create("objective", name) for name in ("layerwise-kd(features=pkd)", "layerwise-kd", "prediction-kd")
    ]

    def gradients(part: int, cached: bool) -> dict[str, Any]:
        trainee = load(context, student, teacher, tmp_path)
        trainee.meet(objectives, Data([], np.zeros(0, np.int64), ()))
        assert trainee.ways == [Way(features="pkd"), Way()]
        adder = Gradients(trainee, part, cached)
        adder.add(batch_of(ROWS), lambda out, b: sum(one.loss(out, b) for one in objectives), 1.0, lambda part: part)
        return {name: p.grad for name, p in trainee.model.named_parameters() if p.grad is not None}

    whole = gradients(100, False)
    assert any(name.endswith("distillation.attention.mobilebert.weight") for name in whole)
    for other in (gradients(4, False), gradients(4, True)):
        assert other.keys() == whole.keys()
        assert all(torch.allclose(other[name], whole[name], rtol=1e-3, atol=1e-5) for name in whole)


def test_a_base_is_its_own_teacher_where_none_is_named(context: Context, teacher: Path, tmp_path: Path) -> None:
    trainee = load(context, teacher, None, tmp_path)
    batch = batch_of(ROWS)
    outputs = trainee.outputs(trainee.represent(trainee.items(batch)), batch)
    assert outputs.matrix is not None
    assert torch.allclose(outputs.matrix, outputs.more[TEACHER], atol=1e-5)
    again = trainee.outputs(trainee.represent(trainee.items(batch)), batch)
    assert torch.equal(outputs.more[TEACHER], again.more[TEACHER]), "what was remembered is what was read"
    assert outputs.more[LAYERS] == {}


def test_teachers_that_read_other_tokens_are_refused(context: Context, student: Path, tmp_path: Path) -> None:
    other = write_model(tmp_path / "other", texts=["other words"], lowercase=True)
    with pytest.raises(UsageError, match="do not read the same tokens"):
        load(context, student, other, tmp_path)


# Predictions


def outputs_of(ours: torch.Tensor, theirs: torch.Tensor) -> Any:
    from spaniel_train.batch import Outputs

    return Outputs(ours, ours, None, None, {TEACHER: theirs})


def test_the_soft_cross_entropy_is_its_formula(context: Context) -> None:
    ours, theirs = (torch.randn(4, 7, generator=torch.Generator().manual_seed(n)) for n in (0, 1))
    batch: Any = None
    made: PredictionKd = context.create("objective", "prediction-kd(scale=3, temperature=2)")
    expected = functional.cross_entropy(ours * 1.5, (theirs * 1.5).softmax(1))
    assert float(made.loss(outputs_of(ours, theirs), batch)) == pytest.approx(float(expected), rel=1e-5)
    reference: PredictionKd = context.create("objective", "prediction-kd(scale=3, temperature=2, compat=reference)")
    assert float(reference.loss(outputs_of(ours, theirs), batch)) == pytest.approx(float(expected) / 7, rel=1e-5)


def test_dist_is_one_minus_the_correlations_of_rows_and_columns() -> None:
    ours, theirs = (torch.randn(5, 6, generator=torch.Generator().manual_seed(n)) for n in (0, 1))
    p, q = (one.div(2).softmax(1).double().numpy() for one in (ours, theirs))
    rows = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(p, q, strict=True)])
    columns = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(p.T, q.T, strict=True)])
    assert float(dist(ours, theirs, 2.0)) == pytest.approx(4 * (2 - rows - columns), rel=1e-4)
    assert float(dist(ours, ours)) == pytest.approx(0, abs=1e-5)
    constant = torch.zeros(3, 4, requires_grad=True)
    dist(constant, theirs[:3, :4]).backward()
    assert constant.grad is not None
    assert bool(constant.grad.isfinite().all())


def test_objectives_say_what_they_need(context: Context) -> None:
    kd: LayerwiseKd = context.create("objective", "layerwise-kd(layer_map=first-of-group)")
    assert kd.needs == {LAYERS}
    assert kd.way == Way("first-of-group", "mse")


# Folders


def test_folders_load_in_other_libraries(context: Context, student: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from transformers import AutoModel, AutoTokenizer

    ours: Any = context.create("encode", Stage("sentence-transformer", model=str(student)))
    made = ours.encode(TEXTS, "document")["dense"].values
    theirs = SentenceTransformer(str(student), device="cpu").encode(TEXTS)
    assert np.abs(made - theirs).max() < 1e-5
    model, tokenizer = AutoModel.from_pretrained(student).eval(), AutoTokenizer.from_pretrained(student)
    inputs = tokenizer(TEXTS, return_tensors="pt", padding=True)
    with torch.no_grad():
        hidden = model(**inputs).last_hidden_state
    mask = inputs["attention_mask"][..., None]
    pooled = functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)
    assert np.abs(made - pooled.numpy()).max() < 1e-5


def test_folders_hold_what_the_space_builds(context: Context, student: Path) -> None:
    from safetensors.torch import load_file

    space: Any = context.create("search_space", Stage("nlu-bert-mobilebert", seq_len=32, **SMALL))
    built = {f"encoder.{name}": value for name, value in space.build(CANDIDATE, 3).state_dict().items()}
    saved = load_file(student / "model.safetensors")
    assert saved.keys() == built.keys()
    assert all(torch.equal(saved[name], built[name]) for name in saved)
    assert json.loads((student / "candidate.json").read_text())["candidate"] == CANDIDATE


def test_padding_and_batches_change_no_vector(context: Context, student: Path) -> None:
    encoder: Any = context.create("encode", Stage("sentence-transformer", model=str(student)))
    together = encoder.encode(TEXTS, "query")["dense"].values
    alone = np.concatenate([encoder.encode([text], "query")["dense"].values for text in TEXTS])
    assert np.abs(together - alone).max() < 1e-5


def test_words_are_taken_over_along_their_principal_axes(context: Context, teacher: Path, tmp_path: Path) -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    table = torch.randn(60, 10, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 11)
    ours = reduced_words(table, 4).numpy()
    theirs = decomposition.PCA(4).fit_transform(table.numpy())
    assert np.abs(np.abs(ours) - np.abs(theirs)).max() < 1e-3
    assert reduced_words(table, 12)[:, 10:].abs().sum() == 0
    space: Any = context.create("search_space", Stage("nlu-bert-mobilebert", seq_len=32, **SMALL))
    folder = write_encoder(context, space, CANDIDATE, 3, str(teacher), tmp_path / "words", words=True)
    from transformers import AutoModel

    words = AutoModel.from_pretrained(folder).get_input_embeddings().weight
    expected = reduced_words(AutoModel.from_pretrained(teacher).get_input_embeddings().weight.detach(), 12)
    assert torch.allclose(words[: len(expected)], expected, atol=1e-5)


def test_tokenizers_that_are_too_large_are_refused(context: Context, teacher: Path, tmp_path: Path) -> None:
    space: Any = context.create("search_space", Stage("nlu-bert-mobilebert", seq_len=32, **{**SMALL, "vocab_size": 20}))
    with pytest.raises(UsageError, match="know 20"):
        write_encoder(context, space, CANDIDATE, 0, str(teacher), tmp_path / "none")


# Commands


def test_from_search_to_an_encoder_that_searches(run_cli: Cli, teacher: Path, texts: Path, tmp_path: Path) -> None:
    options = {**SMALL, "layers": 2, "data": str(texts), "batch_size": 4, "seq_len": 12}
    space = str(Stage("nlu-bert-mobilebert", **options, max_params=11_000, count_embeddings=False))
    best = tmp_path / "best.json"
    ran = run_cli("walk", space, "w-pca", "--budget", "24", "--batch", "8",
                  "--strategy", "genetic(population=8, parents=3, redraw=5)", "-o", str(best), "--json")  # fmt: skip
    assert ran.exit_code == 0, ran.stderr
    assert ran.json["candidate"] == json.loads(best.read_text())
    assert ran.json["sizes"]["counted"] <= 11_000
    assert sum(one["scored"] for one in ran.json["generations"]) == ran.json["tried"] == 24
    heights = [one["best"] for one in ran.json["generations"]]
    assert heights == sorted(heights)
    assert heights[-1] == ran.json["score"]

    folder = tmp_path / "encoder"
    command = ("architectures", "build", str(best), "--space", space, "--tokenizer", str(teacher), "-o", str(folder))
    assert run_cli(*command).exit_code == 0
    again = run_cli(*command)
    assert again.exit_code == 2
    assert "is there already" in again.stderr

    (tmp_path / "rows.jsonl").write_text(to_lines(ROWS))
    recipe = {
        "model": {
            "kind": f"layerwise-encoder(teacher={json.dumps(str(teacher))})",
            "base": str(folder),
            "max_length": 24,
        },
        "data": [{"rows": str(tmp_path / "rows.jsonl")}],
        "objectives": [{"use": "layerwise-kd"}, {"use": "prediction-kd"}],
        "optimizer": {"use": "adamw(learning_rate=0.003)"},
        "batches": {"size": 3, "negatives": 0},
        "steps": 20,
    }
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    trained = run_cli("train", str(tmp_path / "recipe.yaml"), "-o", str(tmp_path / "trained"), "--json")
    assert trained.exit_code == 0, trained.stderr
    saved = json.dumps(sorted(p.name for p in (tmp_path / "trained").iterdir()))
    assert "model.safetensors" in saved
    from safetensors import safe_open

    with safe_open(tmp_path / "trained" / "model.safetensors", "pt") as file:
        names = list(file.keys())
        assert not any("distillation" in name for name in names), "projections are not saved"
    model = json.dumps(str(tmp_path / "trained"))
    found = run_cli("run", f"dense(encoder=sentence-transformer(model={model}), k=3)", str(texts), "--json")
    assert found.exit_code == 0, found.stderr


def test_a_training_that_was_stopped_goes_on_to_the_same_weights(
    context: Context, student: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file
    from spaniel_train.recipe import Recipe
    from spaniel_train.training import Training

    (tmp_path / "rows.jsonl").write_text(to_lines(ROWS))
    content = {
        "model": {
            "kind": f"layerwise-encoder(teacher={json.dumps(str(teacher))})",
            "base": str(student),
            "max_length": 24,
        },
        "data": [{"rows": str(tmp_path / "rows.jsonl")}],
        "objectives": [{"use": "layerwise-kd(features=pkd)"}, {"use": "prediction-kd"}],
        "batches": {"size": 3, "negatives": 0},
        "steps": 6,
        "checkpoint": 2,
    }
    recipe = Recipe.model_validate_json(json.dumps(content))
    Training(context, recipe, tmp_path / "whole").run()
    ended = {"at": 0}
    advance = Context.advance

    def stop(self: Context, done: int) -> None:
        ended["at"] += done
        if ended["at"] == 4:
            raise KeyboardInterrupt
        advance(self, done)

    monkeypatch.setattr(Context, "advance", stop)
    with pytest.raises(KeyboardInterrupt):
        Training(context, recipe, tmp_path / "parts").run()
    monkeypatch.setattr(Context, "advance", advance)
    Training(context, recipe, tmp_path / "parts").run(resume=True)
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(one[name], other[name]) for name in one)
