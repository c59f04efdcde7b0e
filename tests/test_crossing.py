"""Every component of the registry with every other that it can meet, whoever offers them.

Each test is over what is installed, so that a plugin that comes later is crossed with all others, too. Whatever declarations
allow must work: a refusal is a failure. What is otherwise stands in a table, with its reason: :data:`OPTIONS` has what a
component needs beyond its defaults, to be small or to have a model; :data:`WANTING` what cannot be made here,
:data:`LISTWISE` what scores no pairs, :data:`ONLY` and :data:`MODELS` which spaces a proxy is for, and :data:`REFUSED` what an
explainer refuses. An entry that no longer holds is a failure as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from spaniel import Context, Corpus, Document, PluginError, Queries, UsageError
from spaniel.data import MultiVectors
from spaniel.encoding import corpus_vectors, encode_queries, vectors_need
from spaniel.explain import explain_pipeline
from spaniel.expression import Stage
from spaniel.indexing import open_index
from spaniel.plugins import Registered, load_registry
from spaniel.protocols import Scorer, Tapped, TapProxy
from spaniel.testing import Cli

REGISTRY = load_registry(warn=False)
TEXTS = [
    "the cat sat on the mat and purred",
    "a dog barked at the mailman in the rain",
    "rain fell on the roof all night long",
    "the mailman brought a letter from a friend",
    "cats and dogs are animals that people keep",
    "a letter can take a week to arrive by ship",
    "the ship left the harbour before the storm",
    "storms bring rain and wind to the coast",
]
ASKED = ["where is the cat", "rain and storms", "who brings letters"]
_PROBE = {"batch_size": 4, "seq_len": 16, "vocab_size": 500}
OPTIONS: dict[str, dict[str, Any]] = {
    "index/faiss": {"factory": "Flat"},
    "index/cur": {"anchors": 2},
    "encode/sentence-transformer": {"model": "sentence-transformers/all-MiniLM-L6-v2"},
    "encode/splade": {"model": "package:cognition/model"},
    "search_space/flexibert": {"hidden": [32], "layers": [2], "ff_dim": [64], "embedding": 24, **_PROBE},
    "search_space/rnn-cells": {"hidden": 12, "embedding": 10, "layers": 2, **_PROBE, "seq_len": 8},
    "search_space/digits": {"steps": 5},
    "search_space/nlu-bert-mobilebert": {"layers": 2, "hidden": 48, "heads": 4, "ffn_units": 12, "embed": 16, **_PROBE},
    "search_space/titles": {"steps": 3, "rows": 60, "batch": 16},
    "rerank/tiny-cross-encoder": {"data": "python-docs", "groups": 4, "epochs": 1},
}
WANTING = {
    "encode/inference-free": "the option `model` names a trained model, which no package carries",
    "encode/token-encoder": "its default model is fetched from a network",
    "rerank/cross-encoder": "the option `model` names a trained model, which no package carries",
    "rerank/cut": "the option `k` has no default; it scores nothing",
    "rerank/mvp": "its default model is fetched from a network",
    "retrieve/multi-vector": "the option `encoder` has no default: token vectors need a trained model",
    "search_space/pipelines": "the option `expression` is the space",
}
"""What cannot be made from what the packages carry, and why."""
LISTWISE = {
    "adacur-rerank": "scores documents by some of the others",
    "cut": "keeps the scores that there are",
    "listwise": "asks for an order of a list",
    "mvp": "scores the documents of a list together",
}
"""Rerankers that score no pairs."""
ONLY = {"digits": ("programs",), "titles": ("programs",), "judgments": ("ranking-programs",)}
"""Proxies that run a candidate in a place of their own, with the spaces whose candidates run there."""
MODELS = ("flexibert", "nlu-bert-mobilebert", "rnn-cells")
"""Spaces whose candidates are models that read texts."""
_GRADIENTS = ("ablation-cam", "cf-cam", "grad-cam", "grad-cam-pp", "gradient-input", "head-gradients", "hires-cam",
              "integrated-gradients", "layer-cam", "score-cam", "smooth-grad-cam-pp")  # fmt: skip
REFUSED = {
    **{
        (name, "maxsim"): "maxsim compares vectors of another component, and has no model to look into"
        for name in _GRADIENTS
    },
    ("maxsim-matches", "dense(encoder=minilm)"): "one vector a text has no tokens to match",
}
"""Pairs of an explainer that takes every component of a kind, and one that it says it cannot explain."""


def _is_absent(registered: Registered, error: BaseException) -> bool:
    """Whether an error says that the extra is not installed that a component declares."""
    return bool(registered.component.extra) and "pip install" in str(error)


def _components(kind: str, role: str = "") -> list[Registered]:
    if kind not in REGISTRY.kinds:
        return []
    return [found for found in REGISTRY.components(kind) if found.component.role == role]


def _stage(registered: Registered, **more: Any) -> Stage:
    options = OPTIONS.get(f"{registered.kind}/{registered.name}", {})
    return Stage(registered.full_name, **{**options, **more})


def _usable(registered: Registered) -> None:
    """Skip what cannot be made here, by the table alone."""
    name = f"{registered.kind}/{registered.name}"
    if name in WANTING:
        pytest.skip(f"{name}: {WANTING[name]}")
    try:
        registered.resolve_factory()
    except PluginError as error:
        if not _is_absent(registered, error):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return Context(tmp_path_factory.mktemp("crossing"), device="cpu", offline=True)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus.from_documents(Document(f"d{number}", "", text) for number, text in enumerate(TEXTS))


@pytest.fixture(scope="module")
def queries() -> Queries:
    return Queries.from_lists([str(number) for number in range(len(ASKED))], ASKED)


def _ids(found: Registered) -> str:
    return found.full_name


# Encoders and indexes


def _pairs() -> Iterator[Any]:
    for encoder, index in product(_components("encode"), _components("index")):
        for form in encoder.component.gives:
            if form in index.component.takes:
                yield pytest.param(encoder, index, form, id=f"{encoder.name} {form} {index.name}")


@pytest.mark.parametrize(("encoder", "index", "form"), list(_pairs()))
def test_every_encoder_under_every_index_that_fits(
    encoder: Registered, index: Registered, form: str, context: Context, corpus: Corpus, queries: Queries
) -> None:
    """An index finds what comparing all vectors finds, in the share that it promises."""
    _usable(encoder)
    _usable(index)
    expression = _stage(encoder)
    vectors = corpus_vectors(context, expression, corpus.need, form)
    asked = encode_queries(context, expression, queries)[form]
    opened = open_index(context, _stage(index), vectors_need(context, expression, corpus.need), form)
    found = opened.search(asked, 3)
    assert len(found) == len(queries)
    exact = _compare(asked, vectors)
    hits = []
    for query in range(len(queries)):
        rows, scores = found.of(query)
        assert np.abs(scores - exact[query, rows]).max(initial=0) < 2e-2 * max(1.0, np.abs(exact).max())
        best = np.argsort(-exact[query], kind="stable")[: len(rows)]
        hits.append(np.isin(best, rows).mean() if len(rows) else 1.0)
    promised = getattr(context.create("index", _stage(index)), "recall", 1.0)
    assert np.mean(hits) >= promised - 1e-9 or promised < 1


def _compare(asked: Any, vectors: Any) -> np.ndarray:
    """Return the score of every query with every document, by the definition."""
    if not isinstance(vectors, MultiVectors):
        scores = np.asarray(asked.dot(vectors), np.float64)
        if vectors.metric == "cosine":
            lengths = [np.linalg.norm(np.asarray(side.values, np.float64), axis=1) for side in (asked, vectors)]
            scores = scores / np.outer(*(np.maximum(length, 1e-30) for length in lengths))
        return scores
    scores = np.zeros((len(asked), len(vectors)))
    for query, document in product(range(len(asked)), range(len(vectors))):
        left, right = (
            side.take([row]).values.astype(np.float64) for side, row in ((asked, query), (vectors, document))
        )
        if vectors.metric == "cosine":
            left, right = (values / np.linalg.norm(values, axis=1, keepdims=True) for values in (left, right))
        scores[query, document] = (left @ right.T).max(axis=1).sum()
    return scores


# Rerankers as scorers


@pytest.mark.parametrize("reranker", _components("rerank"), ids=_ids)
def test_every_reranker_that_scores_pairs_is_a_scorer_for_others(
    reranker: Registered, context: Context, corpus: Corpus, queries: Queries
) -> None:
    """What reranks by pairs gives the same scores where another component asks it for pairs."""
    _usable(reranker)
    if not REGISTRY.has("retrieve", "adacur"):
        pytest.skip("adacur is not installed")
    expression = _stage(reranker)
    component = context.create("rerank", expression)
    assert isinstance(component, Scorer) == (reranker.name not in LISTWISE)
    if reranker.name in LISTWISE:
        return
    everything = len(TEXTS)
    options = {"scorer": expression, "anchor_queries": 3, "budget": everything, "k": everything}
    found = context.run(Stage("adacur", **options), queries, corpus)
    for query, text in enumerate(ASKED):
        rows, scores = found.of(query)
        assert sorted(rows.tolist()) == list(range(everything))
        alone = component.score([text] * everything, corpus.contents(rows))
        assert np.abs(alone - scores).max() < 1e-3 * max(1.0, np.abs(alone).max())


# Proxies and spaces


@pytest.mark.parametrize("space", _components("search_space", "space"), ids=_ids)
@pytest.mark.parametrize("proxy", _components("search_space", "proxy"), ids=_ids)
def test_every_proxy_over_every_space_that_fits(space: Registered, proxy: Registered, context: Context) -> None:
    """A proxy scores a candidate, the same each time; or it says why it cannot."""
    _usable(space)
    _usable(proxy)
    place = context.create("search_space", _stage(space))
    scores = context.create("search_space", _stage(proxy))
    candidate = place.sample(np.random.default_rng(0))
    if _misfit(space, proxy, place, scores):
        with pytest.raises(UsageError):
            scores.score(place, candidate, 0)
        return
    made = [scores.score(place, candidate, 0) for _ in range(2)]
    assert made[0] == made[1]
    assert isinstance(made[0], float)
    if isinstance(scores, TapProxy) and isinstance(place, Tapped):
        seen = place.forward(candidate, 0, list(scores.taps))
        assert scores.score_taps(seen) == pytest.approx(made[0], rel=1e-6)


def _misfit(space: Registered, proxy: Registered, place: Any, scores: Any) -> bool:
    """Whether a proxy is for other spaces: by the tables, and by the taps that the two declare."""
    from spaniel_neural.taps import has_tap

    if proxy.name in ONLY:
        return space.name not in ONLY[proxy.name]
    taps = getattr(getattr(scores, "proxy", scores), "taps", ())
    return space.name not in MODELS or not all(has_tap(place.taps, tap) for tap in taps)


# Recipes


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with training rows, each with a teacher's scores, and tiny bases by task."""
    from spaniel_neural.testing import write_model
    from spaniel_train.rows import Row, score_key

    folder = tmp_path_factory.mktemp("material")
    with (folder / "rows.jsonl").open("w") as file:
        for number, query in enumerate(ASKED * 2):
            texts = TEXTS[number : number + 3]
            scores = {score_key(query, text): float(-place) for place, text in enumerate(texts)}
            row = Row(f"{query} {number}", (texts[0],), tuple(texts[1:]), {})
            scored = {score_key(row.query, text): float(-place) for place, text in enumerate(texts)}
            file.write(json.dumps({**row.to_json(), "scores": {**scores, **scored}}) + "\n")
    words = [*TEXTS, *ASKED, "begins ends 0 1 2 3 4 5"]
    for task in ("encoder", "masked-lm", "sequence-classification", "causal-lm", "seq2seq"):
        family = {"causal-lm": "llama", "seq2seq": "t5"}.get(task, "bert")
        head = {"num_labels": 1} if task == "sequence-classification" else {}
        write_model(folder / task, family, task, texts=words, **head)  # type: ignore[arg-type]
    return folder


