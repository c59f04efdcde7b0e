"""MaxSim against the core's own, and token vectors against sentence-transformers."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spaniel import Context, Queries, Run, Stage, UsageError
from spaniel.data import MultiVectors
from spaniel.testing import Case, collection, promises_of
from spaniel_neural.testing import write_model
from spaniel_rerankers.similarity import pair_similarity
from spaniel_rerankers.token_layout import read_token_layout

PLAIN = collection()
TEXTS = [document.contents for document in PLAIN.documents]
ODD = ["", "?!", "dog " * 90, "Dog, dog: ( a dog ) !"]
CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("tokens") / "model", texts=[*TEXTS, *string.punctuation])


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(tmp_path / "store", device="cpu", offline=True)


def ragged(rng: np.random.Generator, lengths: list[int], width: int = 8) -> MultiVectors:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return MultiVectors(offsets, rng.standard_normal((offsets[-1], width)).astype(np.float32))


def encode(
    context: Context, folder: Path, texts: list[str], role: str = "document", **options: Any
) -> list[np.ndarray]:
    made = context.create("encode", Stage("token-encoder", model=str(folder), **options)).encode(texts, role)[
        "multi-vector"
    ]
    return [made.values[made.offsets[i] : made.offsets[i + 1]] for i in range(len(texts))]


def expect_same(mine: list[np.ndarray], theirs: list[Any], tolerance: float = 1e-5) -> None:
    for one, other in zip(mine, theirs, strict=True):
        assert one.shape == tuple(other.shape)
        assert np.allclose(one, np.asarray(other), atol=tolerance)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=6), st.lists(st.integers(0, 9), min_size=1, max_size=9), st.data()
)
def test_pairs_score_as_the_whole_matrix(queries: list[int], documents: list[int], data: st.DataObject) -> None:
    rng = np.random.default_rng(len(queries) + 10 * len(documents))
    mine, theirs = ragged(rng, queries), ragged(rng, documents)
    pair = st.tuples(st.integers(0, len(queries) - 1), st.integers(0, len(documents) - 1))
    pairs = np.array(data.draw(st.lists(pair, max_size=30)), np.int64).reshape(-1, 2)
    found = pair_similarity(mine, theirs, pairs[:, 0], pairs[:, 1], CPU)
    assert np.allclose(found, mine.maxsim(theirs)[pairs[:, 0], pairs[:, 1]], atol=1e-5)


def test_pairs_of_many_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    mine, theirs = ragged(rng, list(range(12))), ragged(rng, list(range(40)))
    pairs = np.stack([rng.integers(0, 12, 500), rng.integers(0, 40, 500)])
    whole = pair_similarity(mine, theirs, *pairs, CPU)
    monkeypatch.setattr("spaniel_rerankers.similarity._NUMBERS", 100)
    assert np.allclose(pair_similarity(mine, theirs, *pairs, CPU), whole, atol=1e-5)
    assert np.allclose(whole, mine.maxsim(theirs)[pairs[0], pairs[1]], atol=1e-5)
    with pytest.raises(UsageError, match="8 and 4 dimensions"):
        pair_similarity(mine, ragged(rng, [2], 4), pairs[0], pairs[1], CPU)


def brute_force(context: Context, encoder: Stage, queries: Queries, texts: list[str]) -> np.ndarray:
    made = context.create("encode", encoder)
    scores: np.ndarray = made.encode(queries.texts, "query")["multi-vector"].maxsim(
        made.encode(texts, "document")["multi-vector"]
    )
    return scores


@pytest.mark.parametrize("documents", ["listed", "stored"])
def test_reranking_scores_as_the_core(
    context: Context, model: Path, documents: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spaniel_rerankers.maxsim.DOCUMENTS", 5)
    corpus, queries = PLAIN.corpus(), PLAIN.queries
    encoder = Stage("token-encoder", model=str(model))
    expected = brute_force(context, encoder, queries, corpus.contents(range(len(corpus))))
    rng = np.random.default_rng(3)
    run = Run.from_lists(
        [[(int(row), 0.0) for row in rng.permutation(len(corpus))[:size]] for size in (0, 1, 7, 24, 9, 3)]
    )
    reranker = context.create("rerank", Stage("maxsim", encoder=encoder, documents=documents, k=20))
    with context.stage("test") as stage:
        found = reranker.rerank(queries, run, corpus)
    assert found.lengths.tolist() == [0, 1, 7, 20, 9, 3]
    assert np.allclose(found.scores, expected[found.owners, found.rows], atol=1e-5)
    assert stage.cost["pairs scored"] == 40
    assert [need.recipe.type for need in reranker.needs(corpus.need)] == ([] if documents == "listed" else ["vectors"])
    scored = reranker.score([queries.texts[2]] * 3, corpus.contents([4, 4, 7]))
    assert np.allclose(scored, expected[2, [4, 4, 7]], atol=1e-5)


def test_a_document_is_encoded_once(context: Context, model: Path) -> None:
    corpus = PLAIN.corpus()
    run = Run.from_lists([[(row, 0.0) for row in range(9)]] * len(PLAIN.queries))
    with context.stage("test") as stage:
        context.create("rerank", Stage("maxsim", encoder=Stage("token-encoder", model=str(model)))).rerank(
            PLAIN.queries, run, corpus
        )
    assert stage.cost["texts encoded"] == 9 + len(PLAIN.queries)


def plain_oracle(folder: Path, text: str) -> np.ndarray:
    """Token vectors as one would get them by hand."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, network = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        hidden = network(**tokenizer(text, return_tensors="pt", truncation=True)).last_hidden_state[0]
    return torch.nn.functional.normalize(hidden, dim=-1).numpy()


