"""The cross-encoder that trains itself, on tiny random models and a collection of six topics."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from spaniel import Context, Corpus, Document, Qrels, Queries, Run, Stage, UsageError
from spaniel.collections import find_dataset
from spaniel.data import write_folder
from spaniel.expression import Expression
from spaniel.learning import learned_from
from spaniel.system import Task, open_task, run_system
from spaniel.testing import Case, collection, promises_of
from spaniel_neural.testing import write_model
from spaniel_rerankers.groups import Groups, labelled_groups, sentence_groups, split_queries, unlabelled_groups
from spaniel_rerankers.training import Training

DATA = Path(os.environ.get("SPANIEL_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
PLAIN = collection()
TEXTS = [document.contents for document in PLAIN.documents]
TINY = {"epochs": 2, "batch": 4, "negatives": 2, "max_length": 32, "learning_rate": 1e-3, "k": 6}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = [*TEXTS, *PLAIN.queries.texts]
    return write_model(tmp_path_factory.mktemp("tiny") / "base", texts=words, initializer_range=0.05)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plain collection with its queries, each in three wordings, as a train split."""
    wordings = {"a": "{}", "b": "please say, {}", "c": "{} today"}
    ids = [f"{name}-{key}" for name in PLAIN.queries.ids for key in wordings]
    texts = [form.format(text) for text in PLAIN.queries.texts for form in wordings.values()]
    qrels = Qrels({name: PLAIN.qrels[name.partition("-")[0]] for name in ids})
    target = tmp_path_factory.mktemp("tiny") / "data"
    write_folder(target, PLAIN.documents, Queries.from_lists(ids, texts), {"train": qrels, "test": qrels})
    return target


@pytest.fixture
def session(tmp_path: Path) -> Callable[[str], Context]:
    return lambda name: Context(tmp_path / name, device="cpu", offline=True)


def stage(base: Path, folder: Path, **options: Any) -> Stage:
    return Stage("tiny-cross-encoder", base=str(base), data=str(folder), **{**TINY, **options})


def weights(context: Context, made: Stage) -> dict[str, bytes]:
    artifact = context.create("rerank", made).artifact
    return {name: artifact.file(name).read_bytes() for name in artifact.files}


def test_it_is_a_folder_that_sentence_transformers_loads(
    session: Callable[[str], Context], base: Path, folder: Path
) -> None:
    from sentence_transformers import CrossEncoder

    context = session("store")
    reranker = context.create("rerank", stage(base, folder))
    queries = ["which dog retrieves", "ship sailing"] * 5
    scores = reranker.score(queries, TEXTS[:10])
    peer = CrossEncoder(str(reranker.artifact.path), device="cpu", local_files_only=True)
    assert np.allclose(scores, peer.predict(list(zip(queries, TEXTS[:10], strict=True))), atol=1e-5)
    assert peer.max_seq_length == 32
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= set(reranker.artifact.files)
    assert not any(name.startswith("training") for name in reranker.artifact.files)


def test_it_learns_what_it_is_shown(session: Callable[[str], Context], base: Path, folder: Path) -> None:
    context = session("store")
    made = stage(base, folder, epochs=12, weight=1.0)
    losses = context.create("rerank", made).artifact.info["losses"]
    assert len(losses) == 12
    assert losses[0] == pytest.approx(np.log(3), abs=0.3)
    assert losses[-1] < 0.5 * losses[0]
    task = open_task(context, find_dataset(context, str(folder)), "test")
    untrained = Stage("cross-encoder", model=str(base_of(context, base)), k=6)
    assert (
        measure(context, task, Stage("bm25", k=20) >> made)
        > measure(context, task, Stage("bm25", k=20) >> untrained) + 0.1
    )


def measure(context: Context, task: Task, pipeline: Expression) -> float:
    evaluation = run_system(context, context.pipeline(pipeline), task, ["nDCG@10"]).evaluation
    assert evaluation is not None
    return evaluation.means["nDCG@10"]


def base_of(context: Context, base: Path) -> Path:
    """The same network before it has learned anything."""
    from spaniel_neural.loading import load_transformer

    target = context.store.root.parent / "untrained"
    made = load_transformer(base, "sequence-classification", fresh=("classifier", "pooler"), num_labels=1, device="cpu")
    made.model.save_pretrained(target)
    made.tokenizer.save_pretrained(target)
    return target