TRAINEES: dict[str, str] = {"emb-cross-encoder": "emb-cross-encoder(markers=['begins', 'ends', 'cat'])"}
"""Kinds of models whose options are not the defaults."""


def _train(material: Path, out: Path, run_cli: Cli, trainee: Registered, **recipe: Any) -> dict[str, Any]:
    maker = Context(out.parent / "none", offline=True).create("trainee", TRAINEES.get(trainee.name, trainee.full_name))
    base = material / (maker.task or "seq2seq")
    whole = {
        "model": {"kind": TRAINEES.get(trainee.name, trainee.full_name), "base": str(base), "max_length": 24},
        "data": [{"rows": str(material / "rows.jsonl")}],
        "batches": {"size": 3, "negatives": 2},
        "steps": 2,
        **recipe,
    }
    path = out.parent / "recipe.yaml"
    path.write_text(yaml.safe_dump(whole))
    ran = run_cli("train", str(path), "-o", str(out), "--json")
    assert ran.exit_code == 0, ran.stderr
    assert any(out.rglob("*.safetensors"))
    report: dict[str, Any] = ran.json
    return report


def _fitting(objective: Registered, context: Context) -> list[Registered]:
    """Return the kinds of models that give what an objective needs."""
    needs = context.create("objective", _stage(objective)).needs - {"teacher"}
    found = []
    for trainee in _components("trainee"):
        gives = context.create("trainee", TRAINEES.get(trainee.name, trainee.full_name)).gives
        speaks = {"masked tokens", "next tokens"}
        if needs <= gives and (needs & speaks or not gives & speaks):
            found.append(trainee)
    return found


