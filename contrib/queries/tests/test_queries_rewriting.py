"""Rewriters: spelling in every script, expansion by counts that brute force repeats, language models that answer as told."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spaniel import ArtifactError, Component, Context, Corpus, Document, Queries, UsageError, hookimpl
from spaniel.data import Variants, fuse_rrf
from spaniel.explain import explain_pipeline
from spaniel.pipeline.run import needs, run_pipeline
from spaniel.plugins import Registry, load_registry
from spaniel_lm.protocol import Answer, Generation
from spaniel_queries.asking import rewrites
from spaniel_queries.config import StopPhrases as Options
from spaniel_queries.plain import StopPhrases
from spaniel_queries.spelling import Speller
from spaniel_queries.vocabulary import Vocabulary

HERE = __name__
ASKED: list[list[str]] = []


class Model:
    """Answers every prompt with what is asked about, in capitals, and lines of it."""

    capabilities = frozenset({"generate", "sample"})
    window = None

    def __init__(self, config: None, context: Context) -> None:
        self.context = context

    def fingerprint(self) -> dict[str, Any]:
        return {"answers": 1}

    def generate(self, prompts: Sequence[str], settings: Generation, **_: Any) -> list[Answer]:
        ASKED.append(list(prompts))
        self.context.count("model calls", len(prompts))
        made = []
        for prompt in prompts:
            query = (
                prompt.partition("Query: ")[2].partition("\n")[0] or prompt.partition("Question: ")[2].split("\n")[0]
            )
            texts = [f"1. {query} apples\n2) pears\n- “pears”\nHere they are:" if "{n}" not in prompt else ""]
            texts += [f"drawn {at}" for at in range(1, settings.returns)]
            answers = [Answer("" if query == "silence" else text) for text in texts]
            made.append(Answer(answers[0].text, others=tuple(answers[1:])))
        return made


class Plugin:
    @hookimpl(optionalhook=True)
    def language_model(self) -> Iterator[Component]:
        yield Component("parrot", f"{HERE}:Model", "answers as told")


TEXTS = [
    "the cat chases mice in the garden", "a cat sleeps in the garden", "mice fear the cat in every garden", "dogs bark at the moon",
    "the moon shines on the water", "retrieval of documents", "documents and retrieval", "retrieval by vectors of documents",
    "पुस्तकालय में किताबें", "도서관에서 책을 읽다", "библиотека и книги", "cat fear cat", "water and wine",
]  # fmt: skip
CORPUS = Corpus.from_documents([Document(str(at), text=text) for at, text in enumerate(TEXTS)])


def asked(*texts: str) -> Queries:
    return Queries.from_lists([str(at) for at in range(len(texts))], texts)


@pytest.fixture(scope="module")
def registry() -> Registry:
    made = load_registry()
    made.register(Plugin(), "test-parrot")
    return made


@pytest.fixture
def context(tmp_path: Path, registry: Registry) -> Context:
    ASKED.clear()
    return Context(tmp_path / "store", device="cpu", offline=True, registry=registry)


def rewritten(context: Context, rewriter: str, *texts: str, run: Any = None) -> Any:
    return context.create("rewrite", rewriter).rewrite(asked(*texts), CORPUS, run)


def test_spelling_in_every_script(context: Context) -> None:
    pairs = {
        "retreival of documnets": "retrieval of documents",
        "Retreival, DOCUMNETS!": "Retrieval, DOCUMENTS!",
        "पुस्तकालप": "पुस्तकालय",
        "библеотека": "библиотека",
        "도서괸에서": "도서관에서",
        "图书馆": "图书馆",
        "cat": "cat",
        "cet": "cet",
        "q2345x": "q2345x",
        "": "",
    }
    assert rewritten(context, "spelling", *pairs).texts == tuple(pairs.values())


def test_the_nearest_then_the_commonest_then_the_first_word() -> None:
    words = sorted({"planet": 1, "plants": 5, "planer": 9, "planed": 9, "plane": 2}.items())
    speller = Speller(Vocabulary([w for w, _ in words], np.array([c for _, c in words]), 20), distance=2)
    assert speller.correct("planet") == "planet"
    assert (
        speller.correct("planey") == "planed"
    )  # one change: plane, planed, planer, planet; the commonest, then the first
    assert speller.correct("xlaney") == "xlaney"
    assert Speller(speller.vocabulary, 2, prefix=0).correct("xlaney") == "planed"


def test_corrections_are_those_of_brute_force() -> None:
    rng = np.random.default_rng(2)
    words = sorted({"".join(rng.choice(list("abcd"), int(rng.integers(2, 8)))) for _ in range(80)})
    counts = rng.integers(1, 5, len(words))
    speller = Speller(Vocabulary(words, counts, 10), distance=2, prefix=0)
    for _ in range(50):
        word = "".join(rng.choice(list("abcd"), int(rng.integers(2, 9))))
        near = [(osa(word, other), -int(count), other) for other, count in zip(words, counts, strict=True)]
        best = min((one for one in near if one[0] <= 2), default=(0, 0, word))
        assert speller.correct(word) == (word if word in words else best[2])


def osa(a: str, b: str) -> int:
    d = {(i, 0): i for i in range(len(a) + 1)} | {(0, j): j for j in range(len(b) + 1)}
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            d[i, j] = min(d[i - 1, j] + 1, d[i, j - 1] + 1, d[i - 1, j - 1] + (a[i - 1] != b[j - 1]))
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                d[i, j] = min(d[i, j], d[i - 2, j - 2] + 1)
    return d[len(a), len(b)]


@pytest.mark.parametrize("measure", ["log-likelihood", "pmi"])
def test_words_that_occur_together_are_those_of_brute_force(context: Context, measure: str) -> None:
    options = f"measure={measure}, least=2, share=0.9, terms=3, repeat=2"
    made = rewritten(context, f"cooccurrence({options})", "cat", "zzz", "retrieval moon")
    bags = [set(text.split()) for text in TEXTS]
    n = len(bags)

    def count(*words: str) -> int:
        return sum(all(word in bag for word in words) for bag in bags)

    def association(word: str, other: str) -> float:
        both, a, b = count(word, other), count(word), count(other)
        if both < 2 or both * n <= a * b:
            return 0.0
        if measure == "pmi":
            return math.log(both * n / (a * b))
        cells = ((both, a * b), (a - both, a * (n - b)), (b - both, (n - a) * b), (n - a - b + both, (n - a) * (n - b)))
        return 2 * sum(k * math.log(k * n / e) for k, e in cells if k)

    words = sorted(set().union(*bags))
    for at, query in enumerate(("cat", "zzz", "retrieval moon")):
        sums = {w: sum(association(q, w) for q in query.split() if count(q)) for w in words if w not in query.split()}
        best = [w for w in sorted(sums, key=lambda w: (-round(sums[w], 9), w)) if sums[w] > 0][:3]
        assert made.texts[at] == (" ".join([query, query, *best]) if best else query,)
    assert made.texts[0][0].startswith("cat cat ")
    assert made.texts[1] == ("zzz",)


def test_common_words_neither_expand_nor_are_added(context: Context) -> None:
    made = rewritten(context, "cooccurrence(least=1, share=0.2, terms=50)", "the", "moon")
    assert made.texts[0] == ("the",)
    assert "the" not in made.texts[1][0].split()


def test_words_of_feedback(context: Context) -> None:
    run = context.run("bm25(analyzer=words)", asked("moon", "zzz"), CORPUS)
    made = rewritten(context, "feedback-words(k=2, terms=2, share=0.9, repeat=1)", "moon", "zzz", run=run)
    bags = [text.split() for text in TEXTS]
    weights: dict[str, float] = {}
    for text in CORPUS.contents(run.of(0)[0][:2]):
        for word in text.split():
            idf = math.log(len(bags) / sum(word in bag for bag in bags))
            weights[word] = weights.get(word, 0.0) + idf / len(text.split())
    best = sorted((w for w in weights if w != "moon"), key=lambda w: (-round(weights[w], 9), w))
    assert made.texts[0] == (" ".join(["moon", *best[:2]]),)
    assert made.texts[1] == ("zzz",)
    text = "bm25(analyzer=words) >> feedback-words(k=2, terms=50, share=0.9) >> bm25(analyzer=words)"
    wider = context.run(text, asked("moon", "zzz"), CORPUS)
    assert set(run.of(0)[0].tolist()) < set(wider.of(0)[0].tolist())


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("What is the capital of France?", "capital of France?"),
        ("how do I sort a list", "sort a list"),
        ("Please tell me about cats", "cats"),
        ("what's new", "new"),
        ("whatever works", "whatever works"),
        ("What is?", "What is?"),
        ("list", "list"),
        ("", ""),
    ],
)
def test_phrases_that_say_nothing(text: str, made: str) -> None:
    assert StopPhrases(Options(), None)._without(text) == made  # type: ignore[arg-type]


def test_phrases_of_ones_own() -> None:
    rewriter = StopPhrases(Options(phrases=("请问", "the  movie"), anywhere=True), None)  # type: ignore[arg-type]
    assert rewriter._without("a review of the movie  Alien") == "a review of Alien"
    assert StopPhrases(Options(phrases=()), None)._without("what is x") == "what is x"  # type: ignore[arg-type]


def test_a_model_writes(context: Context) -> None:
    made = rewritten(context, "query2doc(lm=parrot, repeat=2)", "red", "", "silence")
    assert made.texts == (("red red 1. red apples 2) pears - “pears” Here they are:",), ("",), ("silence",))
    assert len(ASKED[0]) == 2
    hyde = rewritten(context, "hyde(lm=parrot, n=3, temperature=0.7)", "red", "silence")
    assert hyde.texts[0][0] == "red"
    assert hyde.texts[0][2:] == ("drawn 1", "drawn 2")
    assert hyde.texts[1] == ("silence",)
    assert rewritten(context, "hyde(lm=parrot, query=false)", "red").texts[0][0].startswith("1. red apples")
    several = rewritten(context, "variants(lm=parrot, n=5, weight=2.0, k=7)", "red")
    assert several == Variants((("red", "red apples", "pears"),), ((2.0, 1.0, 1.0),), 7)
    assert rewritten(context, "variants(lm=parrot, weight=0.0)", "red").texts == (("red apples", "pears"),)


def test_answers_are_read_as_lists() -> None:
    answer = 'Here are 3 queries:\n1. "First"\n2) second one\n* Query: third\n\n3: first\n- red\nfourth'
    assert rewrites(answer, "RED", 5) == ["First", "second one", "third", "first", "fourth"]
    assert rewrites("2024 election results", "x", 5) == ["2024 election results"]


def test_runs_of_variants_are_fused(context: Context) -> None:
    outcome = run_pipeline(context, context.pipeline("variants(lm=parrot) >> bm25"), asked("cat"), CORPUS)
    parts = [context.run("bm25", asked(text), CORPUS) for text in ("cat", "cat apples", "pears")]
    assert outcome.run == fuse_rrf(parts, 60)
    assert outcome.stages[0].counts["model calls"] == 1
    (made,) = explain_pipeline(context, "variants(lm=parrot) >> bm25", "cat", outcome.run.rows[:1].tolist(), CORPUS)
    assert made.total() == pytest.approx(float(outcome.run.scores[0]), abs=1e-6)
    assert [part.label for part in made.contributions] == ["“cat”", "“cat apples”", "“pears”"]
    assert made.contributions[0].children


def test_answers_are_recorded(context: Context) -> None:
    text = "query2doc(lm=recorded(lm=parrot)) >> bm25"
    first = run_pipeline(context, context.pipeline(text), asked("cat"), CORPUS)
    later = Context(context.store, device="cpu", offline=True, registry=context.registry)
    again = run_pipeline(later, later.pipeline(text), asked("cat"), CORPUS)
    assert len(ASKED) == 1
    assert again.run == first.run
    assert again.stages[0].counts["model calls"] == 1


def test_what_rewriters_need_is_planned_and_built_once(context: Context) -> None:
    pipeline = context.pipeline("spelling >> cooccurrence >> bm25")
    assert [n.recipe.type for n in needs(context, pipeline, CORPUS.need)] == [
        "corpus",
        "vocabulary",
        "cooccurrence",
        "index",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hyde(n=2) >> bm25", "at temperature=0 there is one passage"),
        ('variants(prompt="hello") >> bm25', "where the query is to stand"),
        ("spelling", "gives queries, not a run"),
        ("feedback-words >> bm25", "needs a run"),
        ("bm25 >> spelling >> bm25", r"rrf\(bm25, spelling >> bm25\)"),
    ],
)
def test_faults_are_found_when_it_is_bound(context: Context, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        context.pipeline(text)


def test_spaces_of_pipelines_hold_rewriters(context: Context) -> None:
    holes = pytest.importorskip("spaniel_search.pipelines.holes")
    from spaniel.expression import parse

    def dimensions(text: str) -> list[Any]:
        reader = holes.Reader(context.registry, parse(text, holes=True), text, 3)
        assert reader.faults == []
        return [dimension.domain for dimension in reader.dimensions]

    (choices,) = dimensions("?rewrite >> bm25")
    assert {str(choice) for choice in choices} >= {"spelling", "lower-case"}
    assert "feedback-words" not in {str(choice) for choice in choices}
    (choices,) = dimensions("?[null, spelling, lower-case] >> bm25")
    assert len(choices) == 3
    (choices,) = dimensions("spelling >> ?retrieve")
    assert "bm25" in {str(choice) for choice in choices}
    (choices,) = dimensions("?")
    assert not {"spelling", "lower-case"} & {str(choice) for choice in choices}


def test_a_search_shows_what_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    from click.testing import CliRunner
    from spaniel.cli.main import main

    monkeypatch.setenv("SPANIEL_STORE", str(tmp_path / "store"))
    (tmp_path / "data").mkdir()
    lines = [json.dumps({"_id": str(at), "text": text}) for at, text in enumerate(TEXTS)]
    (tmp_path / "data" / "corpus.jsonl").write_text("\n".join(lines))
    (tmp_path / "data" / "queries.jsonl").write_text('{"_id": "1", "text": "retreival"}\n')
    arguments = ["search", "spelling >> bm25", str(tmp_path / "data"), "retreival"]
    shown = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert "spelling: “retrieval”" in shown.output
    told = json.loads(CliRunner().invoke(main, [*arguments, "--json"], catch_exceptions=False).stdout)
    assert told["rewritten"] == [{"stage": "spelling", "texts": ["retrieval"]}]
    assert {hit["id"] for hit in told["hits"]} == {"5", "6", "7"}


@pytest.mark.parametrize(
    ("name", "damage"),
    [("words.json", b'["b", "a"]'), ("words.json", b"[1]"), ("words.json", b"{"), ("documents.npy", b"no array")],
)
def test_damaged_vocabularies_are_named(context: Context, name: str, damage: bytes) -> None:
    from spaniel_queries.vocabulary import open_vocabulary, vocabulary_need

    analyzer = context.create("rewrite", "spelling").config.analyzer
    artifact = context.obtain(vocabulary_need(context, analyzer, CORPUS.need))
    path = artifact.file(name)
    path.chmod(0o644)
    path.write_bytes(damage)
    with pytest.raises(ArtifactError, match=name):
        open_vocabulary(context, analyzer, CORPUS.need)
