"""Tokenizers without a model, tokenizers that are trained, and what the model is worth before and after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from spaniel import Context, UsageError
from spaniel.testing import collection
from spaniel_neural.testing import write_model
from spaniel_omp_tokenizer.layout import read_tokenizer
from spaniel_train.surgery import adapt_model

KNOWN = "the cat sat on a mat while dogs ran after the ball and birds sang in trees"
OTHERS = "quick brown foxes jump over lazy hounds near rivers"


def adapted(root: Path, base: Path, name: str = "out", **options: Any) -> tuple[Path, dict[str, Any]]:
    told = ", ".join(f"{key}={json.dumps(str(v) if isinstance(v, Path) else v)}" for key, v in options.items())
    context = Context(root / "store", device="cpu", offline=True)
    return root / name, adapt_model(context, f"omp-tokenizer({told})", str(base), root / name)["report"]


def alone(donor: Path, out: Path) -> Path:
    out.mkdir()
    for path in donor.glob("*token*.json"):
        (out / path.name).write_bytes(path.read_bytes())
    return out


@pytest.mark.parametrize("method", ["subword", "mean", "zero", "normal", "gaussian"])
def test_a_tokenizer_alone_is_as_good_as_its_model(tmp_path: Path, method: str) -> None:
    base = write_model(tmp_path / "base", "bert", "masked-lm", texts=[KNOWN])
    donor = write_model(tmp_path / "donor", "llama", "causal-lm", texts=[f"{KNOWN} {OTHERS}"], seed=1)
    whole, report = adapted(tmp_path, base, "whole", donor=donor, method=method)
    out, found = adapted(tmp_path, base, donor=alone(donor, tmp_path / "alone"), method=method)
    first, second = (load_file(folder / "model.safetensors") for folder in (whole, out))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert found["new"] == report["new"] == len(OTHERS.split())
    assert read_tokenizer(out).get_vocab() == read_tokenizer(whole).get_vocab()


def test_a_file_of_a_tokenizer_is_one(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", "bert", texts=[KNOWN])
    donor = write_model(tmp_path / "donor", "bert", texts=[f"{KNOWN} {OTHERS}"], seed=1)
    out, report = adapted(tmp_path, base, donor=donor / "tokenizer.json", method="subword")
    assert report["new"] == len(OTHERS.split())
    assert read_tokenizer(out).tokenize("quick cat") == ["quick", "cat"]
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UsageError, match=r"no tokenizer\.json: it says nothing of a model of tokens"):
        adapted(tmp_path, base, "no", donor=tmp_path / "config.json", method="subword")


def test_methods_that_read_vectors_refuse_a_tokenizer_alone(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", "bert", texts=[KNOWN])
    lone = alone(base, tmp_path / "alone")
    with pytest.raises(
        UsageError, match=r"method='omp' reads the donor's token vectors, and .* has none: choose one of"
    ):
        adapted(tmp_path, base, donor=lone)
    with pytest.raises(UsageError, match="method='focus' reads"):
        adapted(tmp_path, base, train_on="python-docs", method="focus")
    with pytest.raises(UsageError, match="well_trained looks at token vectors"):
        adapted(tmp_path, base, donor=lone, method="subword", well_trained=True)
    assert not (tmp_path / "out").exists()
    for options in ({}, {"donor": "a", "train_on": "b"}):
        with pytest.raises(UsageError, match="one of donor"):
            adapted(tmp_path, base, **options)


@pytest.mark.parametrize(("family", "task"), [("bert", "masked-lm"), ("llama", "causal-lm")])
def test_a_tokenizer_is_trained_on_a_collection(tmp_path: Path, family: str, task: Any) -> None:
    base = write_model(tmp_path / "base", family, task, texts=[KNOWN])
    data = collection().write(tmp_path / "data")
    text = collection().corpus().contents([0])[0]
    out, report = adapted(tmp_path, base, train_on=data, method="subword", tokens=500)
    old, new = read_tokenizer(base), read_tokenizer(out)
    assert report["new"] > 5
    assert new.unk_token_id in old(text)["input_ids"] or len(new(text)["input_ids"]) < len(old(text)["input_ids"])
    assert new.unk_token_id not in new(text)["input_ids"]
    again, _ = adapted(tmp_path, base, "again", train_on=data, method="subword", tokens=500)
    assert (again / "tokenizer.json").read_bytes() == (out / "tokenizer.json").read_bytes()
    built = list((tmp_path / "store").rglob("tokenizer.json"))
    assert len(built) == 1, "it is kept in the store"


def test_quality_is_told_before_and_after(tmp_path: Path) -> None:
    data = collection().write(tmp_path / "data")
    text = " ".join(collection().corpus().contents(range(5)))
    base = write_model(tmp_path / "base", "llama", "causal-lm", texts=[f"{KNOWN} {text}"])
    _, report = adapted(tmp_path, base, "same", donor=base, method="subword", measure_on=data)
    told = report["quality"]
    assert (told["measure"], told["collection"]) == ("bits a byte", str(data))
    assert 0 < told["before"] == pytest.approx(told["after"])
    _, report = adapted(tmp_path, base, "other", train_on=data, tokens=300, method="zero", measure_on=data)
    assert report["quality"]["after"] != pytest.approx(report["quality"]["before"])
    pytest.importorskip("spaniel_dense", reason="spaniel-dense is not installed")
    encoder = write_model(tmp_path / "encoder", "bert", texts=[f"{KNOWN} {text}"])
    _, report = adapted(tmp_path, encoder, "encoded", donor=encoder, method="subword", measure_on=data)
    told = report["quality"]
    assert told["measure"] == "nDCG@10"
    assert told["queries"] == 6
    assert 0 < told["before"] == pytest.approx(told["after"])
    t5 = write_model(tmp_path / "t5", "t5", "seq2seq", texts=[KNOWN])
    with pytest.raises(UsageError, match="causal language models and encoders"):
        adapted(tmp_path, t5, "no", donor=t5, method="subword", measure_on=data)
    assert not (tmp_path / "no").exists()
