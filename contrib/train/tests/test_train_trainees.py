"""Kinds of models: those that plugins bring, frozen documents, optimizers that are restored."""

from __future__ import annotations

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from spaniel import Context, UsageError
from spaniel.data import write_folder
from spaniel.testing import Cli, collection, contract
from spaniel_neural.testing import write_model
from spaniel_train.batch import Outputs, collate
from spaniel_train.checkpoints import Progress, Workplace
from spaniel_train.data import Data
from spaniel_train.models import load_trainee
from spaniel_train.protocols import ParameterGroup
from spaniel_train.recipe import Model
from spaniel_train.rows import Row, to_lines
from spaniel_train.steps import Gradients

PLAIN = collection()
test_bi_encoder = contract("trainee/bi-encoder")
test_sparse = contract("trainee/sparse")
test_cross_encoder = contract("trainee/cross-encoder")

test_multi_vector = contract("trainee/multi-vector", options={"query_tokens": 16})
test_masked_lm = contract("trainee/masked-lm", options={"reads": "both"})
test_causal_lm = contract("trainee/causal-lm")


def test_a_head_of_several_scores_is_no_cross_encoder_to_begin_from(tmp_path: Path) -> None:
    context = Context(tmp_path / "store", device="cpu", offline=True)
    folder = write_model(tmp_path / "two", task="sequence-classification", texts=["a cat"])
    with pytest.raises(UsageError, match="gives 2 scores a pair"):
        load_trainee(context, Model(kind="cross-encoder", base=str(folder)), torch.device("cpu"), tmp_path / "scratch")


PLUGIN = '''
"""A kind of model that ranks a whole list at once, and an objective that only it can serve."""
import json
import zlib
import numpy as np
import torch
from pydantic import Field
from spaniel import Component, Config, hookimpl


class Options(Config):
    size: int = Field(8, description="dimensions", ge=1)


@hookimpl
def trainee():
    yield Component("lists", config="{module}:Options", factory="{module}:Maker", summary="whole lists")


@hookimpl
def objective():
    yield Component("short", factory="{module}:Short", summary="vectors of lists stay short")


class Short:
    needs = frozenset({{"lists"}})

    def __init__(self, config, context):
        pass

    def loss(self, outputs, batch):
        return outputs.more["lists"].square().mean()


class Maker:
    task = "encoder"
    gives = frozenset({{"lists"}})
    evaluates = frozenset({{"rerank"}})

    def __init__(self, config, context):
        self.config = config

    def check(self, spec):
        from spaniel_train.models import refuse
        refuse(spec, "list", "pooling", "lora")

    def load(self, spec, folder, device):
        return make_trainee(self.config.size)


def make_trainee(size):
    from spaniel_train.models import ScoringTrainee
    from spaniel_train.batch import Outputs

    class Lists(ScoringTrainee):
        """Reads a query with all texts of its group; its outputs have parameters, too."""

        def items(self, batch):
            return [(row.query, *(batch.texts[t] for t in group if t >= 0))
                    for row, group in zip(batch.rows, batch.groups.tolist())]

        def represent(self, items):
            width = max(len(item) for item in items) - 1
            made = torch.zeros(len(items), width, self.model.words.embedding_dim)
            for row, (query, *texts) in enumerate(items):
                vectors = [self.model.bag(query + " " + text) for text in texts]
                made[row, :len(vectors)] = torch.stack(vectors)
            return self.model.drop(made)

        def outputs(self, representations, batch):
            scores = self.model.head(self.model.drop(representations))[..., 0]
            return Outputs(torch.where(batch.filled, scores, 0.0), more={{"lists": representations}})

        def score(self, queries, lists):
            made = [self.model.head(self.model.bag(q + " " + t)) for q, texts in zip(queries, lists) for t in texts]
            return torch.cat(made).detach().numpy() if made else np.zeros(0, np.float32)

        def save(self, folder):
            folder.mkdir()
            (folder / "said.json").write_text(json.dumps(self.model.words.weight.sum().item()))

    class Module(torch.nn.Module):
        device = torch.device("cpu")

        def __init__(self):
            super().__init__()
            self.words, self.head = torch.nn.EmbeddingBag(64, size), torch.nn.Linear(size, 1)
            self.drop = torch.nn.Dropout(0.2)

        def bag(self, text):
            words = [zlib.crc32(word.encode()) % 64 for word in text.split()] or [0]
            return self.words(torch.tensor([words]))[0]

    return Lists(Module())
'''


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("kinds")
    texts = [document.contents for document in PLAIN.documents]
    write_model(root / "encoder", "bert", "encoder", texts=[*texts, *PLAIN.queries.texts], initializer_range=0.1)
    write_folder(root / "data", PLAIN.documents, PLAIN.queries, {"train": PLAIN.qrels, "test": PLAIN.qrels})
    rows = [Row(f"{t.split()[0]} {n}", (t,), (texts[n - 1], texts[n - 2])) for n, t in enumerate(texts) if t.split()]
    (root / "rows.jsonl").write_text(to_lines(rows))
    return root


