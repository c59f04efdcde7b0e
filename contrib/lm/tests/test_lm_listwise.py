"""Listwise prompting: schedules beside theorems, permutations beside brute force, budgets beside counts."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spaniel import Component, Context, Stage, UsageError, hookimpl
from spaniel.data import Run
from spaniel.plugins import load_registry
from spaniel.testing import collection, contract
from spaniel_lm.listwise import permutations
from spaniel_lm.listwise.constraint import PermutationConstraint
from spaniel_lm.listwise.prompts import Prompter, fill
from spaniel_lm.listwise.ranking import ListRanker
from spaniel_lm.listwise.schedules import once, sliding, tournament
from spaniel_lm.protocol import Answer, Generation

_PASSAGE = re.compile(r"^\[(\d+)\] (.*)$", re.MULTILINE)


class Reader:
    """A model that orders the passages of a prompt by the words that they share with the query, longest overlap first."""

    window = None
    capabilities = frozenset({"generate"})

    def __init__(self, config: Any = None, context: Any = None) -> None:
        self.calls: list[int] = []
        self.write: Callable[[list[int]], str] = permutations.write

    def fingerprint(self) -> dict[str, str]:
        return {}

    def generate(self, prompts: Any, settings: Generation, **more: Any) -> list[Answer]:
        self.calls.append(len(prompts))
        made = []
        for prompt in prompts:
            query = set(re.search(r"Query: (.*)", prompt)[1].lower().split())  # type: ignore[index]
            shown = [set(text.lower().split()) for _, text in _PASSAGE.findall(prompt)]
            order = sorted(range(len(shown)), key=lambda at: (-len(query & shown[at]), at))
            made.append(Answer(self.write(order), prompt_tokens=len(prompt.split()), answer_tokens=len(order)))
        return made


class AtHand:
    @hookimpl
    def language_model(self) -> Any:
        yield Component("reader", factory=f"{__name__}:Reader", summary="orders by shared words")


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    if __name__ not in sys.modules:
        import types

        module = types.ModuleType(__name__)
        module.Reader = Reader  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, __name__, module)


def drive(walk: Generator[Any, Any, list[int]], worth: Any) -> tuple[list[int], list[list[list[int]]]]:
    """Run a schedule with a perfect judge: the higher the worth, the better."""
    rounds: list[list[list[int]]] = []
    try:
        windows = next(walk)
        while True:
            rounds.append(windows)
            windows = walk.send([sorted(shown, key=lambda one: -worth[one]) for shown in windows])
    except StopIteration as stop:
        return stop.value, rounds


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 90), st.integers(2, 12), st.data())
def test_schedules_keep_every_candidate_and_lift_the_best(count: int, window: int, data: Any) -> None:
    step = data.draw(st.integers(1, window))
    passes = data.draw(st.integers(1, 2))
    worth = data.draw(st.permutations(range(count)))
    best = sorted(range(count), key=lambda one: -worth[one])
    for schedule, sure in ((sliding(window, step, passes), passes * (window - step)), (tournament(window), 1)):
        order, rounds = drive(schedule(count), worth)
        assert sorted(order) == list(range(count))
        assert all(2 <= len(shown) <= max(window, 2) or len(shown) == 1 for one in rounds for shown in one)
        # A window that moves by less than its length carries what it is ahead by to the front (Sun et al., 2023).
        assert order[: max(sure, 1 if step < window else 0)] == best[: max(sure, 1 if step < window else 0)]
        if count <= window:
            assert order == best
    assert drive(once()(count), worth)[0] == best


def test_schedules_are_those_of_the_papers() -> None:
    _, rounds = drive(sliding(20, 10)(100), range(100))
    assert len(rounds) == 9
    assert [sorted(one[0])[0] for one in drive(sliding(4, 2)(9), range(9, 0, -1))[1]] == [5, 3, 1, 0]
    _, rounds = drive(tournament(20)(100), range(100))
    assert [len(one) for one in rounds] == [5, 3, 2, 1]
    assert rounds[0][0] == list(range(0, 100, 5))
    with pytest.raises(UsageError, match="step=5"):
        sliding(4, 5)


@pytest.mark.parametrize(
    ("text", "order", "missing", "repeated", "foreign"),
    [
        ("[2] > [1] > [3]", (1, 0, 2), (), (), ()),
        ("Sure! [3]>[ 1 ] > [2]. 7 is prime.", (2, 0, 1), (), (), ()),
        ("2, 3, 1", (1, 2, 0), (), (), ()),
        ("[3] > [3] > [1]", (2, 0, 1), (1,), (2,), ()),
        ("[9] > [2] > [0]", (1, 0, 2), (0, 2), (), (8, -1)),
        ("I cannot.", (0, 1, 2), (0, 1, 2), (), ()),
        ("[" + "9" * 5000 + "] [2]", (1, 0, 2), (0, 2), (), (999999998,)),
    ],
)
def test_orders_are_read_and_repaired(text: str, order: Any, missing: Any, repeated: Any, foreign: Any) -> None:
    found = permutations.read(text, 3)
    assert (found.order, found.missing, found.repeated, found.foreign) == (order, missing, repeated, foreign)
    assert found.is_whole == (not (missing or repeated or foreign))


@given(st.permutations(range(12)))
def test_what_is_written_is_read_back(order: list[int]) -> None:
    assert permutations.read(permutations.write(order), 12).order == tuple(order)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_constraint_allows_permutations_and_nothing_else(count: int) -> None:
    # Two candidates share a first token, and have different lengths.
    first = [[1, 7], [1, 8, 7], [2], [3, 7]][:count]
    later = [[9, *one] for one in first]
    constraint = PermutationConstraint(first, later)
    found, going = set(), [((), constraint.start(1))]
    while going:
        tokens, states = going.pop()
        offsets, allowed = constraint.allowed(states)
        assert offsets.tolist() == [0, len(allowed)]
        if not len(allowed):
            found.add(tokens)
        going += [((*tokens, int(one)), constraint.advance(states, np.array([one]))) for one in allowed]
    expected = {
        tuple(itertools.chain(first[order[0]], *(later[at] for at in order[1:])))
        for order in itertools.permutations(range(count))
    }
    assert found == expected


def test_constraint_works_on_many_rows_at_once() -> None:
    constraint = PermutationConstraint([[1, 7], [1, 8], [2]], [[9, 1, 7], [9, 1, 8], [9, 2]])
    states = constraint.start(3)
    for tokens in ([1, 2, 1], [8, 9, 7], [9, 1, 9]):
        states = constraint.advance(states, np.array(tokens))
    offsets, allowed = constraint.allowed(states)
    assert [allowed[a:b].tolist() for a, b in itertools.pairwise(offsets)] == [[1, 2], [7, 8], [1, 2]]
    moved = constraint.advance(states[[2, 2, 0]], np.array([1, 2, 1]))
    offsets, allowed = constraint.allowed(moved)
    assert [allowed[a:b].tolist() for a, b in itertools.pairwise(offsets)] == [[8], [9], [7]]
    with pytest.raises(UsageError, match="does not tell"):
        PermutationConstraint([[1], [1]], [[2], [3]])
    with pytest.raises(UsageError, match=r"does not tell|begin another"):
        PermutationConstraint([[1, 2], [1]], [[2], [3]])


def test_constrained_answers_are_the_likeliest_permutations(lm_model: Callable[..., Any]) -> None:
    model = lm_model()
    constraint = PermutationConstraint.of(model, 3)
    every = [permutations.write(order) for order in itertools.permutations(range(3))]
    tokens = [[*model.tokenize([text])[0]] for text in every]
    totals = [one.total for one in model.logprobs(["the dog"] * 6, tokens)]
    beams = model.generate(
        ["the dog"], Generation(40, beams=40, returns=6, length_penalty=0.0), constraints=constraint
    )[0]
    found = [beams, *beams.others]
    assert [permutations.read(one.text, 3).is_whole for one in found] == [True] * 6
    assert [one.score for one in found] == pytest.approx(sorted(totals, reverse=True), abs=1e-3)
    greedy = model.generate(
        ["the dog", "cat"], Generation(40), constraints=[constraint, PermutationConstraint.of(model, 7)]
    )
    assert permutations.read(greedy[0].text, 3).is_whole
    assert permutations.read(greedy[1].text, 7).is_whole
    assert not permutations.read(model.generate(["the dog"], Generation(40))[0].text, 3).is_whole
    drawn = model.generate(["the dog"], Generation(40, temperature=2.0, returns=30), constraints=constraint)[0]
    assert len({permutations.read(one.text, 3).order for one in (drawn, *drawn.others)}) > 2


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.integers(0, 300))
def test_room_is_filled_alike(lengths: list[int], room: int) -> None:
    most = fill(np.array(lengths), room)
    assert sum(min(length, most) for length in lengths) <= room
    assert most == max(lengths) or sum(min(length, most + 1) for length in lengths) > room
    assert fill(np.array(lengths), -1) == -1


@pytest.mark.parametrize("chat", [False, True])
def test_prompts_fit_their_budget(lm_model: Callable[..., Any], chat: bool) -> None:
    model = lm_model("chat")
    passages = ["the dog " * 60, "cat", "bread star river " * 30]
    for budget in (150, 220, 400):
        fitted = Prompter(model, chat=chat, budget=budget).fit("the ship", passages)
        used = int(model.count_tokens([fitted.prompt])[0]) + fitted.answer_tokens
        assert used <= budget
        text = fitted.prompt if isinstance(fitted.prompt, str) else fitted.prompt[0].content
        kept = [len(model.tokenize([one])[0]) for _, one in _PASSAGE.findall(text)]
        if fitted.passage_tokens is not None:
            assert used > budget - len(passages)
            assert kept == [fitted.passage_tokens, 1, min(fitted.passage_tokens, 90)]
    whole = Prompter(model, chat=chat, budget=1000).fit("the ship", passages)
    assert (whole.prompt, whole.passage_tokens) == (Prompter(model, chat=chat).write("the ship", passages), None)
    assert Prompter(model, passage_tokens=5).fit("the ship", passages).passage_tokens == 5
    long = Prompter(model, budget=300).fit("the ship " * 500, passages)
    assert int(model.count_tokens([long.prompt])[0]) + long.answer_tokens <= 300
    with pytest.raises(UsageError, match="do not fit into 60 tokens"):
        Prompter(model, budget=60).fit("the ship", passages)
    with pytest.raises(UsageError, match="cannot count, cut and split tokens"):
        Prompter(Reader(), budget=100)  # type: ignore[arg-type]


def test_windows_of_all_queries_are_asked_together_and_traced() -> None:
    model = Reader()
    ranker = ListRanker(model, Prompter(model), sliding(4, 2))  # type: ignore[arg-type]
    passages = [["x"] * 7 + ["star ship"], [], ["cat"], ["x", "dog"], ["x"] * 5 + ["dog"]]
    rankings = ranker.rank(["star ship", "x", "cat", "dog", "dog"], passages)
    assert [ranking.order[:1] for ranking in rankings] == [(7,), (), (0,), (1,), (5,)]
    assert [len(ranking.windows) for ranking in rankings] == [3, 0, 0, 1, 2]
    # Three rounds; windows whose answers may be of other lengths are calls of their own.
    assert model.calls == [1, 2, 2, 1]
    first = rankings[0].windows[0]
    assert (first.round, first.shown, first.order) == (0, (4, 5, 6, 7), (7, 4, 5, 6))
    assert first.text == "[4] > [1] > [2] > [3]"
    assert first.to_json()["permutation"]["missing"] == ()
    model.write = lambda order: f"[{order[0] + 1}] is best, not [99]"
    broken = ranker.rank(["dog"], [["x", "y", "dog"]])[0]
    assert broken.order == (2, 0, 1)
    assert (broken.windows[0].permutation.missing, broken.windows[0].permutation.foreign) == ((0, 1), (98,))


@pytest.mark.parametrize("schedule", ["sliding", "once", "tournament"])
def test_reranker_orders_the_head_and_keeps_the_rest(tmp_path: Any, schedule: str) -> None:
    registry = load_registry(warn=False)
    registry.register(AtHand(), "at-hand")
    context = Context(tmp_path, device="cpu", registry=registry)
    made = collection()
    corpus, rng = made.corpus(), np.random.default_rng(3)
    rows = np.array([rng.permutation(len(corpus))[:15] for _ in range(len(made.queries))], np.int32)
    run = Run.from_matrix(rows, np.tile(np.arange(15, 0, -1, dtype=np.float32), (len(rows), 1)))
    reranker = context.create("rerank", Stage("listwise", lm="reader", k=10, window=6, step=2, schedule=schedule))
    with context.stage("rerank") as stage:
        result = reranker.rerank(made.queries, run, corpus)
    for query, text in enumerate(made.queries.texts):
        before, after = run.of(query)[0], result.of(query)[0]
        shared = {row: len({*text.lower().split()} & {*corpus.contents([row])[0].lower().split()}) for row in before}
        assert set(after[:10]) == set(before[:10])
        assert after[10:].tolist() == before[10:].tolist()
        assert shared[after[0]] == max(shared[row] for row in before[:10])
        assert result.of(query)[1].tolist() == list(range(15, 0, -1))
    windows = {"sliding": 3, "once": 1, "tournament": 3}[schedule]
    assert stage.cost["windows"] == windows * len(rows)
    assert len(reranker.rankings[0].windows) == windows


def test_reranker_with_a_model_writes_permutations(
    tmp_path: Any, lm_models: Callable[[str], Any], lm_context: Context
) -> None:
    made = collection()
    corpus = made.corpus()
    rows = np.tile(np.arange(5, dtype=np.int32), (len(made.queries), 1))
    run = Run.from_matrix(rows, np.tile(np.arange(5, 0, -1, dtype=np.float32), (len(rows), 1)))
    lm = Stage("transformers", model=str(lm_models("chat")))
    results = []
    for decoding in ("constrained", "free"):
        reranker = lm_context.create("rerank", Stage("listwise", lm=lm, decoding=decoding, budget=200))
        with lm_context.stage("rerank") as stage, torch.random.fork_rng():
            result = reranker.rerank(made.queries, run, corpus)
        results.append(stage.cost["answers repaired"])
        assert [set(result.of(query)[0].tolist()) for query in range(len(rows))] == [set(range(5))] * len(rows)
        assert stage.cost["model calls"] == len({made.queries.texts[query] for query in range(len(rows))})
    assert results[0] == 0
    assert results[1] > 0


test_listwise_reader = contract(
    "rerank/listwise", options={"lm": "reader", "window": 5, "step": 2, "k": 10}, plugins=[AtHand()]
)
