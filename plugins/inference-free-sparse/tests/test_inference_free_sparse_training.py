"""Objectives and teachers by their formulas, the folder in sentence-transformers, a whole training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from spaniel import Context, UsageError
from spaniel.data import write_folder
from spaniel.testing import Cli, collection, contract
from spaniel_inference_free_sparse.config import (
    EnsembleConfig,
    EnsembleLabelsConfig,
    EnsembleObjectiveConfig,
    GroupedFlopsConfig,
    NegativesNceConfig,
)
from spaniel_inference_free_sparse.distillation import EnsembleDistillation, divergence
from spaniel_inference_free_sparse.labels import EnsembleLabels
from spaniel_inference_free_sparse.objectives import GroupedFlops, NegativesNce
from spaniel_inference_free_sparse.teacher import Ensemble, Member, min_max
from spaniel_neural.testing import write_model
from spaniel_train.batch import Batch, Outputs, collate
from spaniel_train.material import Material
from spaniel_train.recipe import Ramp
from spaniel_train.rows import Row, read_rows, score_key, to_lines
from spaniel_train.schedules import weight_at

PLAIN = collection()
TEXTS = [document.contents for document in PLAIN.documents]
test_grouped_flops = contract("objective/grouped-flops")
test_negatives_nce = contract("objective/negatives-nce")
test_adapt = contract("adapt/inference-free", options={"idf": "english"})
test_ensemble = contract("objective/ensemble", options={"members": ["minilm"]})
test_labels = contract("synthesize/ensemble", options={"members": ["minilm"]})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny masked language model, a collection, and training rows."""
    root = tmp_path_factory.mktemp("inference-free")
    write_model(root / "model", "bert", "masked-lm", texts=[*TEXTS, *PLAIN.queries.texts], initializer_range=0.3)
    write_folder(root / "data", PLAIN.documents, PLAIN.queries, {"train": PLAIN.qrels, "test": PLAIN.qrels})
    rows = [Row(f"{t.split()[0]} {n}", (t,), (TEXTS[n - 1], TEXTS[n - 2])) for n, t in enumerate(TEXTS) if t.split()]
    (root / "rows.jsonl").write_text(to_lines(rows))
    return root


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(tmp_path / "store", device="cpu", offline=True)


@pytest.fixture
def base(home: Path, tmp_path: Path) -> Path:
    """An encoder made of the tiny model, its table counted over the collection."""
    ran = Cli(tmp_path)(
        "adapt", f"inference-free(idf='{home / 'data'}')", str(home / "model"), "-o", str(tmp_path / "base")
    )
    assert ran.exit_code == 0, ran.stderr
    return tmp_path / "base"


def batch_of(groups: list[list[int]], relevant: list[list[bool]], texts: int) -> Batch:
    width = max(map(len, groups))
    filled = torch.tensor([g + [-1] * (width - len(g)) for g in groups])
    right = torch.tensor([r + [False] * (width - len(r)) for r in relevant])
    wrong = torch.ones((len(groups), texts), dtype=torch.bool)
    for row, (group, answers) in enumerate(zip(groups, relevant, strict=True)):
        wrong[row, [t for t, answer in zip(group, answers, strict=True) if answer]] = False
    rows = tuple(Row(f"query {n}", ("x",)) for n in range(len(groups)))
    return Batch(rows, tuple(TEXTS[:texts]), filled, right, wrong, torch.full(filled.shape, torch.nan))


def outputs_of(batch: Batch, width: int = 12, seed: int = 0) -> Outputs:
    made = torch.Generator().manual_seed(seed)
    queries = torch.rand((len(batch), width), generator=made)
    texts = (torch.rand((len(batch.texts), width), generator=made) - 0.4).relu().requires_grad_()
    matrix = queries @ texts.T
    return Outputs(torch.where(batch.filled, matrix.gather(1, batch.groups.clamp(min=0)), 0.0), matrix, queries, texts)


# FLOPS