def recipe(home: Path, path: Path, **more: Any) -> Path:
    content = {
        "model": {"kind": "bi-encoder", "base": str(home / "encoder"), "max_length": 32},
        "data": [{"rows": str(home / "rows.jsonl")}],
        "objectives": [{"use": "info-nce"}],
        "optimizer": {"use": "adamw(learning_rate=0.001)"},
        "batches": {"size": 4, "negatives": 1, "part": 3},
        "steps": 4,
        "checkpoint": 1,
    }
    path.write_text(yaml.safe_dump({**content, **more}))
    return path


def test_a_plugin_brings_a_kind_of_model(home: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "lists_plugin.py"
    plugin.write_text(PLUGIN.format(module="lists_plugin"))
    cli = Cli(tmp_path)
    evaluation = {"collection": str(home / "data"), "split": "train", "every": 2, "rerank": "bm25(k=5)"}
    objectives = [{"use": "info-nce(scale=1, in_batch=false)"}, {"use": "short", "weight": 0.1}]
    model = {"kind": "lists(size=4)", "base": str(home / "encoder")}
    batches = {"size": 4, "negatives": 2, "part": 3, "cached": True}
    path = recipe(home, tmp_path / "r.yaml", model=model, evaluation=evaluation, objectives=objectives, batches=batches)
    ran = cli("--plugin", str(plugin), "train", str(path), "--device", "cpu", "--offline", "--json")
    assert ran.exit_code == 0, ran.stderr
    assert list(ran.json["evaluations"]) == ["2", "4"]
    assert {"info-nce(scale=1, in_batch=false)", "short", "loss"} == set(ran.json["losses"][0])
    assert isinstance(json.loads((tmp_path / "r" / "said.json").read_text()), float)
    del evaluation["rerank"]
    model["pooling"] = "cls"
    path = recipe(home, tmp_path / "s.yaml", model=model, evaluation=evaluation)
    told = cli("--plugin", str(plugin), "train", str(path), "--check").stderr
    for said in ("model.pooling is nothing for a list", "needs lists to rerank", "in_batch=false for that"):
        assert said in told
    path = recipe(home, tmp_path / "t.yaml", objectives=objectives)
    assert "short needs lists" in cli("--plugin", str(plugin), "train", str(path), "--check").stderr


def test_outputs_with_parameters_have_the_same_gradient_when_cached(tmp_path: Path) -> None:
    (tmp_path / "lists.py").write_text(PLUGIN.format(module="lists"))
    spec = spec_from_file_location("lists", tmp_path / "lists.py")
    assert spec is not None
    assert spec.loader is not None
    plugin = module_from_spec(spec)
    spec.loader.exec_module(plugin)
    rows = [Row(f"q{n} a", (f"p{n} b",), tuple(f"n{n} {m}" for m in range(n % 3))) for n in range(7)]
    batch = collate(rows, {}, 1, 2, np.random.default_rng(0))
    found = []
    for cached in (False, True):
        torch.manual_seed(0)
        trainee = plugin.make_trainee(4)
        Gradients(trainee, 2, cached).add(batch, lambda o, b: o.scores.exp().mean(), 1.0, lambda part: part)
        found.append(torch.cat([p.grad.flatten() for p in trainee.model.parameters()]))
    assert torch.allclose(*found, atol=1e-6)
    assert float(found[0][-5:].abs().min()) > 0  # those of the head


def test_frozen_documents_stay_and_only_queries_learn(home: Path, tmp_path: Path) -> None:
    context = Context(tmp_path / "store", device="cpu", offline=True)
    encoder = f"sentence-transformer(model='{home / 'encoder'}')"
    rows = [Row(f"q {n}", (text,)) for n, text in enumerate(d.contents for d in PLAIN.documents) if text.strip()][:6]
    data = Data(tuple(rows), np.zeros(len(rows), np.int64), ("one",))
    batch = collate(rows, data.known, 1, 0, np.random.default_rng(0))
    objective = context.create("objective", "info-nce")
    gradients, vectors = [], []
    for documents in (encoder, None):
        spec = Model(kind="bi-encoder", base=str(home / "encoder"), documents=documents)  # type: ignore[arg-type]
        trainee = load_trainee(context, spec, torch.device("cpu"), tmp_path / "x")
        trainee.model.eval()
        trainee.meet([objective], data)

        def detached(outputs: Outputs, batch: Any, trainee: Any = trainee) -> torch.Tensor:
            texts = outputs.texts.detach()  # type: ignore[union-attr]
            vectors.append(torch.nn.functional.normalize(texts, dim=1))
            return objective.loss(trainee.compared(outputs.queries, texts, batch), batch)  # type: ignore[no-any-return]

        Gradients(trainee, 4, False).add(batch, detached, 1.0, lambda part: part)
        gradients.append(torch.cat([p.grad.flatten() for p in trainee.model.parameters() if p.grad is not None]))
    assert torch.allclose(*vectors, atol=1e-5)
    assert torch.allclose(*gradients, atol=1e-5)
    assert float(gradients[0].abs().max()) > 1e-4
    # By a recipe: what was an index before is one after, and the evaluation searches it with the new queries.
    model = {"kind": "bi-encoder", "base": str(home / "encoder"), "max_length": 32, "documents": encoder}
    evaluation = {"collection": str(home / "data"), "split": "train", "every": 2, "keep": "last"}
    path = recipe(home, tmp_path / "r.yaml", model=model, evaluation=evaluation)
    cli = Cli(tmp_path)
    ran = cli("train", str(path), "--device", "cpu", "--offline", "--json")
    assert ran.exit_code == 0, ran.stderr
    from sentence_transformers import SentenceTransformer
    from spaniel.collections import find_dataset
    from spaniel.data import Run
    from spaniel.evaluation import evaluate
    from spaniel.indexing import open_corpus

    dataset = find_dataset(context, str(home / "data"))
    corpus, queries, qrels = open_corpus(context, dataset.documents()), dataset.queries("train"), dataset.qrels("train")
    asked = SentenceTransformer(str(tmp_path / "r"), device="cpu").encode(queries.texts)
    held = context.create("encode", encoder).encode(corpus.contents(range(len(corpus))), "document")["dense"].values
    scores = asked @ (held / np.maximum(np.linalg.norm(held, axis=1, keepdims=True), 1e-9)).T
    rows_, best = np.argsort(-scores, axis=1, kind="stable").astype(np.int32), np.sort(-scores, axis=1) * -1
    run = Run.from_matrix(rows_, best.astype(np.float32))
    (value,) = evaluate(run, queries, corpus, qrels, ["nDCG@10"]).means.values()
    assert ran.json["evaluations"]["4"] == pytest.approx(value, abs=1e-6)
    spec = Model(kind="bi-encoder", base=str(home / "encoder"), similarity="dot", documents=encoder)  # type: ignore[arg-type]
    trainee = load_trainee(context, spec, torch.device("cpu"), tmp_path / "x")
    with pytest.raises(UsageError, match="compares vectors by"):
        trainee.meet([], data)


@pytest.mark.parametrize("scaled", [False, True])
def test_adafactor_is_that_of_transformers_and_is_restored(tmp_path: Path, scaled: bool) -> None:
    from transformers.optimization import Adafactor

    context = Context(tmp_path / "store", device="cpu", offline=True)
    maker = context.create("optimizer", f"adafactor(learning_rate=0.01, scale_parameter={str(scaled).lower()})")

    def model() -> torch.nn.Linear:
        torch.manual_seed(0)
        return torch.nn.Linear(5, 3)

    def run(net: torch.nn.Linear, optimizer: torch.optim.Optimizer, steps: range) -> None:
        for step in steps:
            optimizer.zero_grad()
            net(torch.full((2, 5), 1.0 + step)).square().sum().backward()
            optimizer.step()

    nets = [model() for _ in range(3)]
    mine = [maker.make([ParameterGroup("all", dict(net.named_parameters()))]) for net in nets[:2]]
    theirs = Adafactor(nets[2].parameters(), lr=0.01, scale_parameter=scaled, relative_step=False)
    run(nets[0], mine[0], range(6))
    run(nets[2], theirs, range(6))
    assert all(torch.equal(a, b) for a, b in zip(nets[0].parameters(), nets[2].parameters(), strict=True))
    run(nets[1], mine[1], range(3))
    workplace = Workplace(tmp_path / "work")
    workplace.begin({}, False, False)
    workplace.save(Progress(step=3), nets[1], [mine[1]])
    fresh = model()
    again = maker.make([ParameterGroup("all", dict(fresh.named_parameters()))])
    assert workplace.restore(fresh, [again]).step == 3
    run(fresh, again, range(3, 6))
    assert all(torch.equal(a, b) for a, b in zip(fresh.parameters(), nets[0].parameters(), strict=True))


def test_multi_vectors_load_in_sentence_transformers_and_in_the_token_encoder(home: Path, tmp_path: Path) -> None:
    from sentence_transformers import MultiVectorEncoder

    model = {"kind": "multi-vector(dimensions=12, query_tokens=10)", "base": str(home / "encoder"), "max_length": 32}
    evaluation = {"collection": str(home / "data"), "split": "train", "every": 4, "keep": "last"}
    batches = {"size": 4, "negatives": 1, "part": 3, "cached": True}
    path = recipe(home, tmp_path / "r.yaml", model=model, evaluation=evaluation, batches=batches)
    ran = Cli(tmp_path)("train", str(path), "--device", "cpu", "--offline", "--json")
    assert ran.exit_code == 0, ran.stderr
    texts = ["the dog, a spaniel", "a ship sails", "cats sleep"]
    theirs = MultiVectorEncoder(str(tmp_path / "r"), device="cpu", local_files_only=True)
    expected = theirs.similarity(theirs.encode_query(texts), theirs.encode_document(texts)).numpy()
    context = Context(tmp_path / "store", device="cpu", offline=True)
    spec = Model(kind="multi-vector", base=str(tmp_path / "r"))  # type: ignore[arg-type]
    trainee = load_trainee(context, spec, torch.device("cpu"), tmp_path / "x")
    trainee.model.eval()
    batch = collate([Row(text, (text,)) for text in texts], {}, 1, 0, np.random.default_rng(0))
    with torch.no_grad():
        outputs = trainee.outputs(trainee.represent(trainee.items(batch)), batch)
    assert np.allclose(outputs.matrix.numpy(), expected, atol=1e-5)  # type: ignore[union-attr]
    assert expected.std() > 1e-3
    encoder = context.create("encode", f"token-encoder(model='{tmp_path / 'r'}')")
    asked, held = (encoder.encode(texts, role)["multi-vector"] for role in ("query", "document"))
    assert np.allclose(asked.maxsim(held), expected, atol=1e-4)


def test_multi_vectors_have_the_loss_of_sentence_transformers(home: Path, tmp_path: Path) -> None:
    from sentence_transformers.multi_vector_encoder.losses import MultiVectorMultipleNegativesRankingLoss

    context = Context(tmp_path / "store", device="cpu", offline=True)
    spec = Model(kind="multi-vector(dimensions=12)", base=str(home / "encoder"))  # type: ignore[arg-type]
    trainee = load_trainee(context, spec, torch.device("cpu"), tmp_path / "x")
    trainee.model.eval()
    rows = [Row(f"q {n}", (d.contents,)) for n, d in enumerate(list(PLAIN.documents)[:8]) if d.contents.strip()]
    rows = list({row.positives: row for row in rows}.values())
    batch = collate(rows, {}, 1, 0, np.random.default_rng(0))
    features = [
        trainee.features(texts, prompt=None, task=role)  # type: ignore[attr-defined]
        for texts, role in (([row.query for row in rows], "query"), (batch.texts, "document"))
    ]
    theirs = MultiVectorMultipleNegativesRankingLoss(trainee.model)(features, None)
    objective = context.create("objective", "info-nce(scale=1)")
    for cached in (False, True):
        trainee.model.zero_grad()
        total = Gradients(trainee, 3, cached).add(batch, objective.loss, 1.0, lambda part: part)
        assert total == pytest.approx(float(theirs.detach()), rel=1e-4)
    mine = [p.grad.clone() for p in trainee.model.parameters() if p.grad is not None]
    trainee.model.zero_grad()
    theirs.backward()
    wanted = [p.grad for p in trainee.model.parameters() if p.grad is not None]
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(mine, wanted, strict=True))
