"""The authors' kit: components that break one promise each are found out, and good ones pass."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import Field
from spaniel import Component, Config, Context, Contribution, Corpus, Explanation, PluginError, Run, Stage, UsageError
from spaniel import hookimpl as implements
from spaniel.data import DenseVectors, save_vectors, topk
from spaniel.plugins import Registry
from spaniel.protocols import Axis
from spaniel.rerank import PointwiseReranker
from spaniel.testing import Bits, Case, Cli, collection, contract, oracles, promises_of

# The good ones: one of each kind, from which the bad ones differ in one thing.


class Lengths(PointwiseReranker):
    """Scores by the length of the text."""

    def score(self, queries: Any, texts: Any) -> np.ndarray:
        return np.array([len(text) % 97 for text in texts], np.float32)


class Encoder:
    """Encodes by the first letters."""

    def __init__(self, config: Any, context: Context) -> None:
        self.context = context

    def encode(self, texts: Any, role: Any, metadata: Any = None) -> dict[str, DenseVectors]:
        values = np.zeros((len(texts), 4), np.float32)
        for row, text in enumerate(texts):
            values[row, : len(text[:4])] = [ord(c) % 7 for c in text[:4]]
        return {"dense": DenseVectors(values)}

    def fingerprint(self, role: str) -> dict[str, str]:
        return {"letters": "4"}


class Indexer:
    """Keeps vectors, and compares all."""

    can_add = False
    can_delete = False
    can_filter = False
    recall = 1.0

    def __init__(self, config: Any, context: Context) -> None:
        self.context = context

    def fingerprint(self) -> dict[str, str]:
        return {}

    def build(self, source: Any, draft: Any) -> None:
        save_vectors(source, draft.file("vectors"))

    def open(self, artifact: Any) -> Any:
        return Index(np.load(artifact.file("vectors/values.npy")))


class Index:
    """An opened index."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def search(self, queries: Any, k: int) -> Run:
        if not isinstance(queries, DenseVectors) or queries.values.shape[1] != self.values.shape[1]:
            raise UsageError("these are other queries")
        return Run.from_matrix(*topk(queries.values @ self.values.T, k))


class Retriever:
    """Retrieves by length."""

    def __init__(self, config: Any, context: Context) -> None:
        self.context = context

    def needs(self, corpus: Any) -> Any:
        return ()

    def retrieve(self, queries: Any, corpus: Corpus, run: Run | None = None) -> Run:
        scores = np.array([len(text) % 97 for text in corpus.contents(range(len(corpus)))], np.float32)
        return Run.from_matrix(*topk(np.broadcast_to(scores, (len(queries), len(corpus))), 9))


class Explainer:
    """Explains the score by itself."""

    def __init__(self, config: Any, context: Context) -> None:
        self.context = context

    def explain(self, target: Any, query: str, rows: Any, corpus: Corpus) -> list[Explanation]:
        scores = target.score([query] * len(rows), corpus.contents(rows)).tolist()
        pairs = zip(corpus.ids(rows), scores, strict=True)
        return [Explanation("t", "good", query, i, s, (Contribution("length", s),)) for i, s in pairs]


class Space(Bits):
    """Strings of six bits."""

    def __init__(self, config: Any, context: Context) -> None:
        super().__init__(6)


class Ones:
    """Counts ones."""

    direction = "maximise"

    def __init__(self, config: Any, context: Context) -> None:
        pass

    def score(self, space: Any, candidate: Any, seed: int) -> float:
        return float(sum(candidate))


class Walk:
    """Samples."""

    def __init__(self, config: Any, context: Context) -> None:
        pass

    def start(self, space: Any, rng: np.random.Generator, seeds: Any = ()) -> None:
        self.space, self.rng = space, rng

    def ask(self) -> Any:
        return self.space.sample(self.rng)

    def tell(self, candidate: Any, score: float) -> None:
        pass

    def state(self) -> Any:
        return self.rng.bit_generator.state

    def restore(self, space: Any, state: Any) -> None:
        self.space, self.rng = space, np.random.default_rng()
        self.rng.bit_generator.state = state