@pytest.mark.parametrize("objective", _components("objective"), ids=_ids)
def test_every_objective_in_a_recipe(
    objective: Registered, context: Context, material: Path, tmp_path: Path, run_cli: Cli
) -> None:
    """It trains the first kind of model that gives what it needs."""
    _usable(objective)
    fitting = _fitting(objective, context)
    assert fitting, f"no kind of model gives what {objective.full_name} needs"
    _train(material, tmp_path / "made", run_cli, fitting[0], objectives=[{"use": _written(objective, fitting[0])}])


def _written(objective: Registered, trainee: Registered) -> str:
    """Return an objective's expression, for models that read pairs without other rows' texts."""
    pairs_only = trainee.name in ("cross-encoder", "emb-cross-encoder")
    alone = pairs_only and "in_batch" in (objective.config_model().model_fields if objective.component.config else {})
    return str(_stage(objective, **({"in_batch": False} if alone else {})))


@pytest.mark.slow
@pytest.mark.parametrize("objective", _components("objective"), ids=_ids)
@pytest.mark.parametrize("trainee", _components("trainee"), ids=_ids)
def test_every_objective_with_every_kind_of_model_that_fits(
    objective: Registered, trainee: Registered, context: Context, material: Path, tmp_path: Path, run_cli: Cli
) -> None:
    _usable(objective)
    if trainee not in _fitting(objective, context):
        pytest.skip(f"{trainee.name} does not give what {objective.name} needs")
    _train(material, tmp_path / "made", run_cli, trainee, objectives=[{"use": _written(objective, trainee)}])


