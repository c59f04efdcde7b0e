"""Training by recipes: gradients, what comes out, kills, lists drawn, and contracts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from spaniel import Context, Queries, Stage, UsageError
from spaniel.data import Qrels, write_folder
from spaniel.testing import Cli, collection, contract
from spaniel_mvp.training import MvpTrainee
from spaniel_neural.testing import write_model
from spaniel_train.batch import Batch, Outputs, collate
from spaniel_train.material import Material
from spaniel_train.models import load_trainee
from spaniel_train.recipe import Model
from spaniel_train.rows import Row, read_rows, score_key, to_lines
from spaniel_train.steps import Gradients
from torch import Tensor

PLAIN = collection()
TEXTS = [document.contents for document in PLAIN.documents]
WORDS = [*TEXTS, *PLAIN.queries.texts, "Query : Context |"]

test_trainee = contract("trainee/mvp")
test_lists = contract("synthesize/sampled-lists")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bases, a collection, and training rows of unlike lengths."""
    root = tmp_path_factory.mktemp("mvp-train")
    write_model(root / "bert", "bert", texts=WORDS, initializer_range=0.1)
    write_model(root / "t5", "t5", "seq2seq", texts=WORDS)
    write_folder(root / "data", PLAIN.documents, PLAIN.queries, {"train": PLAIN.qrels, "test": PLAIN.qrels})
    rows = []
    for number, query in enumerate(PLAIN.queries.texts):
        texts = [TEXTS[(4 * number + place * 5) % len(TEXTS)] for place in range(5 - number % 3)]
        scores = {score_key(query, text): float(-place) for place, text in enumerate(texts)}
        rows.append(Row(query, (texts[0],), tuple(texts[1:]), scores))
    (root / "rows.jsonl").write_text(to_lines(rows))
    return root


def trainee(home: Path, base: str = "bert", kind: str = "mvp", max_length: int = 48) -> MvpTrainee:
    context = Context(home / "store", device="cpu", offline=True)
    spec = Model.model_validate_json(json.dumps({"kind": kind, "base": str(home / base), "max_length": max_length}))
    made = load_trainee(context, spec, torch.device("cpu"), home / "scratch")
    assert isinstance(made, MvpTrainee)
    return made


def recipe(home: Path, path: Path, base: str = "bert", **more: Any) -> Path:
    content = {
        "model": {"kind": "mvp(views=3)", "base": str(home / base), "max_length": 48},
        "data": [{"rows": str(home / "rows.jsonl")}],
        "objectives": [{"use": "inverse-rank"}, {"use": "anchor-orthogonal", "weight": 1.0}],
        "optimizer": {"use": "adamw(learning_rate=0.001)"},
        "batches": {"size": 4, "negatives": 4, "part": 2},
        "steps": 4,
        "checkpoint": 1,
    }
    path.write_text(yaml.safe_dump({**content, **more}))
    return path


def batch_of(home: Path) -> Batch:
    return collate(list(read_rows(home / "rows.jsonl")), {}, 1, 4, np.random.default_rng(0))


@pytest.mark.parametrize("base", ["bert", "t5"])
def test_a_trained_model_reranks_with_the_scores_of_the_training(home: Path, tmp_path: Path, base: str) -> None:
    evaluation = {"collection": str(home / "data"), "split": "train", "every": 2, "keep": "last", "rerank": "bm25(k=5)"}
    path = recipe(home, tmp_path / "r.yaml", base, evaluation=evaluation)
    ran = Cli(tmp_path)("train", str(path), "--device", "cpu", "--offline", "--json")
    assert ran.exit_code == 0, ran.stderr
    assert set(ran.json["losses"][0]) == {"loss", "inverse-rank", "anchor-orthogonal"}
    assert list(ran.json["evaluations"]) == ["2", "4"]
    context = Context(tmp_path / "store", device="cpu", offline=True)
    stage = context.create("rerank", Stage("mvp", model=str(tmp_path / "r")))
    assert stage.loaded.model.settings.views == 3
    again = trainee(tmp_path, "r", "mvp")
    again.model.eval()
    queries, lists = list(PLAIN.queries.texts[:2]), [TEXTS[:3], TEXTS[3:8]]
    ours = np.concatenate(stage.score_lists(queries, [text for one in lists for text in one], [3, 5]))
    assert np.allclose(ours, again.score(queries, lists), atol=1e-5)
    before = trainee(home, base, "mvp(views=3)")
    before.model.eval()
    assert np.abs(ours - before.score(queries, lists)).max() > 1e-4, "nothing was learned"
    with pytest.raises(UsageError, match="has 3"):
        trainee(tmp_path, "r", "mvp(views=2)")
    with pytest.raises(UsageError, match="has dot"):
        trainee(tmp_path, "r", "mvp(score=cosine)")