class Options(Config):
    """Options of the good ones."""

    k: int | None = Field(None, description="documents", ge=1)


# The bad ones.


class Adds(Lengths):
    def rerank(self, queries: Any, run: Run, corpus: Corpus) -> Run:
        return Run.from_lists([[(0, 1.0)]] * len(queries))


class Mixes(Lengths):
    def score(self, queries: Any, texts: Any) -> np.ndarray:
        return super().score(queries, texts) + np.float32(len(texts))


class Rolls(Lengths):
    def score(self, queries: Any, texts: Any) -> np.ndarray:
        return np.frombuffer(os.urandom(len(texts)), np.uint8).astype(np.float32)


class Wide(Lengths):
    def score(self, queries: Any, texts: Any) -> np.ndarray:
        return super().score(queries, texts).astype(np.float64)


class Conjures(Lengths):
    def rerank(self, queries: Any, run: Run, corpus: Corpus) -> Run:
        return super().rerank(queries, run, corpus) if len(run.rows) else Run.from_lists([[(0, 1.0)]] * len(run))


class Infinite(Lengths):
    def score(self, queries: Any, texts: Any) -> np.ndarray:
        return np.full(len(texts), np.inf, np.float32)


class Neighbours(Encoder):
    def encode(self, texts: Any, role: Any, metadata: Any = None) -> dict[str, DenseVectors]:
        values = super().encode(texts, role)["dense"].values
        return {"dense": DenseVectors(values - (values.mean(axis=0) if len(values) else 0))}


class Misnamed(Encoder):
    def encode(self, texts: Any, role: Any, metadata: Any = None) -> Any:
        return {"vectors": super().encode(texts, role)["dense"]}


class Shrinks(Encoder):
    def encode(self, texts: Any, role: Any, metadata: Any = None) -> dict[str, DenseVectors]:
        return super().encode(texts, role) if len(texts) else {"dense": DenseVectors(np.zeros((0, 3), np.float32))}


class Forgets(Encoder):
    def fingerprint(self, role: str) -> dict[str, str]:
        return {"object": str(id(self))}


class NoMetadata(Encoder):
    def encode(self, texts: Any, role: Any, metadata: Any = None) -> dict[str, DenseVectors]:
        return super().encode(texts, role) if metadata is None else {}


class Shuffles(Indexer):
    def build(self, source: Any, draft: Any) -> None:
        order = np.argsort(np.frombuffer(os.urandom(len(source)), np.uint8), kind="stable")
        save_vectors(source.take(order), draft.file("vectors"))


class Pickles(Indexer):
    def build(self, source: Any, draft: Any) -> None:
        super().build(source, draft)
        draft.file("model.pkl").write_bytes(b"\x80\x04N.")


class AtLeastOne(Indexer):
    def open(self, artifact: Any) -> Any:
        opened = Index(np.load(artifact.file("vectors/values.npy")))
        search = opened.search
        opened.search = lambda queries, k: search(queries, max(k, 1))  # type: ignore[method-assign]
        return opened


class NotEmpty(Indexer):
    def build(self, source: Any, draft: Any) -> None:
        super().build(source.take([0]), draft)


class Unequal(Indexer):
    def open(self, artifact: Any) -> Any:
        values = np.load(artifact.file("vectors/values.npy"))
        return Index(values * np.linspace(1, 2, len(values), dtype=np.float32)[:, None])


class Ten(Retriever):
    def retrieve(self, queries: Any, corpus: Corpus, run: Run | None = None) -> Run:
        return Run.from_lists([[(row, 1.0) for row in range(10)]] * len(queries))


class BuildsAtOnce(Retriever):
    def needs(self, corpus: Any) -> Any:
        self.context.obtain(corpus)
        return ()


class Chance(Retriever):
    def retrieve(self, queries: Any, corpus: Corpus, run: Run | None = None) -> Run:
        offset = float(os.urandom(1)[0] + os.urandom(1)[0] / 256)
        return Run.from_lists([[(0, offset)] if len(corpus) else []] * len(queries))