@pytest.mark.parametrize("optimizer", _components("optimizer"), ids=_ids)
def test_every_optimizer_in_a_recipe(optimizer: Registered, material: Path, tmp_path: Path, run_cli: Cli) -> None:
    _usable(optimizer)
    (trainee,) = [found for found in _components("trainee") if found.name == "bi-encoder"]
    recipe = {"objectives": [{"use": "info-nce"}], "optimizer": {"use": str(_stage(optimizer)), "groups": []}}
    report = _train(material, tmp_path / "made", run_cli, trainee, **recipe)
    assert report


# Explainers


def _targets(explainer: Registered) -> Iterator[str]:
    """Yield stages that an explainer says it explains, with a scorer that is on every machine."""
    for taken in explainer.component.takes:
        kind, _, name = taken.partition("/")
        if taken == "pipeline":
            yield "bm25 >> cut(k=3)"
        elif name == "*":
            yield {"retrieve": "dense(encoder=minilm)", "rerank": "maxsim"}[kind]
        else:
            yield name


_EXPLAINED = [
    pytest.param(
        explainer,
        target,
        id=f"{explainer.full_name} {target}",
        marks=[pytest.mark.slow] if target == "tiny-cross-encoder" else [],
    )
    for explainer in _components("explain")
    for target in dict.fromkeys(_targets(explainer))
]
STAGES = {
    "rrf": "rrf(bm25, bm25(k1=0.5))",
    "passages": "passages(bm25)",
    "weighted": "weighted(bm25, bm25(k1=0.5), weights=[0.5, 0.5])",
    "dense": "dense(encoder=minilm)",
    "anncur": "anncur(anchor_queries=3, budget=6)",
    "adacur": "adacur(anchor_queries=3, budget=6)",
    "sparse": "sparse(encoder=splade-tiny)",
}
"""Stages whose options are not the defaults."""