def test_a_killed_training_goes_on_and_ends_the_same(
    session: Callable[[str], Context], base: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = weights(session("whole"), stage(base, folder, epochs=3))
    seen: list[int] = []
    run = Training.run

    def stopped(self: Training, epoch: int, advance: Callable[[int], None]) -> float:
        seen.append(epoch)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return run(self, epoch, advance)

    monkeypatch.setattr(Training, "run", stopped)
    with pytest.raises(KeyboardInterrupt):
        weights(session("killed"), stage(base, folder, epochs=3))
    torch.manual_seed(7)
    resumed = weights(session("killed"), stage(base, folder, epochs=3))
    assert seen == [0, 1, 2, 2]
    assert resumed == expected


def test_the_seed_decides_and_nothing_else(tmp_path: Path, base: Path, folder: Path) -> None:
    made = stage(base, folder, epochs=1)
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    first = weights(Context(tmp_path / "a", device="cpu", batch_size=2), made)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(4)
    assert weights(Context(tmp_path / "b", device="cpu"), made) == first
    other = weights(Context(tmp_path / "c", device="cpu", seed=1), made)
    assert other["model.safetensors"] != first["model.safetensors"]


def test_how_it_reranks_is_no_part_of_the_recipe(session: Callable[[str], Context], base: Path, folder: Path) -> None:
    context = session("store")

    def address(**options: Any) -> str:
        (need,) = context.create("rerank", stage(base, folder, **options)).needs(None)
        return str(need.recipe.address)

    assert address(k=3, weight=0.1, cache=False) == address()
    # The same judgments under another name are the same training data.
    assert address(split="test") == address()
    assert len({address(), address(epochs=1), address(negatives=3)}) == 3
    assert not list(context.store.list()) or all(
        entry.artifact.recipe.type != "model" for entry in context.store.list()
    )


def test_the_weight_is_chosen_on_what_was_held_out(session: Callable[[str], Context], base: Path, folder: Path) -> None:
    reranker = session("store").create("rerank", stage(base, folder))
    info = reranker.artifact.info
    measured = {float(weight): value for weight, value in info["held_out_nDCG@10"].items()}
    assert info["held_out"] == 18 // 5
    assert reranker.weight() == info["weight"]
    assert measured[info["weight"]] == pytest.approx(max(measured.values()), abs=1e-6)
    assert all(0 < value <= 1 for value in measured.values())


def test_it_learns_without_judgments(session: Callable[[str], Context], base: Path, tmp_path: Path) -> None:
    target = tmp_path / "unjudged"
    documents = [document._replace(text=f"{document.text}. So it is said in books.") for document in PLAIN.documents]
    write_folder(target, documents, PLAIN.queries, {"test": PLAIN.qrels})
    reranker = session("store").create("rerank", stage(base, target, groups=10))
    assert reranker.artifact.info["groups"] == 10
    assert reranker.weight() == 0.2


def test_groups_of_judgments() -> None:
    corpus = PLAIN.corpus()
    run = Run.from_lists([[(row, 1.0) for row in range(len(corpus))]] * len(PLAIN.queries))
    groups = labelled_groups(PLAIN.queries, PLAIN.qrels, corpus, run)
    relevant = {
        (PLAIN.queries.texts[number], corpus.contents(corpus.rows([document]))[0])
        for number, name in enumerate(PLAIN.queries.ids)
        for document, grade in PLAIN.qrels[name].items()
        if grade > 0
    }
    assert set(zip(groups.queries, groups.positives, strict=True)) == relevant
    rng = np.random.default_rng(0)
    drawn = groups.negatives(5, len(corpus), rng)
    for number, query in enumerate(groups.queries):
        assert len(set(drawn[number].tolist())) == 5
        assert not any((query, text) in relevant for text in corpus.contents(drawn[number]))
    few = Groups(["a"], ["b"], np.array([[3, -1]])).negatives(4, 10, rng)
    assert few.shape == (1, 4)
    assert few[0, 0] == 3
    assert ((few >= 0) & (few < 10)).all()


def test_held_out_queries_are_apart() -> None:
    learned, held = split_queries(PLAIN.queries, np.random.default_rng(0))
    assert sorted([*learned.tolist(), *held.tolist()]) == list(range(6))
    assert len(held) == 1


def test_sentences_and_what_they_were_taken_from() -> None:
    documents = [
        Document("a", "Title", "The first sentence has six words. The second sentence has six, too!\n\nShort."),
        Document("b", "", "Only one sentence is in this document"),
        Document("c", "", "Two. Few."),
    ]
    corpus = Corpus.from_documents(documents)
    kept = 0
    for seed in range(60):
        queries, rests, rows = sentence_groups(corpus, 5, np.random.default_rng(seed))
        assert corpus.ids(rows) == ["a"]
        assert queries.texts[0] in ("The first sentence has six words.", "The second sentence has six, too!")
        assert rests[0].startswith("Title The")
        kept += queries.texts[0] in rests[0]
        run = Run.from_lists([[(row, 1.0) for row in range(3)]])
        assert sorted(unlabelled_groups(queries, rests, rows, run).candidates[0].tolist()) == sorted(
            {0, 1, 2} - set(rows)
        )
    assert 0 < kept < 20
    with pytest.raises(UsageError, match="nothing to learn from"):
        sentence_groups(Corpus.from_documents(documents[1:]), 5, np.random.default_rng(0))
    chinese = Document("d", "", "今天的天气真的非常好。明天可能会下大雨吧。")
    hindi = Document("e", "", "यह पहला वाक्य है जो लंबा है। यह दूसरा वाक्य है जो लंबा है।")
    for document in (chinese, hindi):
        queries, _, _ = sentence_groups(Corpus.from_documents([document]), 5, np.random.default_rng(0))
        assert queries.texts[0] in document.text
        assert len(queries.texts[0]) < len(document.text)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"data": "no-such-collection"},
            "cannot learn from data='no-such-collection': .*give another with data=",
        ),
        ({"split": "dev"}, "no split 'dev', but test, train"),
        ({"base": "package:no_such_package/model"}, "no_such_package is not installed"),
    ],
)
def test_what_is_lacking_is_named(
    session: Callable[[str], Context], base: Path, folder: Path, options: dict[str, Any], said: str
) -> None:
    made = Stage("tiny-cross-encoder", **{"base": str(base), "data": str(folder), **options})
    with pytest.raises(UsageError, match=re.compile(said, re.DOTALL)):
        session("store").create("rerank", made).needs(None)