@pytest.mark.parametrize("base", ["bert", "t5"])
def test_groups_of_unlike_lengths_score_as_if_alone(home: Path, base: str) -> None:
    made, batch = trainee(home, base), batch_of(home)
    made.model.eval()
    items = made.items(batch)
    outputs = made.outputs(made.represent(items), batch)
    assert outputs.scores.shape == batch.groups.shape
    for row, (query, *texts) in enumerate(items):
        alone = made.score([query], [texts])
        scores = outputs.scores[row].detach().numpy()
        assert np.allclose(scores[: len(texts)], alone, atol=1e-5 * max(1, np.abs(alone).max()))
        assert (scores[len(texts) :] == 0).all()


def test_gradient_caching_has_the_same_gradient(home: Path) -> None:
    """Parts are whole lists, so the decoder's gradient is among those that are cached."""
    context = Context(home / "store", device="cpu", offline=True)
    objectives = [context.create("objective", name) for name in ("inverse-rank", "anchor-orthogonal")]
    found: list[dict[str, Tensor]] = []
    for cached, part in ((False, 99), (True, 2)):
        made, batch = trainee(home), batch_of(home)
        made.model.eval()

        def loss(outputs: Outputs, batch: Batch) -> Tensor:
            return objectives[0].loss(outputs, batch) + objectives[1].loss(outputs, batch)

        Gradients(made, part, cached).add(batch, loss, 1.0, lambda number: number)
        found.append({n: p.grad.clone() for n, p in made.model.named_parameters() if p.grad is not None})
    whole, parts = found
    assert whole.keys() == parts.keys()
    assert any(name.startswith("head.decoder") for name in whole)
    for name, gradient in whole.items():
        assert torch.allclose(gradient, parts[name], atol=1e-5 * max(1.0, float(gradient.abs().max()))), name


