"""Label scores beside brute force."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from spaniel import Context, UsageError
from spaniel.data import DenseVectors
from spaniel_lm.labels import LabelScorer
from spaniel_lm.protocol import Message

TEXTS = ["the dog sleeps", "cat", "bread of the north river in winter"]
LABELS = ["good", "bad water", "good bad star", "yes"]
REDUCED = {"sum": np.sum, "mean": np.mean, "first": lambda values: values[0]}


def brute(model: Any, prompt: str, label: str) -> list[float]:
    """Return the label's log-probabilities by token, from one plain pass over both together."""
    before, after = model.tokenizer.ids([prompt])[0], model.tokenize([label])[0]
    network = model.transformer.model
    with torch.inference_mode():
        if model.task == "masked-lm":
            mask = model.tokenizer.raw.mask_token_id
            at = before.index(mask)
            ids = [*before[:at], *[mask] * len(after), *before[at + 1 :]]
            plain = torch.log_softmax(network(torch.tensor([ids])).logits[0, at : at + len(after)], -1)
        elif model.task == "seq2seq":
            ids = torch.tensor([[*model.decoder.starts, *after[:-1]]])
            plain = torch.log_softmax(network(torch.tensor([before]), decoder_input_ids=ids).logits[0], -1)
        else:
            logits = network(torch.tensor([[*before, *after]])).logits[0]
            plain = torch.log_softmax(logits[len(before) - 1 : -1], -1)
    return [float(plain[at, token]) for at, token in enumerate(after)]


@pytest.mark.parametrize("family", ["llama", "t5", "bart", "bert"])
@pytest.mark.parametrize("reduce", ["sum", "mean", "first"])
def test_scores_equal_brute_force(lm_model: Callable[..., Any], family: str, reduce: Any) -> None:
    model = lm_model(family)
    prompt = "{text} : [MASK] ." if family == "bert" else "{text} :"
    made = LabelScorer(model, reduce, prompt).score(TEXTS, LABELS)
    if family == "bert" and reduce == "first":
        expected = [[brute(model, prompt.replace("{text}", t), label.split()[0])[0] for label in LABELS] for t in TEXTS]
    else:
        expected = [[REDUCED[reduce](brute(model, prompt.replace("{text}", t), lab)) for lab in LABELS] for t in TEXTS]
    assert made.shape == (3, 4)
    assert made.dtype == np.float32
    assert np.abs(made - np.array(expected)).max() < 1e-4
    normal = LabelScorer(model, reduce, prompt, normalise=True).score(TEXTS, LABELS)
    assert np.exp(normal).sum(1) == pytest.approx(np.ones(3), abs=1e-5)


def test_each_text_is_read_once(lm_model: Callable[..., Any]) -> None:
    model, read = lm_model(), []
    model.transformer.model.register_forward_pre_hook(
        lambda module, arguments, named: read.append(tuple(named["input_ids"].shape)), with_kwargs=True
    )
    LabelScorer(model).score(["the dog sleeps in winter"], LABELS)
    # The text, then of all labels what is behind their first token: the last token of none is read.
    assert read == [(1, 6), (4, 2)]


def test_chats_and_functions_are_prompts(lm_model: Callable[..., Any]) -> None:
    model = lm_model("chat")
    scorer = LabelScorer(model, prompt=lambda text: (Message("user", text),))
    expected = [[sum(brute(model, f"user : {t} assistant :", label)) for label in LABELS] for t in TEXTS]
    rendered = [model.tokenizer.ids([(Message("user", t),)])[0] for t in TEXTS]
    assert [len(ids) + 1 for ids in rendered] == [
        len(model.tokenizer.ids([f"user : {t} assistant :"])[0]) for t in TEXTS
    ]
    plain = LabelScorer(model, prompt="user : {text} assistant :").score(TEXTS, LABELS)
    assert np.abs(plain - np.array(expected)).max() < 1e-4
    ids = [model.logprobs([row] * len(LABELS), LABELS) for row in rendered]
    assert np.abs(scorer.score(TEXTS, LABELS) - np.array([[one.total for one in row] for row in ids])).max() < 1e-4


def test_cross_and_bi_encoders_score_labels(lm_context: Context) -> None:
    class Cross:
        def score(self, queries: Any, texts: Any) -> np.ndarray:
            return np.array([len(q) * 100 + len(t) for q, t in zip(queries, texts, strict=True)], np.float32)

    class Bi:
        def encode(self, texts: Any, role: str, metadata: Any = None) -> Any:
            sign = 1 if role == "query" else -1
            return {"dense": DenseVectors(np.array([[len(t), sign] for t in texts], np.float32), "dot")}

    crossed = LabelScorer(Cross()).score(TEXTS, LABELS)
    assert crossed.tolist() == [[len(t) * 100 + len(label) for label in LABELS] for t in TEXTS]
    assert LabelScorer(Bi()).score(TEXTS, LABELS).tolist() == [[len(t) * len(lab) - 1 for lab in LABELS] for t in TEXTS]
    assert LabelScorer(Cross(), normalise=True).score(TEXTS, []).shape == (3, 0)
    with pytest.raises(UsageError, match="only language models"):
        LabelScorer(Cross(), "mean")
    with pytest.raises(UsageError, match="scores no labels"):
        LabelScorer(object())


def test_mistakes_with_labels_are_named(lm_model: Callable[..., Any]) -> None:
    model = lm_model()
    with pytest.raises(UsageError, match=r"has no \{text\}"):
        LabelScorer(model, prompt="the dog")
    with pytest.raises(UsageError, match="reduce='max'"):
        LabelScorer(model, "max")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="the label '' has no token"):
        LabelScorer(model, "first").score(TEXTS, ["", "good"])