def test_a_collection_that_cannot_be_fetched(
    session: Callable[[str], Context], base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr("spaniel_rerankers.recipe.find_dataset", fail)
    with pytest.raises(UsageError, match="no network; give another with data="):
        session("store").create("rerank", Stage("tiny-cross-encoder", base=str(base))).needs(None)


def test_it_tells_which_queries_it_has_learned_from(
    session: Callable[[str], Context], base: Path, folder: Path
) -> None:
    context = session("store")
    asked = Queries.from_lists(["x", "y"], [f"{PLAIN.queries.texts[0]} today", "another"])
    pipeline = context.pipeline(Stage("bm25") >> stage(base, folder))
    (found,) = learned_from(context, pipeline, asked)
    assert (found.component, found.source, found.queries) == ("tiny-cross-encoder", "data train", (0,))
    assert not list(context.store.list()), "nothing is trained for that"


@pytest.mark.parametrize("promise", promises_of("rerank"))
def test_the_contract(tmp_path: Path, base: Path, folder: Path, promise: str) -> None:
    options = {"base": str(base), "data": str(folder), **TINY, "epochs": 1, "cache": False}
    promises_of("rerank")[promise](Case("rerank/tiny-cross-encoder", tmp_path, options=options))


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "scifact").is_dir(), reason="no SPANIEL_TEST_DATA with scifact")
def test_scifact(tmp_path: Path) -> None:
    """Trained on the train split, it lifts BM25 on the test split, with the weight that the recipe chose."""
    context = Context(tmp_path / "store", device="cpu", offline=True)
    task = open_task(context, find_dataset(context, str(DATA / "scifact")), "test")
    tiny = Stage("tiny-cross-encoder", data=str(DATA / "scifact"), k=20)
    first = measure(context, task, Stage("bm25", k=100))
    assert first == pytest.approx(0.679, abs=0.002)
    assert measure(context, task, Stage("bm25", k=100) >> tiny) > first + 0.01