class Crowd(Retriever):
    def retrieve(self, queries: Any, corpus: Corpus, run: Run | None = None) -> Run:
        return Run.from_lists([[(0, float(len(queries)))] if len(corpus) else []] * len(queries))


class Batched(Retriever):
    def retrieve(self, queries: Any, corpus: Corpus, run: Run | None = None) -> Run:
        return Run.from_lists([[(0, float(self.context.batch_size or 0))] if len(corpus) else []] * len(queries))


class Exaggerates(Explainer):
    def explain(self, target: Any, query: str, rows: Any, corpus: Corpus) -> list[Explanation]:
        made = super().explain(target, query, rows, corpus)
        parts = [(Contribution("length", e.score + 1),) for e in made]
        return [
            Explanation("t", "good", query, e.document_id, e.score + 1, p) for e, p in zip(made, parts, strict=True)
        ]


class Backwards(Explainer):
    def explain(self, target: Any, query: str, rows: Any, corpus: Corpus) -> list[Explanation]:
        return super().explain(target, query, rows, corpus)[::-1]


class InPlace(Space):
    def mutate(self, candidate: Any, rng: np.random.Generator) -> Any:
        candidate[0] ^= 1
        return candidate


class TooLong(Space):
    def cross(self, first: Any, second: Any, rng: np.random.Generator) -> Any:
        return [*first, *second]


class Tuples(Space):
    def sample(self, rng: np.random.Generator) -> Any:
        return tuple(super().sample(rng))

    def validate(self, candidate: Any) -> None:
        super().validate(list(candidate) if isinstance(candidate, tuple) else candidate)


class Anything(Space):
    def validate(self, candidate: Any) -> None:
        pass


class OwnChance(Space):
    def sample(self, rng: np.random.Generator) -> Any:
        return [bit & 1 for bit in os.urandom(6)]


class Nothing(Space):
    def build(self, candidate: Any, seed: int) -> Any:
        return None


class Unnumbered(Ones):
    def score(self, space: Any, candidate: Any, seed: int) -> float:
        return float("nan")


class Undirected(Ones):
    direction = "up"


class Strays(Walk):
    def ask(self) -> Any:
        return [2]


class Restarts(Walk):
    def restore(self, space: Any, state: Any) -> None:
        self.space, self.rng = space, np.random.default_rng(0)


class Misplaces(Space):
    axes = tuple(Axis(str(place), 2) for place in range(6))

    def place(self, candidate: Any) -> list[float]:
        return candidate[::-1]  # type: ignore[no-any-return]

    def at(self, point: Any) -> Any:
        return list(point)


class Eager(Lengths):
    def __init__(self, config: Any, context: Context) -> None:
        super().__init__(config, context)
        context.obtain(collection().corpus().need)


class Undescribed(Config):
    k: int | None = None


ROLES = {"Space": "space", "Ones": "proxy", "Walk": "strategy"}
GOOD: dict[str, type] = {
    "rerank": Lengths,
    "encode": Encoder,
    "index": Indexer,
    "retrieve": Retriever,
    "explain": Explainer,
    "search_space": Space,
}
BAD: list[tuple[str, type, str]] = [
    ("rerank", Adds, "adds no document"),
    ("rerank", Infinite, "adds no document"),
    ("rerank", Mixes, "ignores batch size"),
    ("rerank", Mixes, "keeps lists apart"),
    ("rerank", Mixes, "scores pairs by themselves"),
    ("rerank", Wide, "scores pairs by themselves"),
    ("rerank", Rolls, "is deterministic"),
    ("rerank", Conjures, "takes empty lists"),
    ("rerank", Eager, "factory builds nothing"),
    ("encode", Misnamed, "gives what it declares"),
    ("encode", Shrinks, "takes no texts"),
    ("encode", Neighbours, "keeps texts apart"),
    ("encode", Forgets, "has fingerprints"),
    ("encode", NoMetadata, "takes metadata"),
    ("index", Shuffles, "is deterministic"),
    ("index", Pickles, "holds no code"),
    ("index", AtLeastOne, "takes any k"),
    ("index", NotEmpty, "takes any corpus"),
    ("index", Unequal, "treats equals alike"),
    ("retrieve", Ten, "takes any texts"),
    ("retrieve", Ten, "returns k documents"),
    ("retrieve", BuildsAtOnce, "names its needs"),
    ("retrieve", Chance, "is deterministic"),
    ("retrieve", Chance, "finds again what it built"),
    ("retrieve", Crowd, "keeps queries apart"),
    ("retrieve", Batched, "ignores batch size"),
    ("explain", Exaggerates, "adds up"),
    ("explain", Backwards, "explains every document"),
    ("search_space", InPlace, "makes valid candidates"),
    ("search_space", TooLong, "makes valid candidates"),
    ("search_space", Tuples, "candidates are JSON"),
    ("search_space", Anything, "refuses what is none"),
    ("search_space", OwnChance, "is deterministic"),
    ("search_space", Nothing, "builds its candidates"),
    ("search_space", Unnumbered, "scores are numbers"),
    ("search_space", Undirected, "scores are numbers"),
    ("search_space", Strays, "asks for valid candidates"),
    ("search_space", Restarts, "goes on from its state"),
    ("search_space", Misplaces, "places its candidates"),
]