def test_a_plain_folder_gives_its_last_layer(context: Context, model: Path) -> None:
    texts = [*ODD, *TEXTS[:4]]
    expect_same(encode(context, model, texts), [plain_oracle(model, text) for text in texts])
    raw = encode(context, model, texts, normalize=False)
    assert np.allclose(np.linalg.norm(raw[1], axis=1)[:, None] * plain_oracle(model, texts[1]), raw[1], atol=1e-4)
    half = encode(context, model, texts, precision="float16")
    assert half[0].dtype == np.float16
    expect_same(half, encode(context, model, texts), 1e-3)


@pytest.fixture(scope="session")
def colberts(tmp_path_factory: pytest.TempPathFactory, model: Path) -> dict[str, Path]:
    """Folders that sentence-transformers wrote: by default, and with all that ColBERT has."""
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    torch.manual_seed(0)
    made = {}
    for name, expansion in (
        ("fixed", {"strategy": "fixed", "length": 16}),
        ("least", {"strategy": "min", "length": 9, "attend": True}),
        ("none", None),
    ):
        modules = [
            Transformer(
                str(model),
                query_length=20,
                document_length=22,
                query_expansion=expansion,
                module_output_name="token_embeddings",
            ),
            Dense(
                32,
                12,
                bias=name == "least",
                activation_function=torch.nn.Identity(),
                module_input_name="token_embeddings",
                module_output_name="token_embeddings",
            ),
            MultiVectorMask(list(string.punctuation) if name != "none" else []),
            Normalize(module_input_name="token_embeddings", module_output_name="token_embeddings"),
        ]
        prompts = {"query": "which ", "document": "the "} if name == "fixed" else None
        made[name] = tmp_path_factory.mktemp("colbert") / name
        MultiVectorEncoder(modules=modules, device="cpu", prompts=prompts).save(str(made[name]))
    return made


@pytest.mark.parametrize("name", ["fixed", "least", "none"])
def test_folders_of_multi_vector_encoders(context: Context, colberts: dict[str, Path], name: str) -> None:
    from sentence_transformers import MultiVectorEncoder

    folder = colberts[name]
    assert read_token_layout(folder).is_plain
    peer = MultiVectorEncoder(str(folder), device="cpu", local_files_only=True)
    documents, queries = [*ODD, *TEXTS[:6]], [*PLAIN.queries.texts, "", "the tide, and the coast " * 8]
    expect_same(encode(context, folder, documents), peer.encode_document(documents, show_progress_bar=False))
    expect_same(encode(context, folder, queries, "query"), peer.encode_query(queries, show_progress_bar=False))


def test_what_is_not_plain_is_run_by_sentence_transformers(
    context: Context, colberts: dict[str, Path], tmp_path: Path
) -> None:
    import shutil

    from sentence_transformers import MultiVectorEncoder

    folder = shutil.copytree(colberts["fixed"], tmp_path / "other")
    dense = next(folder.glob("*_Dense")) / "config.json"
    content = json.loads(dense.read_text())
    dense.write_text(json.dumps({**content, "activation_function": "torch.nn.modules.activation.Tanh"}))
    assert not read_token_layout(folder).is_plain
    peer = MultiVectorEncoder(str(folder), device="cpu", local_files_only=True)
    texts = [*ODD, *TEXTS[:3]]
    expect_same(encode(context, folder, texts), peer.encode_document(texts, show_progress_bar=False))
    expect_same(encode(context, folder, texts, "query"), peer.encode_query(texts, show_progress_bar=False))
    with pytest.raises(UsageError, match="query_length=8"):
        encode(context, folder, texts, query_length=8)


def test_options_of_colbert(context: Context, model: Path) -> None:
    (query,) = encode(context, model, ["which dog"], "query", query_length=12)
    assert query.shape == (12, 32)
    assert np.allclose(query[:4], encode(context, model, ["which dog"], "query")[0], atol=1e-5)
    (cut,) = encode(context, model, ["dog " * 30], "query", query_length=12)
    assert cut.shape == (12, 32)
    whole, less = (encode(context, model, [ODD[3]], skip_punctuation=skip)[0] for skip in (False, True))
    assert len(whole) - len(less) == 5
    assert np.allclose(less, whole[[0, 1, 3, 6, 7, 10]], atol=1e-5)


def test_other_folders_are_refused(context: Context, model: Path, tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(model, tmp_path / "model")
    (folder / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": "", "type": "evil.Module"}]))
    with pytest.raises(UsageError, match=r"asks for the code of evil\.Module"):
        encode(context, folder, ["dog"])
    kind = "sentence_transformers.base.modules.transformer.Transformer"
    (folder / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": "", "type": kind}]))
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"model_type": "CrossEncoder"}))
    with pytest.raises(UsageError, match="holds a CrossEncoder"):
        encode(context, folder, ["dog"])


@pytest.mark.parametrize("promise", promises_of("encode"))
def test_the_contract_of_the_encoder(tmp_path: Path, model: Path, promise: str) -> None:
    options = {"model": str(model), "skip_punctuation": True, "query_length": 8}
    promises_of("encode")[promise](Case("encode/token-encoder", tmp_path, options=options))


@pytest.mark.parametrize("documents", ["listed", "stored"])
@pytest.mark.parametrize("promise", promises_of("rerank"))
def test_the_contract_of_maxsim(tmp_path: Path, model: Path, promise: str, documents: str) -> None:
    options = {"encoder": Stage("token-encoder", model=str(model)), "documents": documents, "k": 5}
    promises_of("rerank")[promise](Case("rerank/maxsim", tmp_path, options=options))