def test_gradients_are_those_of_differences(home: Path) -> None:
    made, batch = trainee(home), batch_of(home)
    made.model.eval().double()
    context = Context(home / "store", device="cpu", offline=True)
    objective = context.create("objective", "inverse-rank(grades=relevant)")

    def loss() -> Tensor:
        return objective.loss(made.outputs(made.represent(made.items(batch)), batch), batch)

    weight = made.model.head.get_decoder().block[0].layer[1].EncDecAttention.k.weight
    loss().backward()
    with torch.no_grad():
        weight[1, 2] += (step := 1e-2)
        high = float(loss())
        weight[1, 2] -= 2 * step
        low = float(loss())
    assert abs(float(weight.grad[1, 2]) - (high - low) / (2 * step)) < 1e-4


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_weights(home: Path, tmp_path: Path) -> None:
    straight = recipe(home, tmp_path / "straight.yaml", steps=12)
    killed = recipe(home, tmp_path / "killed.yaml", steps=12)
    start = [sys.executable, "-c", "from spaniel.cli import main; main()", "--store", str(tmp_path / "store"), "train"]
    command = [*start, "--device", "cpu", "--offline"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(straight)], check=True, env=environment, capture_output=True)
    running = subprocess.Popen(
        [*command, str(killed)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    for _ in range(6000):
        if any((tmp_path / ".killed.training").glob("step-*")) or running.poll() is not None:
            break
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not (tmp_path / "killed").exists()
    subprocess.run([*command, str(killed), "--resume"], check=True, env=environment, capture_output=True)
    for name in ("model.safetensors", "decoder/model.safetensors"):
        assert (tmp_path / "straight" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()


@pytest.mark.slow
def test_the_orthogonal_loss_turns_anchors_apart(home: Path, tmp_path: Path) -> None:
    """Check 6: the mean size of the cosines between views, after the same training with and without, three seeds."""
    from spaniel_mvp.explainer import cosines
    from spaniel_train.recipe import Recipe
    from spaniel_train.training import Training

    batch = batch_of(home)
    for seed in range(3):
        context = Context(tmp_path / "store", device="cpu", offline=True, seed=seed)
        found = []
        for weight in (0.0, 1.0):
            content = yaml.safe_load(recipe(home, tmp_path / "r.yaml").read_text())
            objectives = [{"use": "inverse-rank"}, {"use": "anchor-orthogonal", "weight": weight}]
            content.update(objectives=objectives, steps=25, checkpoint=25)
            out = tmp_path / f"{seed}-{weight}"
            Training(context, Recipe.model_validate_json(json.dumps(content)), out).run()
            made = trainee(tmp_path, out.name)
            made.model.eval()
            anchors = made.outputs(made.represent(made.items(batch)), batch).more["anchors"].detach().numpy()
            tables = np.abs([cosines(one) for one in anchors])
            found.append(float((tables.sum(axis=(1, 2)) - 3).mean() / 6))
        assert found[1] < 0.5 * found[0], found


def test_a_base_without_room_is_refused(home: Path) -> None:
    with pytest.raises(UsageError, match="64 tokens at most"):
        trainee(home, max_length=65)
    with pytest.raises(UsageError, match="no room"):
        trainee(home, max_length=11)


def test_recipes_are_checked_before_anything_is_loaded(home: Path, tmp_path: Path) -> None:
    fields = {"model": {"kind": "mvp", "base": str(home / "bert"), "pooling": "cls"}}
    ran = Cli(tmp_path)("train", str(recipe(home, tmp_path / "r.yaml", **fields)), "--offline")
    assert ran.exit_code == 2
    assert "pooling" in ran.stderr
    fields = {"model": {"kind": "cross-encoder", "base": str(home / "bert")}}
    ran = Cli(tmp_path)("train", str(recipe(home, tmp_path / "r.yaml", **fields)), "--offline", "--check")
    assert ran.exit_code == 2
    assert "anchors" in ran.stderr
    objectives = [{"use": "info-nce"}]
    ran = Cli(tmp_path)("train", str(recipe(home, tmp_path / "r.yaml", objectives=objectives)), "--offline", "--check")
    assert ran.exit_code == 2, "mvp gives no scores with texts of other rows"


# Lists


def material(judged: bool = True) -> Material:
    qrels = PLAIN.qrels if judged else None
    return Material("plain", "digest", PLAIN.corpus(), PLAIN.queries, qrels)


def synthesizer(tmp_path: Path, **options: Any) -> Any:
    context = Context(tmp_path / "store", device="cpu", offline=True)
    return context.create("synthesize", Stage("sampled-lists", ranker="bm25(k=20)", **options))


def test_lists_hold_a_judged_document_and_draws_of_the_ranking(tmp_path: Path) -> None:
    made = synthesizer(tmp_path, lists=7, size=3, depth=6)
    corpus, queries = material().corpus, PLAIN.queries
    assert corpus is not None
    run = made.context.run("bm25(k=20)", queries, corpus).cut(6)
    rows = made.make(material(), 0, len(queries)).rows
    assert len(rows) > 7
    for row in rows:
        query = queries.texts.index(row.query)
        found = dict(zip(corpus.ids(run.of(query)[0]), run.of(query)[1].tolist(), strict=True))
        first, *others = row.provenance["documents"]
        assert PLAIN.qrels[queries.ids[query]][first] > 0
        assert all(name in found and not PLAIN.qrels[queries.ids[query]].get(name) for name in others)
        assert len(row.positives) == 1
        assert len(row.negatives) == 2
        for name, text in zip(row.provenance["documents"], [*row.positives, *row.negatives], strict=True):
            expected = found.get(name, max(found.values()) + 1)
            assert row.scores[score_key(row.query, text)] == pytest.approx(expected)
    assert len({row.negatives for row in rows if row.query == rows[0].query}) > 1


def test_lists_do_not_depend_on_how_the_work_is_cut(tmp_path: Path) -> None:
    made = synthesizer(tmp_path, lists=3, size=3)
    whole = made.make(material(), 0, 6)
    parts = [made.make(material(), start, start + 2) for start in (0, 2, 4)]
    assert [row for part in parts for row in part.rows] == list(whole.rows)
    assert {name: sum(part.counts[name] for part in parts) for name in whole.counts} == whole.counts
    assert made.summary(whole.counts)["lists per query"] == 3


def test_lists_without_judgments(tmp_path: Path) -> None:
    made = synthesizer(tmp_path, lists=2, size=3, positive="teacher")
    rows = made.make(material(judged=False), 0, 6).rows
    assert rows
    for row in rows:
        scores = [row.scores[score_key(row.query, text)] for text in (*row.positives, *row.negatives)]
        assert scores[0] == max(scores)
    with pytest.raises(UsageError, match="judgments"):
        synthesizer(tmp_path).units(material(judged=False))
    with pytest.raises(UsageError, match="split"):
        synthesizer(tmp_path).units(Material("rows", "digest", rows=[]))


def test_a_query_without_enough_documents_gives_no_list(tmp_path: Path) -> None:
    queries = Queries.from_lists(["none", "dog"], ["zzz", "dog"])
    given = Material("few", "digest", PLAIN.corpus(), queries, Qrels({"none": {}, "dog": {"dog-0": 1}}))
    made = synthesizer(tmp_path, lists=2, size=3).make(given, 0, 2)
    assert {row.query for row in made.rows} <= {"dog"}
    assert made.counts["queries without a list"] >= 1