def _plugin(kind: str, made: type, config: type = Options) -> object:
    """Return a plugin at hand with one component ``good``, and a target for explainers."""
    role = next((ROLES[base.__name__] for base in made.__mro__ if base.__name__ in ROLES), "")
    settings = {
        "encode": {"gives": ("dense",)},
        "index": {"takes": ("dense",)},
        "explain": {"takes": ("rerank/target",)},
    }

    def offer() -> Iterator[Component]:
        fields: Any = {**settings.get(kind, {}), "role": role, "config": f"{__name__}:{config.__name__}"}
        yield Component("good", f"{__name__}:{made.__name__}", "", **fields)

    class Plugin:
        @implements
        def rerank(self) -> Iterator[Component]:
            yield Component("target", f"{__name__}:Lengths", "")
            if kind == "rerank":
                yield from offer()

    if kind != "rerank":
        offer.__name__ = kind
        setattr(Plugin, kind, staticmethod(implements(offer)))
    return Plugin()


test_good_reranker = contract("rerank/good", plugins=[_plugin("rerank", Lengths)])
test_good_encoder = contract("encode/good", plugins=[_plugin("encode", Encoder)])
test_good_indexer = contract("index/good", plugins=[_plugin("index", Indexer)])
test_good_retriever = contract("retrieve/good", plugins=[_plugin("retrieve", Retriever)], options={"k": 9})
test_good_explainer = contract("explain/good", plugins=[_plugin("explain", Explainer)])
test_good_space = contract("search_space/good", plugins=[_plugin("search_space", Space)])
test_good_strategy = contract("search_space/good", plugins=[_plugin("search_space", Walk)])


@pytest.mark.parametrize(("kind", "made", "promise"), BAD)
def test_a_broken_promise_is_found(kind: str, made: type, promise: str, tmp_path: Path) -> None:
    options = {"k": 3} if promise == "returns k documents" else {}
    space = None
    plugins = [_plugin(kind, made)]
    if issubclass(made, Ones):
        space = "bits"
        plugins.append(_bits())
    case = Case(f"{kind}/good", tmp_path, options=options, plugins=plugins, space=space)
    with pytest.raises((AssertionError, UsageError)):
        promises_of(kind)[promise](case)


def _bits() -> object:
    class Plugin:
        @implements
        def search_space(self) -> Iterator[Component]:
            yield Component("bits", f"{__name__}:Space", "", role="space")

    return Plugin()


test_good_proxy = contract("search_space/good", plugins=[_plugin("search_space", Ones), _bits()], space="bits")


def test_options_without_a_description_are_found(tmp_path: Path) -> None:
    case = Case("rerank/good", tmp_path, plugins=[_plugin("rerank", Lengths, Undescribed)])
    with pytest.raises(AssertionError, match="k lack a description"):
        promises_of("rerank")["config is described"](case)