@pytest.mark.parametrize(("explainer", "target"), _EXPLAINED)
def test_every_explainer_on_what_it_explains(
    explainer: Registered, target: str, context: Context, corpus: Corpus
) -> None:
    """Explanations of a pipeline's best documents add up to their scores."""
    _usable(explainer)
    stage = STAGES.get(target, target)
    named = [f"{kind}/{target.partition('(')[0]}" for kind in ("retrieve", "rerank")]
    if any(name in WANTING for name in named) and stage == target:
        pytest.skip(next(f"{name}: {WANTING[name]}" for name in named if name in WANTING))
    head = "" if _begins(stage, context) else "bm25 >> "
    pipeline = context.pipeline(head + stage)
    asked = Queries.from_lists(["0"], [ASKED[1]])
    run = context.run(pipeline, asked, corpus).cut(3)
    if (explainer.name, target) in REFUSED:
        with pytest.raises(UsageError, match="explains"):
            explain_pipeline(context, pipeline, ASKED[1], run.rows.tolist(), corpus, explainer=explainer.full_name)
        return
    made = explain_pipeline(context, pipeline, ASKED[1], run.rows.tolist(), corpus, explainer=explainer.full_name)
    assert len(made) == len(run.rows) > 0
    is_exact = getattr(context.create("explain", explainer.full_name), "exact", False)
    for explanation, score in zip(made, run.scores.tolist(), strict=True):
        slack = 1e-5 * max(1.0, abs(explanation.score))
        assert abs(explanation.total() - explanation.score) <= slack
        if is_exact:
            # The remainder of one that is exact is nothing: its parts alone are the score that the list has.
            parts = sum(part.score for part in explanation.contributions if part.kind != "remainder")
            assert abs(parts - (score if explanation.unit != "rank" else explanation.score)) <= slack


def test_every_exception_is_about_what_there_is() -> None:
    """A table that names what is gone would let through what comes back under its name."""
    installed = {f"{found.kind}/{found.name}" for found in REGISTRY.components()}
    named = {*WANTING, *OPTIONS, *(f"rerank/{name}" for name in LISTWISE)}
    named |= {f"search_space/{name}" for name in (*ONLY, *MODELS, *(s for spaces in ONLY.values() for s in spaces))}
    named |= {f"explain/{explainer}" for explainer, _ in REFUSED}
    assert named <= installed, sorted(named - installed)


def _begins(stage: str, context: Context) -> bool:
    try:
        context.pipeline(stage)
    except UsageError:
        return False
    return True