def test_flops_of_groups_is_the_references_reshape() -> None:
    batch = batch_of([[0, 1, 2], [3, 4, 5]], [[True, False, False]] * 2, 6)
    outputs = outputs_of(batch)
    assert outputs.texts is not None
    shaped = outputs.texts.reshape(2, 3, -1)
    wanted = (shaped.abs().mean(dim=0) ** 2).sum()
    torch.testing.assert_close(GroupedFlops(GroupedFlopsConfig(), None).loss(outputs, batch), wanted)
    pooled = GroupedFlops(GroupedFlopsConfig(grouping="pooled"), None).loss(outputs, batch)
    torch.testing.assert_close(pooled, (outputs.texts.mean(dim=0) ** 2).sum())
    # The l0 mask: short documents have no weight, and still count in the mean.
    long = ((outputs.texts != 0).sum(dim=1) > 6).float()
    assert 0 < long.sum() < 6
    masked = ((shaped * long.reshape(2, 3, 1)).mean(dim=0) ** 2).sum()
    torch.testing.assert_close(GroupedFlops(GroupedFlopsConfig(threshold=6), None).loss(outputs, batch), masked)


def test_flops_of_groups_of_one_is_that_of_sentence_transformers() -> None:
    from sentence_transformers.sparse_encoder.losses import FlopsLoss

    batch = batch_of([[0], [1], [2]], [[True]] * 3, 3)
    outputs = outputs_of(batch)
    for threshold in (None, 4):
        peer = FlopsLoss(None, threshold).compute_loss_from_embeddings(outputs.texts)  # type: ignore[arg-type]
        torch.testing.assert_close(
            GroupedFlops(GroupedFlopsConfig(threshold=threshold), None).loss(outputs, batch), peer
        )


def test_a_text_of_several_groups_counts_in_each() -> None:
    batch = batch_of([[0, 1], [2, 1], [1]], [[True, False]] * 2 + [[True]], 3)
    outputs = outputs_of(batch)
    assert outputs.texts is not None
    t = outputs.texts
    places = (t[0] + t[2] + t[1]) / 3, (t[1] + t[1]) / 3
    wanted = sum((place**2).sum() for place in places)
    torch.testing.assert_close(GroupedFlops(GroupedFlopsConfig(), None).loss(outputs, batch), wanted)


def test_the_schedule_is_the_references_a_step_later() -> None:
    ramp = Ramp(end=0.02, steps=200, shape="quadratic")
    for step in (0, 1, 57, 198, 199, 200, 5000):
        wanted = 0.02 * min(1.0, ((step + 1) / 200)) ** 2
        assert weight_at(ramp, step + 1) == pytest.approx(wanted, rel=1e-12)