def test_contracts_name_what_they_cannot_hold() -> None:
    with pytest.raises(UsageError, match="write kind and name"):
        contract("overlap")
    with pytest.raises(UsageError, match="no promise 'is quick'"):
        contract("rerank/overlap", without=["is quick"])
    marks: Any = contract("rerank/overlap", without=["adds no document"]).pytestmark  # type: ignore[attr-defined]
    assert "adds no document" not in marks[0].args[1]
    assert set(promises_of("analyzer")) < set(promises_of("rerank"))


# The components for tests.


@pytest.fixture
def session(isolated_plugins: Registry, tmp_path: Path) -> Context:
    isolated_plugins.register(oracles, "oracles")
    return Context(tmp_path / "store", registry=isolated_plugins)


def test_the_oracle_knows_the_judgments(session: Context, tiny_dataset: Path) -> None:
    made = collection()
    corpus = made.corpus()
    run = session.run(Stage("oracle", data=str(tiny_dataset)), made.queries, corpus)
    for query, name in enumerate(made.queries.ids):
        rows, scores = run.of(query)
        assert dict(zip(corpus.ids(rows), scores.tolist(), strict=True)) == {f"{name}-0": 2, f"{name}-1": 1}
    with pytest.raises(UsageError, match="does not know the query 'else'"):
        session.create("rerank", Stage("oracle", data=str(tiny_dataset))).score(["else"], ["text"])


def test_noise_belongs_to_the_pair(session: Context, tiny_dataset: Path) -> None:
    oracle = session.create("rerank", Stage("oracle", data=str(tiny_dataset), noise=0.5))
    query, texts = collection().queries.texts[0], [d.contents for d in collection().documents]
    scores = oracle.score([query] * len(texts), texts)
    assert np.array_equal(scores[::-1], oracle.score([query] * len(texts), texts[::-1]))
    clean = session.create("rerank", Stage("oracle", data=str(tiny_dataset))).score([query] * len(texts), texts)
    assert 0.2 < np.std(scores - clean) < 0.8
    other = Context(session.store, registry=session.registry, seed=1)
    noisy = other.create("rerank", Stage("oracle", data=str(tiny_dataset), noise=0.5))
    assert not np.array_equal(scores, noisy.score([query] * len(texts), texts))


def test_the_spy_remembers_and_the_failing_fails(session: Context, tiny_dataset: Path) -> None:
    spy = session.create("rerank", Stage("spy", scorer=Stage("oracle", data=str(tiny_dataset))))
    query = collection().queries.texts[0]
    assert spy.score([query], ["anything"]).tolist() == [0.0]
    assert spy.pairs == 1
    assert spy.calls[0].texts == ("anything",)
    made = collection()
    retrieved = Stage("oracle", data=str(tiny_dataset))
    with pytest.raises(PluginError, match="fails after 3 pairs") as raised:
        session.run(retrieved >> Stage("failing", after=3), made.queries, made.corpus())
    assert isinstance(raised.value.__cause__, RuntimeError)


# The fixtures.


def test_collections_are_what_they_say(tiny_datasets: Callable[[str], Path], tiny_corpus: Corpus) -> None:
    assert len(tiny_corpus) == 24
    for variant, size in {"plain": 24, "empty": 0, "odd": 33, "unicode": 33, "megabyte": 25}.items():
        folder = tiny_datasets(variant)
        lines = (folder / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
        assert len(lines) == size
        assert {json.loads(line)["_id"] for line in lines} == {d.id for d in collection(variant).documents}
    with pytest.raises(UsageError, match="no variant 'huge'"):
        collection("huge")


def test_the_command_line_has_a_home_of_its_own(run_cli: Cli, tmp_path: Path) -> None:
    assert os.environ["SPANIEL_STORE"].startswith(str(tmp_path))
    ran = run_cli("components", "rerank", "--json")
    assert ran.exit_code == 0
    assert "cut" in {component["name"] for component in ran.json}
    assert run_cli("no-such-command").exit_code == 2
    assert run_cli.subprocess("components", "rerank", "--json").json == ran.json
