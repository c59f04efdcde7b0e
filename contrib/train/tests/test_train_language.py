"""Language models in training: masks, weights, transformers' own losses, and what is saved."""

from __future__ import annotations

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
from spaniel_train.batch import Batch, collate
from spaniel_train.data import Data
from spaniel_train.models import load_trainee
from spaniel_train.recipe import Model
from spaniel_train.rows import Row
from spaniel_train.steps import Gradients
from spaniel_train.tokens import IGNORED, Vocabulary

PLAIN = collection()
TEXTS = [document.contents for document in PLAIN.documents if document.contents.strip()]
FAMILIES = {"masked-lm": "bert", "causal-lm": "llama"}
test_documents = contract("synthesize/documents", options={"words": 3})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("language")
    for kind, family in FAMILIES.items():
        write_model(root / kind, family, kind, texts=TEXTS, initializer_range=0.1)  # type: ignore[arg-type]
    write_folder(root / "data", PLAIN.documents, PLAIN.queries, {"test": PLAIN.qrels})
    return root


@pytest.fixture(scope="module")
def pieces() -> Vocabulary:
    """A tokenizer whose words have several tokens: one a letter."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz"
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    numbers = {token: n for n, token in enumerate([*special, *letters, *(f"##{letter}" for letter in letters)])}
    made = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))  # type: ignore[call-arg]
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    tokens = {f"{name}_token": token for name, token in names.items()}
    return Vocabulary(PreTrainedTokenizerFast(tokenizer_object=made, **tokens), 64)


def context_at(path: Path) -> Context:
    return Context(path / "store", device="cpu", offline=True)


def prepared(home: Path, path: Path, kind: str, objective: str, rows: list[Row]) -> tuple[Any, Any, Batch]:
    """A trainee that has met its objective, and a batch of all rows."""
    context = context_at(path)
    trainee = load_trainee(context, Model(kind=kind, base=str(home / kind)), torch.device("cpu"), path / "x")  # type: ignore[arg-type]
    made = context.create("objective", objective)
    trainee.meet([made], Data(tuple(rows), np.zeros(len(rows), np.int64), ("one",)))
    return trainee, made, collate(rows, {}, 1, 0, np.random.default_rng(0), seed=5)


@pytest.mark.parametrize("kind", ["masked-lm", "causal-lm"])
def test_the_loss_is_that_of_transformers_on_the_same_masks(home: Path, tmp_path: Path, kind: str) -> None:
    rows = [Row("", (text,)) for text in dict.fromkeys(TEXTS[:6])]
    trainee, objective, batch = prepared(home, tmp_path, kind, kind, rows)
    trainee.model.eval()
    items = trainee.items(batch)
    tokens = trainee.vocabulary.read([item[0] for item in items])
    reading = objective.reading(tokens, trainee.vocabulary, [int(item[1]) for item in items])
    labels = reading.targets
    if kind == "causal-lm":  # transformers moves them itself
        labels = np.where(tokens.filled, tokens.ids, IGNORED)
    arrays = (torch.from_numpy(array) for array in (reading.ids, tokens.filled.astype(np.int64), labels))
    ids, mask, wanted = arrays
    theirs = trainee.model(input_ids=ids, attention_mask=mask, labels=wanted).loss
    theirs.backward()
    gradients = [p.grad.clone() for p in trainee.model.parameters() if p.grad is not None]
    for cached in (False, True):
        trainee.model.zero_grad()
        total = Gradients(trainee, 2, cached).add(batch, objective.loss, 1.0, lambda part: part)
        assert total == pytest.approx(float(theirs.detach()), rel=1e-5)
        mine = [p.grad for p in trainee.model.parameters() if p.grad is not None]
        assert len(mine) == len(gradients)
        assert all(torch.allclose(one, two, atol=1e-5) for one, two in zip(mine, gradients, strict=True))


def test_words_are_masked_whole_and_as_often_as_told(pieces: Vocabulary, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    letters = list("abcdefghijklmnopqrstuvwxyz")
    texts = [" ".join("".join(rng.choice(letters, rng.integers(1, 6))) for _ in range(20)) for _ in range(200)]
    tokens = pieces.read(texts)
    objective = context_at(tmp_path).create("objective", "masked-lm(share=0.2, masked=0.6, random=0.3)")
    reading = objective.reading(tokens, pieces, range(len(texts)))
    predicted = reading.targets != IGNORED
    assert not predicted[tokens.words < 0].any()
    assert (reading.targets[predicted] == tokens.ids[predicted]).all()
    assert (reading.ids[~predicted] == tokens.ids[~predicted]).all()
    for row in range(len(texts)):
        chosen = tokens.words[row][predicted[row]]
        assert predicted[row].sum() == np.isin(tokens.words[row], chosen).sum()  # whole words
        sizes = np.bincount(chosen, minlength=1)
        wanted = max(1, round(0.2 * (tokens.words[row] >= 0).sum()))
        assert wanted <= predicted[row].sum() < wanted + max(sizes)
    read = reading.ids[predicted]
    is_mask, is_same = read == pieces.mask, read == tokens.ids[predicted]
    assert is_mask.mean() == pytest.approx(0.6, abs=0.03)
    assert is_same.mean() == pytest.approx(0.1 + 0.3 / len(pieces.plain), abs=0.03)
    assert not np.isin(read[~is_mask], pieces.special).any()
    # What is drawn for a text depends on its seed, and not on the texts beside it.
    alone = objective.reading(pieces.read(texts[7:8]), pieces, [7])
    width = alone.ids.shape[1]
    assert (alone.ids[0] == reading.ids[7, :width]).all()
    assert (objective.reading(pieces.read(texts[7:8]), pieces, [8]).ids != alone.ids).any()
    single = context_at(tmp_path).create("objective", "masked-lm(share=0.2, whole_words=false)")
    each = (single.reading(tokens, pieces, range(len(texts))).targets != IGNORED).sum(axis=1)
    assert (each == np.maximum(1, np.round(0.2 * (tokens.words >= 0).sum(axis=1)))).all()


def test_tokens_count_by_rarity_by_a_table_and_by_their_row(home: Path, tmp_path: Path) -> None:
    rows = [Row("", (text,)) for text in dict.fromkeys(TEXTS[:5])]
    trainee, objective, batch = prepared(home, tmp_path, "causal-lm", "causal-lm(weights=idf)", rows)
    trainee.model.eval()
    vocabulary = trainee.vocabulary
    tokens = vocabulary.read(batch.texts)
    held = [set(ids[filled].tolist()) for ids, filled in zip(tokens.ids, tokens.filled, strict=True)]

    def idf(token: int) -> float:
        found = sum(token in one for one in held)
        return float(np.log(1 + (len(held) - found + 0.5) / (found + 0.5)))

    scores = trainee.model(torch.from_numpy(tokens.ids), attention_mask=torch.from_numpy(tokens.filled).long()).logits
    losses = -scores.log_softmax(dim=-1)

    def expected(weigh: Any) -> float:
        above = below = 0.0
        for row, filled in enumerate(tokens.filled):
            for place in range(int(filled.sum()) - 1):
                token = int(tokens.ids[row, place + 1])
                above += weigh(row, token) * float(losses[row, place, token].detach())
                below += weigh(row, token)
        return above / below

    def measured(objective: Any, batch: Batch) -> float:
        items = trainee.items(batch)
        return float(objective.loss(trainee.outputs(trainee.represent(items), batch), batch).detach())

    assert measured(objective, batch) == pytest.approx(expected(lambda row, token: idf(token)), rel=1e-5)
    word = TEXTS[0].split()[0]
    number = vocabulary.number(word)
    weighted = [Row("", rows[0].positives, weights={word: 3.0}), *rows[1:]]
    trainee, objective, batch = prepared(home, tmp_path, "causal-lm", "causal-lm", weighted)
    trainee.model.eval()
    value = expected(lambda row, token: 3.0 if row == 0 and token == number else 1.0)
    assert measured(objective, batch) == pytest.approx(value, rel=1e-5)
    assert value != pytest.approx(expected(lambda row, token: 1.0), rel=1e-4)
    table = np.random.default_rng(0).random(vocabulary.size).astype(np.float32)
    np.save(tmp_path / "table.npy", table)
    told = f"causal-lm(weights='{tmp_path / 'table.npy'}')"
    trainee, objective, batch = prepared(home, tmp_path, "causal-lm", told, rows)
    trainee.model.eval()
    assert measured(objective, batch) == pytest.approx(expected(lambda row, token: float(table[token])), rel=1e-5)
    before = dict(objective.fingerprint())
    np.save(tmp_path / "table.npy", table[1:])
    assert dict(context_at(tmp_path).create("objective", told).fingerprint()) != before
    with pytest.raises(UsageError, match="no such file"):
        context_at(tmp_path).create("objective", "causal-lm(weights=nowhere)")
    with pytest.raises(UsageError, match="finite weights"):
        prepared(home, tmp_path, "causal-lm", told, rows)


@pytest.mark.parametrize("kind", ["masked-lm", "causal-lm"])
def test_what_is_saved_is_transformers_own_and_a_base_of_encoders(home: Path, tmp_path: Path, kind: str) -> None:
    import transformers

    recipe: dict[str, Any] = {
        "model": {"kind": kind, "base": str(home / kind), "max_length": 32},
        "data": [{"collection": str(home / "data"), "synthesizer": "documents(words=8)"}],
        "objectives": [{"use": kind}],
        "optimizer": {"use": "adamw(learning_rate=0.01)", "rate": {"shape": "constant", "warmup": 0}},
        "batches": {"size": 8, "accumulation": 2, "part": 3, "cached": True},
        "epochs": 6,
    }
    path = tmp_path / "lm.yaml"
    path.write_text(yaml.safe_dump(recipe))
    cli = Cli(tmp_path)
    ran = cli("train", str(path), "--device", "cpu", "--offline", "--json")
    assert ran.exit_code == 0, ran.stderr
    assert ran.json["losses"][-1]["loss"] < ran.json["losses"][0]["loss"] - 0.3
    library = {"masked-lm": "AutoModelForMaskedLM", "causal-lm": "AutoModelForCausalLM"}[kind]
    loaded = getattr(transformers, library).from_pretrained(str(tmp_path / "lm")).eval()
    read = transformers.AutoTokenizer.from_pretrained(str(tmp_path / "lm"))(
        TEXTS[:2], return_tensors="pt", padding=True
    )
    trainee = load_trainee(
        context_at(tmp_path),
        Model(kind=kind, base=str(tmp_path / "lm")),  # type: ignore[arg-type]
        torch.device("cpu"),
        tmp_path / "x",
    )
    trainee.model.eval()
    every = torch.ones_like(read["input_ids"], dtype=torch.bool)
    with torch.no_grad():
        mine = trainee._logits(read["input_ids"], read["attention_mask"].bool(), every)  # type: ignore[attr-defined]
        assert torch.allclose(loaded(**read).logits.reshape(mine.shape), mine, atol=1e-5)
    if kind == "masked-lm":
        for encoder in ("bi-encoder", "sparse"):
            base = Model(kind=encoder, base=str(tmp_path / "lm"))  # type: ignore[arg-type]
            load_trainee(context_at(tmp_path), base, torch.device("cpu"), tmp_path / "x")
    recipe["evaluation"] = {"collection": str(home / "data"), "every": 5}
    recipe["objectives"] = [{"use": "info-nce(in_batch=false)"}]
    path.write_text(yaml.safe_dump(recipe))
    told = cli("train", str(path), "--check").stderr
    assert "measured on no collection" in told
    assert "predicts tokens" in told


def test_rows_without_queries_are_for_language_models_alone(home: Path, tmp_path: Path) -> None:
    recipe = {
        "model": {"kind": "bi-encoder", "base": str(home / "masked-lm")},
        "data": [{"collection": str(home / "data"), "synthesizer": "documents"}],
        "objectives": [{"use": "info-nce"}],
        "steps": 2,
    }
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(recipe))
    ran = Cli(tmp_path)("train", str(path), "--device", "cpu", "--offline")
    assert ran.exit_code == 2
    assert "for language models" in ran.stderr
