"""Training: what is saved loads in sentence-transformers, kills, gradient caching, samplers, recipes, synthesis."""

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
from spaniel import Context, Corpus, Document, UsageError
from spaniel.data import write_folder
from spaniel.learning import Lesson, read_lessons, write_lessons
from spaniel.testing import Cli, collection, contract
from spaniel_neural.testing import write_model
from spaniel_train.data import Data, plan_epoch
from spaniel_train.models import Trainee, load_trainee
from spaniel_train.recipe import Batches, Model
from spaniel_train.rows import Row, read_rows, score_key, to_lines
from spaniel_train.spool import Answers, RowFile
from spaniel_train.steps import Gradients
from spaniel_train.training import collate

PLAIN = collection()
test_negatives = contract("synthesize/negatives")
test_titles = contract("synthesize/titles")
test_labels = contract("synthesize/labels", options={"scorer": "minilm"})
test_average = contract("adapt/average", options={"models": ["other"]})
TASKS = {"bi-encoder": "encoder", "sparse": "masked-lm", "cross-encoder": "encoder"}
OBJECTIVES = {
    "bi-encoder": [{"use": "info-nce"}],
    "sparse": [
        {"use": "info-nce(scale=1)"},
        {"use": "flops", "weight": {"end": 0.01, "steps": 3, "shape": "quadratic"}},
    ],
    "cross-encoder": [{"use": "info-nce(scale=1, in_batch=false)"}],
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny models, a collection, and training rows."""
    root = tmp_path_factory.mktemp("train")
    texts = [document.contents for document in PLAIN.documents]
    words = [*texts, *PLAIN.queries.texts]
    for task in set(TASKS.values()):
        write_model(root / task, "bert", task, texts=words, initializer_range=0.1)
    write_folder(root / "data", PLAIN.documents, PLAIN.queries, {"train": PLAIN.qrels, "test": PLAIN.qrels})
    rows = [Row(f"{t.split()[0]} {n}", (t,), (texts[n - 1], texts[n - 2])) for n, t in enumerate(texts) if t.split()]
    (root / "rows.jsonl").write_text(to_lines(rows))
    return root


def recipe(home: Path, path: Path, kind: str = "bi-encoder", **more: Any) -> Path:
    content = {
        "model": {"kind": kind, "base": str(home / TASKS[kind]), "max_length": 32},
        "data": [{"rows": str(home / "rows.jsonl")}],
        "objectives": OBJECTIVES[kind],
        "optimizer": {"use": "adamw(learning_rate=0.001)"},
        "batches": {"size": 4, "negatives": 1, "part": 3},
        "steps": 4,
        "checkpoint": 1,
    }
    path.write_text(yaml.safe_dump({**content, **more}))
    return path


def trainee_of(spec: Model, path: Path) -> Trainee:
    context = Context(path / "store", device="cpu", offline=True)
    return load_trainee(context, spec, torch.device("cpu"), path / "fresh")


@pytest.mark.parametrize("kind", ["bi-encoder", "sparse", "cross-encoder"])
def test_it_loads_in_sentence_transformers_and_scores_the_same(home: Path, tmp_path: Path, kind: str) -> None:
    import sentence_transformers as peers

    rerank = {"rerank": "bm25(k=5)"} if kind != "bi-encoder" else {}
    evaluation = {"collection": str(home / "data"), "split": "train", "every": 2, "keep": "last", **rerank}
    path = recipe(home, tmp_path / "r.yaml", kind, evaluation=evaluation)
    ran = Cli(tmp_path)("train", str(path), "--device", "cpu", "--offline", "--json")
    assert ran.exit_code == 0, ran.stderr
    report = ran.json
    assert list(report["evaluations"]) == ["2", "4"]
    assert report["optimizers"][0]["state_bytes"] > 7 * report["optimizers"][0]["parameters"]
    loaded = {"bi-encoder": "SentenceTransformer", "sparse": "SparseEncoder", "cross-encoder": "CrossEncoder"}[kind]
    model = getattr(peers, loaded)(str(tmp_path / "r"), device="cpu", local_files_only=True)
    spec = Model(kind=kind, base=str(tmp_path / "r"), max_length=32)  # type: ignore[arg-type]
    trainee = trainee_of(spec, tmp_path)
    trainee.model.eval()
    texts = ["the dog", "a ship sails"]
    with torch.no_grad():
        if kind == "cross-encoder":
            pairs = [(texts[0], texts[1]), (texts[1], texts[1])]
            assert np.allclose(model.predict(pairs), trainee.represent(pairs).numpy(), atol=1e-6)
        else:
            made = model.encode(texts, convert_to_tensor=True)
            made = made.to_dense() if made.is_sparse else made
            assert torch.allclose(made, trainee.represent([(text, "document") for text in texts]), atol=1e-6)
    base = trainee_of(Model(kind=kind, base=str(home / TASKS[kind])), tmp_path)  # type: ignore[arg-type]
    moved = zip(base.model.parameters(), trainee.model.parameters(), strict=True)
    assert sum(float((one - two).abs().sum()) for one, two in moved) > 0.1


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_a_killed_training_ends_in_the_same_weights(home: Path, tmp_path: Path) -> None:
    evaluation = {"collection": str(home / "data"), "split": "train", "every": 5}
    more = {"steps": 40, "checkpoint": 3, "evaluation": evaluation}
    batches = {"size": 4, "negatives": 1, "part": 3, "accumulation": 2}
    path = recipe(home, tmp_path / "r.yaml", batches=batches, **more)
    cli = Cli(tmp_path)
    arguments = ("train", str(path), "--device", "cpu", "--offline", "-o")
    assert cli(*arguments, str(tmp_path / "whole")).exit_code == 0
    command = [sys.executable, "-c", "from spaniel.cli import main; main(prog_name='spaniel')", *arguments]
    stopped = subprocess.Popen([*command, str(tmp_path / "killed")], env={**os.environ, **cli.env})
    work = tmp_path / ".killed.training"
    deadline = time.monotonic() + 60
    while not list(work.glob("step-*")) and stopped.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    stopped.send_signal(signal.SIGKILL)
    assert stopped.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed").exists()
    refused = cli(*arguments, str(tmp_path / "killed"))
    assert refused.exit_code != 0
    assert "--resume" in refused.stderr
    other = cli(*arguments, str(tmp_path / "killed"), "--resume", "--seed", "7")
    assert "seed changed" in other.stderr
    again = cli(*arguments, str(tmp_path / "killed"), "--resume")
    assert again.exit_code == 0, again.stderr
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")
    reports = [json.loads((tmp_path / f"{name}.json").read_text()) for name in ("whole", "killed")]
    assert reports[0]["losses"] == reports[1]["losses"]
    assert reports[0]["evaluations"] == reports[1]["evaluations"]
    assert not work.exists()


@pytest.mark.parametrize("kind", ["bi-encoder", "cross-encoder"])
def test_cached_gradients_are_those_of_the_whole_batch(home: Path, tmp_path: Path, kind: str) -> None:
    rows = list(read_rows(home / "rows.jsonl"))[:6]
    batch = collate(rows, {}, 1, 2, np.random.default_rng(0))
    context = Context(tmp_path / "store", device="cpu", offline=True)
    objective = context.create("objective", OBJECTIVES[kind][0]["use"])
    found = []
    for cached in (False, True):
        spec = Model(kind=kind, base=str(home / TASKS[kind]))  # type: ignore[arg-type]
        trainee = trainee_of(spec, tmp_path)
        trainee.model.train()  # with dropout
        total = Gradients(trainee, 5, cached).add(batch, objective.loss, 0.5, lambda part: part)
        grads = [p.grad for p in trainee.model.parameters() if p.grad is not None]
        found.append((total, torch.cat([grad.flatten() for grad in grads])))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-6)
    assert torch.allclose(found[0][1], found[1][1], atol=1e-5)
    assert float(found[0][1].abs().max()) > 1e-4


def test_low_rank_matrices_are_merged_and_bfloat16_trains(home: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    from safetensors.torch import load_file

    spec = {"kind": "bi-encoder", "base": str(home / "encoder"), "max_length": 32, "lora": {"rank": 2}}
    path = recipe(home, tmp_path / "r.yaml", model=spec, dtype="bfloat16")
    ran = Cli(tmp_path)("train", str(path), "--device", "cpu", "--offline")
    assert ran.exit_code == 0, ran.stderr
    base, made = (load_file(folder / "model.safetensors") for folder in (home / "encoder", tmp_path / "r"))
    changed = {name for name in made if not torch.equal(made[name], base[name])}
    assert changed
    assert all("query" in name or "value" in name for name in changed)


def test_a_fresh_model_stops_early_and_keeps_the_best(home: Path, tmp_path: Path) -> None:
    fresh = {"family": "bert", "tokenizer": str(home / "encoder")}
    fresh["settings"] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}  # type: ignore[assignment]
    evaluation = {"collection": str(home / "data"), "split": "train", "every": 1, "patience": 2}
    more = {"optimizer": {"use": "sgd(learning_rate=1e-12)"}, "evaluation": evaluation, "steps": 50}
    path = recipe(home, tmp_path / "r.yaml", model={"kind": "bi-encoder", "fresh": fresh, "max_length": 32}, **more)
    report = Cli(tmp_path)("train", str(path), "--device", "cpu", "--offline", "--json").json
    assert (report["steps"], report["best_step"]) == (3, 1)
    told = [(one.source, one.how, len(one.keys)) for one in read_lessons(tmp_path / "r")]
    rows = sum(bool(document.contents.split()) for document in PLAIN.documents)
    assert told == [("rows.jsonl", "trained", rows), ("data train", "chosen", len(PLAIN.queries))]


def test_batches_keep_what_they_are_told_together() -> None:
    rows = [Row(f"q{n % 7}", (f"p{n % 5}",), domain="ab"[n % 2]) for n in range(40)]
    data = Data(tuple(rows), np.arange(40) // 20, ("one", "two"))
    for together, key in (("dataset", lambda r: r // 20), ("domain", lambda r: rows[r].domain)):
        planned = plan_epoch(data, Batches(size=6, together=together), np.random.default_rng(0))  # type: ignore[arg-type]
        assert sorted(np.concatenate(planned).tolist()) == list(range(40))
        assert all(len({key(row) for row in batch.tolist()}) == 1 for batch in planned)
    for batch in plan_epoch(data, Batches(size=6, distinct=True), np.random.default_rng(0)):
        assert len({rows[row].query for row in batch.tolist()}) == len(batch)
        assert len({rows[row].positives for row in batch.tolist()}) == len(batch)


def test_rows_are_read_from_disk_as_they_were_given(home: Path) -> None:
    rows = [
        *read_rows(home / "rows.jsonl"),
        Row("", ("ö",), weights={"a": 0.5}, scores={"k": 1.0}, provenance={"n": [1]}),
    ]
    rows += [Row("same", ("x",)), Row("same", ("y", "x")), Row("other", ("z",))]
    kept = RowFile()
    assert kept.extend(rows[:5], repeat=3) == 5
    assert kept.extend(iter(rows[5:])) == len(rows) - 5
    expected = rows[:5] * 3 + rows[5:]
    assert list(kept) == expected
    assert [kept[place] for place in (-1, 7)] == [expected[-1], expected[7]]
    assert kept[2:9:3] == expected[2:9:3]
    told: dict[str, set[str]] = {}
    for row in rows:
        told.setdefault(row.query, set()).update(row.positives)
    answers = Answers(kept)
    assert all(answers.get(query, frozenset()) == texts for query, texts in told.items() if query)
    assert answers.get("", frozenset("n")) == answers.get("nobody", frozenset("n")) == {"n"}


def test_every_fault_of_a_recipe_is_named_with_its_line(home: Path, tmp_path: Path) -> None:
    more: dict[str, Any] = {"data": [{"rows": "nowhere.jsonl"}], "objectives": [{"use": "info-nce"}, {"use": "ranknt"}]}
    path = recipe(home, tmp_path / "r.yaml", "cross-encoder", **more)
    ran = Cli(tmp_path)("train", str(path), "--check")
    assert ran.exit_code == 2
    for place in ("data[0].rows", "objectives[0].use", "objectives[1].use"):
        assert place in ran.stderr
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "ranknt" in text)
    assert f"r.yaml:{line}:" in ran.stderr
    path = recipe(home, tmp_path / "r.yaml", steps="many", checkpoint=0)
    ran = Cli(tmp_path)("train", str(path), "--check")
    assert "steps" in ran.stderr
    assert "checkpoint" in ran.stderr


def test_negatives_obey_their_rules_and_resume(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spaniel_train import streaming

    context = Context(tmp_path / "store", device="cpu", offline=True)
    method = "negatives(retriever=bm25(k=10), first_rank=2, last_rank=6, count=3)"
    data = str(home / "data")
    report = streaming.stream_rows(context, method, data, "train", tmp_path / "whole.jsonl")
    material = streaming.collection_material(context, data, "train")
    run = context.run("bm25(k=10)", material.queries, material.corpus)
    for row in read_rows(tmp_path / "whole.jsonl"):
        place = material.queries.ids.index(row.provenance["query"])
        listed = material.corpus.contents(run.rows[run.offsets[place] : run.offsets[place + 1]])[1:6]
        expected = [text for text in listed if text not in row.positives]
        assert list(row.negatives) == list(dict.fromkeys(expected[:3]))
    assert report["counts"]["rows"] == report["rows"] > 0
    monkeypatch.setattr(streaming, "PIECE", 2)
    made, calls = streaming.to_lines, []

    def stop(rows: Any) -> str:
        calls.append(rows)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return made(rows)

    monkeypatch.setattr(streaming, "to_lines", stop)
    with pytest.raises(KeyboardInterrupt):
        streaming.stream_rows(context, method, data, "train", tmp_path / "rest.jsonl")
    monkeypatch.setattr(streaming, "to_lines", made)
    with pytest.raises(UsageError, match="--resume"):
        streaming.stream_rows(context, method, data, "train", tmp_path / "rest.jsonl")
    streaming.stream_rows(context, method, data, "train", tmp_path / "rest.jsonl", resume=True)
    assert (tmp_path / "rest.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_rules_of_scores_and_labels_follow_the_scorer(home: Path, tmp_path: Path) -> None:
    from spaniel_train.streaming import stream_rows

    context = Context(tmp_path / "store", device="cpu", offline=True)
    scorer = f"sentence-transformer(model='{home / 'encoder'}')"
    plain = "retriever=bm25(k=10), count=10, keep_empty=true"
    data = str(home / "data")
    stream_rows(context, f"negatives({plain})", data, "train", tmp_path / "all.jsonl")
    stream_rows(context, f"labels(scorer={scorer})", str(tmp_path / "all.jsonl"), None, tmp_path / "labelled.jsonl")
    labelled = list(read_rows(tmp_path / "labelled.jsonl"))
    seen = []
    for rule, ceiling in (
        ("margin=0.002", lambda low: low - 0.002),
        ("percent_of_positive=99.9", lambda low: 0.999 * low),
        ("highest=0.99", lambda low: 0.99),
    ):
        out = tmp_path / f"{rule}.jsonl"
        report = stream_rows(context, f"negatives({plain}, scorer={scorer}, {rule})", data, "train", out)
        for one, row in zip(labelled, read_rows(out), strict=True):
            low = min(one.scores[score_key(one.query, text)] for text in one.positives)
            passed = [text for text in one.negatives if one.scores[score_key(one.query, text)] < ceiling(low)]
            assert list(row.negatives) == passed
            seen += [len(passed), len(one.negatives) - len(passed)]
        rejected = report["counts"][f"rejected by {rule.partition('=')[0]}"]
        assert rejected == sum(len(one.negatives) for one in labelled) - report["counts"]["negatives"]
    assert sum(seen[::2]) > 0
    assert sum(seen[1::2]) > 0


def test_averages_are_the_means_of_weights(home: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    for name, seed in (("one", 1), ("two", 2)):
        write_model(tmp_path / name, texts=["a dog"], seed=seed)
        write_lessons(tmp_path / name, [Lesson.of(name, ["a dog"]), Lesson.of("both", ["a cat"])])
    method = f"average(models=['{tmp_path / 'two'}'], weight=0.25)"
    ran = Cli(tmp_path)("adapt", method, str(tmp_path / "one"), "-o", str(tmp_path / "mean"))
    assert ran.exit_code == 0, ran.stderr
    one, two, mean = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two", "mean"))
    assert all(torch.allclose(mean[name], 0.25 * one[name] + 0.75 * two[name], atol=1e-6) for name in one)
    assert (tmp_path / "mean" / "tokenizer.json").is_file()
    assert sorted(one.source for one in read_lessons(tmp_path / "mean")) == ["both", "one", "two"]
    ran = Cli(tmp_path)(
        "adapt", f"average(models=['{home / 'masked-lm'}'])", str(tmp_path / "one"), "-o", str(tmp_path / "x")
    )
    assert ran.exit_code != 0
    assert not (tmp_path / "x").exists()


def test_language_models_ask_the_same_whatever_the_piece(home: Path, tmp_path: Path) -> None:
    from spaniel_train.material import collection_material

    words = [document.contents for document in PLAIN.documents]
    write_model(tmp_path / "lm", "llama", "causal-lm", texts=words, max_position_embeddings=256)
    context = Context(tmp_path / "store", device="cpu", offline=True)
    lm = f"transformers(model='{tmp_path / 'lm'}')"
    made = context.create("synthesize", f"lm-queries(lm={lm}, queries=2, max_tokens=5, words=1, text_characters=60)")
    material = collection_material(context, str(home / "data"), None)
    whole = made.make(material, 0, 4)
    parts = [made.make(material, start, start + 2) for start in (0, 2)]
    assert [*parts[0].rows, *parts[1].rows] == list(whole.rows)
    assert whole.counts["queries"] == 8
    assert 0 < len(whole.rows) <= 8
    texts = material.need_corpus("").contents([0, 1, 2, 3])
    assert all(row.positives[0] in texts and len(row.query.split()) >= 1 for row in whole.rows)


def test_titles_of_languages_without_spaces_are_long_enough() -> None:
    from types import SimpleNamespace

    from spaniel_train.config import TitlesConfig
    from spaniel_train.synthesizers.titles import Titles

    documents = [
        Document("a", "中文检索系统", "今天的天气真的非常好明天可能会下大雨吧我们去公园玩"),
        Document("b", "中", "短"),
    ]
    material: Any = SimpleNamespace(name="x", need_corpus=lambda what: Corpus.from_documents(documents))
    made = Titles(TitlesConfig(), None).make(material, 0, 2)  # type: ignore[arg-type]
    assert [row.query for row in made.rows] == ["中文检索系统"]