def test_the_closed_form_of_one_document() -> None:
    """L = -Σ idf d + λ Σ d² ends at d = idf / 2λ, and with query weights of 1 at the same d for every term."""
    idf, strength = torch.tensor([0.5, 1.0, 3.0, 8.0]), 0.7
    for table, wanted in ((idf, idf / (2 * strength)), (torch.ones(4), torch.full((4,), 1 / (2 * strength)))):
        d = torch.full((4,), 0.1, requires_grad=True)
        optimizer = torch.optim.SGD([d], lr=0.3)
        batch = batch_of([[0]], [[True]], 1)
        for _ in range(200):
            texts = d.relu()[None]
            outputs = Outputs((texts @ table)[:, None], None, table[None], texts)
            loss = -outputs.scores.sum() + strength * GroupedFlops(GroupedFlopsConfig(), None).loss(outputs, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        torch.testing.assert_close(d.detach(), wanted, rtol=1e-3, atol=0)


def test_idf_in_the_scores_is_a_penalty_of_one_over_its_square() -> None:
    batch = batch_of([[0, 1, 2], [3, 4, 5]], [[True, False, False]] * 2, 6)
    idf = torch.rand(12, dtype=torch.float64) * 5 + 0.1
    present = (torch.rand((2, 12)) < 0.5).double()
    nce, strength = NegativesNce(NegativesNceConfig(), None), 0.3

    def gradient(variable: torch.Tensor, d: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        matrix = present @ u.T
        outputs = Outputs(matrix.gather(1, batch.groups), matrix, present, d)
        loss = nce.loss(outputs, batch) + strength * GroupedFlops(GroupedFlopsConfig(), None).loss(outputs, batch)
        return torch.autograd.grad(loss, variable)[0]

    d = torch.rand((6, 12), dtype=torch.float64, requires_grad=True)
    u = (d.detach() * idf).requires_grad_()
    torch.testing.assert_close(gradient(d, d, d * idf), idf * gradient(u, u / idf, u), rtol=1e-6, atol=1e-9)


# Ranking losses


def test_negatives_of_all_rows_and_no_other_right_text() -> None:
    batch = batch_of([[0, 1, 2], [3, 4, 5]], [[True, False, False]] * 2, 6)
    outputs = outputs_of(batch)
    assert outputs.matrix is not None
    for in_batch, columns in ((True, [[0, 1, 2, 4, 5], [3, 1, 2, 4, 5]]), (False, [[0, 1, 2], [3, 4, 5]])):
        scores = torch.stack([outputs.matrix[row, places] for row, places in enumerate(columns)])
        wanted = torch.nn.functional.cross_entropy(scores / 0.5, torch.zeros(2, dtype=torch.long))
        made = NegativesNce(NegativesNceConfig(in_batch=in_batch, temperature=0.5), None).loss(outputs, batch)
        torch.testing.assert_close(made, wanted)


def test_an_answer_is_no_negative_whoever_names_it() -> None:
    rows = [Row("a", ("x",), ("z",)), Row("b", ("y",), ("x",))]
    known = {"a": frozenset({"x"}), "b": frozenset({"y"})}
    batch = collate(rows, known, 1, 1, np.random.default_rng(0))
    outputs = outputs_of(batch)
    made = NegativesNce(NegativesNceConfig(), None).loss(outputs, batch)
    assert outputs.matrix is not None
    m, place = outputs.matrix, {text: n for n, text in enumerate(batch.texts)}
    first = torch.logsumexp(m[0, [place["x"], place["z"]]], 0) - m[0, place["x"]]
    second = torch.logsumexp(m[1, [place["y"], place["x"], place["z"]]], 0) - m[1, place["y"]]
    torch.testing.assert_close(made, (first + second) / 2)


def test_the_divergence_is_that_of_torch() -> None:
    student, teacher = torch.randn(4, 7), torch.randn(4, 7) * 3
    peer = torch.nn.KLDivLoss(reduction="batchmean")(student.log_softmax(1), teacher.softmax(1))
    torch.testing.assert_close(divergence(student, teacher, torch.ones(4, 7, dtype=torch.bool)), peer)
    assert float(divergence(teacher + 5, teacher, torch.ones(4, 7, dtype=torch.bool))) == pytest.approx(0, abs=1e-6)


# Teachers


def test_min_max_does_not_feel_scale_or_shift() -> None:
    rng = np.random.default_rng(0)
    scores, wanted = rng.normal(size=(5, 9)).astype(np.float32), rng.random((5, 9)) < 0.7
    wanted[0] = False
    wanted[1, :2], wanted[1, 2:] = True, False
    wanted[2], scores[2] = True, 4.0
    made = min_max(scores, wanted, 1e-6)
    assert made.min() >= 0
    assert made.max() <= 1
    assert not made[0].any()
    # Two candidates are 0 and 1, whatever their scores; equal ones are 0.
    assert sorted(made[1, :2].round(4).tolist()) == [0, 1]
    assert not made[2].any()
    np.testing.assert_allclose(min_max(3 * scores - 7, wanted, 1e-6), made, atol=1e-5)


class Fixed:
    """Scores pairs by a number in the text."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def matrix(self, queries: Any, texts: Any, wanted: Any) -> Any:
        return np.array([[self.factor * len(text) + len(query) for text in texts] for query in queries], np.float32)


def test_an_ensemble_is_the_weighted_mean_of_scaled_members(context: Context) -> None:
    ensemble = Ensemble(context, EnsembleConfig(members=("minilm", "minilm"), weights=(3.0, 1.0), score_scale=10.0))
    ensemble.members = [Fixed(1.0), Fixed(-2.0)]  # type: ignore[list-item]
    wanted = np.ones((1, 3), bool)
    made = ensemble.matrix(["query"], ["a", "bb", "ccccc"], wanted)
    np.testing.assert_allclose(made, 10 * np.array([[0.25, 0.75 * 0.25 + 0.25 * 0.75, 0.75]]), atol=1e-4)
    with pytest.raises(ValueError, match="2 members"):
        EnsembleConfig(members=("a", "b"), weights=(1.0,))


def test_members_are_encoders_or_scorers_and_read_a_text_once(context: Context, base: Path) -> None:
    member = Member(context, f"inference-free(model='{base}')")
    texts, every = TEXTS[:6], np.ones((2, 6), bool)
    first = member.matrix(["the dog", "a ship"], texts, every)
    encoder = context.create("encode", f"inference-free(model='{base}')")
    direct = encoder.encode(["the dog", "a ship"], "query")["sparse"].dot(encoder.encode(texts, "document")["sparse"])
    np.testing.assert_allclose(first, direct, rtol=1e-5)
    encoder.__dict__["documents"] = None
    again = member.matrix(["a ship"], texts[::-1], every[:1])
    np.testing.assert_array_equal(again[0], first[1, ::-1])
    with pytest.raises(UsageError, match="neither"):
        Member(context, "bm25")


def test_rows_get_one_score_a_text(context: Context, base: Path) -> None:
    config = EnsembleLabelsConfig(members=(f"inference-free(model='{base}')",), score_scale=30.0)
    rows = [Row("the dog", (TEXTS[0],), tuple(TEXTS[1:4])), Row("a ship", (TEXTS[5],), (TEXTS[6],))]
    made = EnsembleLabels(config, context).make(Material("rows", "", rows=rows), 0, 2)
    assert made.counts["left out: too few texts"] == 1
    (row,) = made.rows
    values = [row.scores[score_key("the dog", text)] for text in TEXTS[:4]]
    assert min(values) == pytest.approx(0, abs=1e-4)
    assert max(values) == pytest.approx(30, abs=1e-3)


@pytest.mark.parametrize("loss", ["kl", "margin-mse"])
@pytest.mark.parametrize("in_batch", [True, False])
def test_distillation_is_its_formula(context: Context, loss: Any, in_batch: bool) -> None:
    batch = batch_of([[0, 1, 2], [3, 4, 5]], [[True, False, False]] * 2, 6)
    outputs = outputs_of(batch)
    config = EnsembleObjectiveConfig(
        members=("minilm",), loss=loss, in_batch=in_batch, score_scale=2.0, temperature=0.5
    )
    objective = EnsembleDistillation(config, context)
    objective.ensemble.members = [Fixed(1.0)]  # type: ignore[list-item]
    lengths = torch.tensor([[float(len(text)) for text in batch.texts]]).expand(2, -1)
    assert outputs.matrix is not None
    student = outputs.matrix if in_batch else outputs.scores
    raw = lengths if in_batch else lengths.gather(1, batch.groups)
    low, high = raw.amin(1, keepdim=True), raw.amax(1, keepdim=True)
    teacher = 2.0 * (raw - low) / (high - low + 1e-6)
    student, teacher = student / 0.5, teacher / 0.5
    if loss == "kl":
        wanted = torch.nn.KLDivLoss(reduction="batchmean")(student.log_softmax(1), teacher.softmax(1))
    else:
        own = batch.groups[:, :1] if in_batch else torch.zeros((2, 1), dtype=torch.long)
        margins = [(x.gather(1, own) - x) for x in (student, teacher)]
        squared = (margins[0] - margins[1]) ** 2
        wanted = squared.sum() / (squared.numel() - 2)
    torch.testing.assert_close(objective.loss(outputs, batch), wanted, rtol=1e-4, atol=1e-5)


# Folders


def test_the_folder_is_sentence_transformers_own(base: Path, context: Context) -> None:
    from sentence_transformers import SparseEncoder

    peer = SparseEncoder(str(base), device="cpu")
    encoder = context.create("encode", f"inference-free(model='{base}')")
    queries = ["the dog sleeps", "a ship on the river", "winter"]
    for texts, role, read in ((queries, "query", peer.encode_query), (TEXTS[:8], "document", peer.encode_document)):
        made = encoder.encode(texts, role)["sparse"]
        wide = np.zeros((len(texts), made.width), np.float32)
        wide[np.repeat(np.arange(len(texts)), np.diff(made.indptr)), made.indices] = made.values
        np.testing.assert_allclose(wide, read(texts, convert_to_sparse_tensor=False).numpy(), atol=1e-5)
    splade = context.create("encode", f"splade(model='{base}')")
    np.testing.assert_allclose(
        splade.encode(queries, "query")["sparse"].dot(splade.encode(TEXTS[:8], "document")["sparse"]),
        encoder.encode(queries, "query")["sparse"].dot(encoder.encode(TEXTS[:8], "document")["sparse"]),
        atol=1e-4,
    )
    report = json.loads((base.parent / "base.json").read_text())["report"]
    assert report["terms switched off"] < report["vocabulary"]


def test_terms_are_switched_off_for_good(home: Path, context: Context, tmp_path: Path) -> None:
    from spaniel_inference_free_sparse.tokens import read_tokenizer
    from spaniel_train.surgery import adapt_model

    few = tmp_path / "few"
    write_folder(few, PLAIN.documents[:3], PLAIN.queries, {"test": PLAIN.qrels})
    adapt_model(
        context,
        f"inference-free(idf='{few}', terms=counted, activation=log1p_log1p_relu)",
        str(home / "model"),
        tmp_path / "out",
    )
    encoder = context.create("encode", f"inference-free(model='{tmp_path / 'out'}')")
    held = set(encoder.encode(TEXTS, "document")["sparse"].indices.tolist())
    tokenizer = read_tokenizer(home / "model")
    seen = {token for text in TEXTS[:3] for token in tokenizer.encode(text, add_special_tokens=False).ids}
    assert held
    assert held <= seen
    plain = context.create("encode", f"splade(model='{home / 'model'}')").encode(TEXTS[:2], "document")["sparse"]
    twice = encoder.encode(TEXTS[:2], "document")["sparse"]
    for row in range(2):
        once = dict(zip(plain[row : row + 1].indices.tolist(), plain[row : row + 1].values.tolist(), strict=True))
        for term, value in zip(
            twice[row : row + 1].indices.tolist(), twice[row : row + 1].values.tolist(), strict=True
        ):
            assert value == pytest.approx(np.log1p(once[term]), abs=1e-5)


@pytest.mark.parametrize("how", ["lowercase", "blank"])
def test_the_tokenizer_prepares_texts(home: Path, context: Context, tmp_path: Path, how: str) -> None:
    from spaniel_inference_free_sparse.tokens import read_tokenizer
    from spaniel_train.surgery import adapt_model

    adapt_model(context, f"inference-free(weights=ones, text={how})", str(home / "model"), tmp_path / "out")
    out = tmp_path / "out"
    tokenizers = [read_tokenizer(out / part) for part in ("query_0_SparseStaticEmbedding", "document_0_Transformer")]
    for tokenizer in tokenizers:
        text = tokenizer.normalizer.normalize_str("The Dog")
        assert text.startswith("the dog" if how == "lowercase" else " ")


# A whole training


def train(base: Path, home: Path, tmp_path: Path, **more: Any) -> tuple[Path, dict[str, Any]]:
    import yaml

    recipe = {
        "model": {"kind": "sparse", "base": str(base), "max_length": 32},
        "data": [{"rows": str(home / "rows.jsonl")}],
        "objectives": [
            {"use": "negatives-nce"},
            {"use": "grouped-flops(threshold=1)", "weight": {"end": 0.01, "steps": 3, "shape": "quadratic"}},
        ],
        "optimizer": {"use": "adamw(learning_rate=0.01)"},
        "batches": {"size": 4, "negatives": 2, "part": 5},
        "steps": 4,
        **more,
    }
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    ran = Cli(tmp_path)("train", str(tmp_path / "r.yaml"), "-o", str(tmp_path / "trained"), "--device", "cpu", "--json")
    assert ran.exit_code == 0, ran.stderr
    return tmp_path / "trained", json.loads(ran.stdout)


def table_of(folder: Path) -> Any:
    from safetensors.numpy import load_file

    return load_file(folder / "query_0_SparseStaticEmbedding" / "model.safetensors")["weight"]


def test_a_recipe_trains_the_documents_and_keeps_the_table(
    base: Path, home: Path, tmp_path: Path, context: Context
) -> None:
    from sentence_transformers import SparseEncoder

    trained, report = train(base, home, tmp_path)
    np.testing.assert_array_equal(table_of(trained), table_of(base))
    assert report["losses"][-1]["loss"] != report["losses"][0]["loss"]
    before, after = (context.create("encode", f"inference-free(model='{f}')") for f in (base, trained))
    old, new = (e.encode(TEXTS[:5], "document")["sparse"].values for e in (before, after))
    assert old.shape != new.shape or not np.allclose(old, new)
    peer = SparseEncoder(str(trained), device="cpu")
    scores = peer.similarity(peer.encode_query(["the dog"]), peer.encode_document(TEXTS[:5])).numpy()
    mine = after.encode(["the dog"], "query")["sparse"].dot(after.encode(TEXTS[:5], "document")["sparse"])
    np.testing.assert_allclose(mine, scores, atol=1e-4)


def test_the_table_learns_at_its_own_rate(home: Path, tmp_path: Path) -> None:
    made = Cli(tmp_path)(
        "adapt",
        f"inference-free(idf='{home / 'data'}', train_idf=true)",
        str(home / "model"),
        "-o",
        str(tmp_path / "base"),
    )
    assert made.exit_code == 0, made.stderr
    groups = [{"names": ["*query.0.weight"], "rate": 3.0, "weight_decay": 0.0}, {"shape": "any"}]
    optimizer = {"use": "adamw(learning_rate=0.01)", "groups": groups}
    trained, report = train(tmp_path / "base", home, tmp_path, optimizer=optimizer)
    assert [group["rate"] for group in report["groups"]] == [3.0, 1.0]
    assert not np.array_equal(table_of(trained), table_of(tmp_path / "base"))


def test_an_ensemble_teaches_in_a_recipe(base: Path, home: Path, tmp_path: Path) -> None:
    use = f"ensemble(members=[\"inference-free(model='{base}')\"])"
    _, report = train(base, home, tmp_path, objectives=[{"use": use}], steps=2)
    assert all(np.isfinite(step["loss"]) for step in report["losses"])


def test_labels_go_from_a_file_to_a_file(base: Path, home: Path, tmp_path: Path) -> None:
    method = f"ensemble(members=[\"inference-free(model='{base}')\"])"
    ran = Cli(tmp_path)("synthesize", method, str(home / "rows.jsonl"), "-o", str(tmp_path / "labelled.jsonl"))
    assert ran.exit_code == 0, ran.stderr
    rows = list(read_rows(tmp_path / "labelled.jsonl"))
    assert rows
    assert all(len(row.scores) >= 3 for row in rows)
