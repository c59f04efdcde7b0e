"""The model: a hand-written decoding step, order, duplicates, padding, views, single steps, names of weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from spaniel import Context, Queries, Run, Stage, UsageError
from spaniel.testing import collection
from spaniel_mvp.checkpoint import rename, renamed
from spaniel_mvp.model import aggregate
from spaniel_mvp.reranker import Mvp
from spaniel_neural.testing import write_model
from torch.nn import functional

PLAIN = collection()
TEXTS = [document.contents for document in PLAIN.documents]
SENTINELS = [f"<extra_id_{view}>" for view in range(8)]


def write_t5(folder: Path, seed: int = 0) -> Path:
    """A tiny T5 whose tokenizer knows the sentinels, as the published ones."""
    from transformers import AutoTokenizer

    words = [*TEXTS, *PLAIN.queries.texts, "Query : Context | :"]
    write_model(folder, "t5", "seq2seq", texts=words, seed=seed)
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    tokenizer.add_tokens(SENTINELS, special_tokens=True)
    tokenizer.save_pretrained(str(folder))
    from transformers import T5ForConditionalGeneration

    model = T5ForConditionalGeneration.from_pretrained(str(folder))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        for name, parameter in model.named_parameters():
            if "layer_norm" not in name:
                parameter.data.normal_(0, 0.3)
    model.save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="session")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_t5(tmp_path_factory.mktemp("mvp") / "t5")


def reranker(store: Path, model: Path, batch_size: int | None = None, **options: Any) -> Mvp:
    context = Context(store, device="cpu", offline=True, batch_size=batch_size)
    made = context.create("rerank", Stage("mvp", model=str(model), max_length=64, **options))
    assert isinstance(made, Mvp)
    return made


def passages(rng: np.random.Generator, count: int) -> list[str]:
    words = " ".join(TEXTS).split()
    return [" ".join(rng.choice(words, int(rng.integers(1, 20)))) for _ in range(count)]


def attend(layer: Any, hidden: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
    """T5's attention by its formula: no scaling, no bias, each head apart."""
    made = []
    for head in range(layer.n_heads):
        part = slice(head * layer.key_value_proj_dim, (head + 1) * layer.key_value_proj_dim)
        query = layer.q.weight[part] @ hidden
        keys, values = memory @ layer.k.weight[part].T, memory @ layer.v.weight[part].T
        made.append((keys @ query).softmax(dim=0) @ values)
    return layer.o.weight @ torch.cat(made)


def norm(layer: Any, hidden: torch.Tensor) -> torch.Tensor:
    return layer.weight * hidden * torch.rsqrt(hidden.square().mean() + layer.variance_epsilon)


def naive_anchor(model: Any, memory: torch.Tensor) -> torch.Tensor:
    """One decoding step for one view, written out."""
    hidden = model.shared.weight[model.config.pad_token_id]
    for block in model.decoder.block:
        own, cross, inner = block.layer
        # One position attends to itself alone: its attention is its value.
        attention = own.SelfAttention
        hidden = hidden + attention.o.weight @ (attention.v.weight @ norm(own.layer_norm, hidden))
        hidden = hidden + attend(cross.EncDecAttention, norm(cross.layer_norm, hidden), memory)
        feed, given = inner.DenseReluDense, norm(inner.layer_norm, hidden)
        gated = functional.gelu(feed.wi_0.weight @ given, approximate="tanh") * (feed.wi_1.weight @ given)
        hidden = hidden + feed.wo.weight @ gated
    return norm(model.decoder.final_layer_norm, hidden)


def test_scores_are_those_of_a_loop_over_passages_and_views(t5: Path, tmp_path: Path) -> None:
    """Check 2: each passage read alone, one hand-written decoding step a view."""
    stage = reranker(tmp_path, t5)
    model, tokenizer = stage.loaded.model.base, stage.loaded.reader.tokenizer
    texts = passages(np.random.default_rng(0), 9)
    (views,) = stage.views(["which dog"], texts, [9])
    with torch.no_grad():
        rows = []
        for text in texts:
            prompt = "<extra_id_0><extra_id_1><extra_id_2><extra_id_3> | Query: which dog | Context: " + text
            ids = torch.tensor([tokenizer(prompt, truncation=True, max_length=64)["input_ids"]])
            assert ids[0, :4].tolist() == tokenizer.convert_tokens_to_ids(SENTINELS[:4])
            rows.append(model.encoder(input_ids=ids).last_hidden_state[0, :4])
        memory = torch.stack(rows)  # (passages, views, dimensions)
        for view in range(4):
            anchor = naive_anchor(model, memory[:, view])
            assert np.allclose(views.anchors[view], anchor.numpy(), atol=1e-5)
            expected = (memory[:, view] @ anchor).numpy()
            assert np.allclose(views.scores[view], expected, atol=1e-5 * max(1, np.abs(expected).max()))
    (scores,) = stage.score_lists(["which dog"], texts, [9])
    assert np.allclose(scores, views.scores.mean(axis=0), atol=1e-6)


def test_the_order_of_a_list_does_not_matter(t5: Path, tmp_path: Path) -> None:
    """Headline check A: lists of 1 to 50 under 20 permutations; scores to 1e-5 of their size, the same ranking."""
    stage, rng = reranker(tmp_path, t5), np.random.default_rng(1)
    for count in (1, 2, 3, 5, 8, 13, 21, 34, 50):
        texts = passages(rng, count)
        relevance = stage.relevance(["where does the river flow"] * count, texts)
        (plain,) = _scored(stage, relevance, [count])
        for _ in range(20):
            order = rng.permutation(count)
            (turned,) = _scored(stage, relevance[order], [count])
            assert np.abs(turned - plain[order]).max() <= 1e-5 * max(1.0, np.abs(plain).max())
        order = rng.permutation(count)
        shuffled = [texts[place] for place in order]
        (again,) = stage.score_lists(["where does the river flow"], shuffled, [count])
        assert np.abs(again - plain[order]).max() <= 1e-5 * max(1.0, np.abs(plain).max())
        distinct = len(set(texts)) == count
        assert not distinct or (np.argsort(-again)[:5] == np.argsort(-plain[order])[:5]).all()


def test_a_decoder_that_knows_positions_fails_that_check(t5: Path, tmp_path: Path) -> None:
    stage, rng = reranker(tmp_path, t5), np.random.default_rng(1)
    relevance = stage.relevance(["where"] * 8, passages(rng, 8))
    places = np.arange(8, dtype=np.float32)[:, None, None] / 8
    order = rng.permutation(8)
    (plain,), (turned,) = _scored(stage, relevance + places, [8]), _scored(stage, relevance[order] + places, [8])
    assert np.abs(turned - plain[order]).max() > 1e-3


def _scored(stage: Mvp, relevance: np.ndarray, lengths: list[int]) -> list[np.ndarray]:
    from spaniel_mvp.scoring import score_lists

    made = score_lists(stage.context, stage.loaded, relevance, lengths)
    return [aggregate(torch.from_numpy(one.scores)[None], "mean")[0].numpy() for one in made]


def test_rankings_of_shuffled_runs_are_the_same(t5: Path, tmp_path: Path) -> None:
    stage, rng, corpus = reranker(tmp_path, t5), np.random.default_rng(2), PLAIN.corpus()
    queries = PLAIN.queries.select([0])
    plain = None
    for _ in range(5):
        rows = rng.permutation(len(corpus)).astype(np.int32)[None]
        scores = np.arange(len(corpus), 0, -1, dtype=np.float32)[None]
        made = stage.rerank(queries, Run.from_matrix(rows, scores), corpus)
        plain = made if plain is None else plain
        assert made.rows.tolist() == plain.rows.tolist()


def test_doubling_a_list_leaves_its_anchors(t5: Path, tmp_path: Path) -> None:
    """Check 3."""
    from spaniel_mvp.scoring import score_lists

    stage = reranker(tmp_path, t5)
    relevance = stage.relevance(["dog"] * 7, passages(np.random.default_rng(3), 7))
    once, twice = score_lists(stage.context, stage.loaded, np.concatenate([relevance] * 3), [7, 14])
    assert np.allclose(once.anchors, twice.anchors, atol=1e-5)
    fewer = score_lists(stage.context, stage.loaded, relevance[:4], [4])[0]
    assert np.abs(fewer.scores - once.scores[:, :4]).max() > 1e-3, "a score depends on the rest of its list"


def test_lists_together_and_alone_score_alike(t5: Path, tmp_path: Path) -> None:
    """Check 3: padding of lists, of texts, and any batch size."""
    stage, rng = reranker(tmp_path, t5), np.random.default_rng(4)
    lengths = [3, 0, 11, 1, 6]
    queries = list(PLAIN.queries.texts[:5])
    texts = passages(rng, sum(lengths))
    together = stage.score_lists(queries, texts, lengths)
    small = reranker(tmp_path, t5, batch_size=2).score_lists(queries, texts, lengths)
    start = 0
    for query, length, scores, other in zip(queries, lengths, together, small, strict=True):
        alone = stage.score_lists([query], texts[start : start + length], [length])[0]
        start += length
        for made in (alone, other):
            assert scores.shape == made.shape == (length,)
            assert length == 0 or np.abs(scores - made).max() <= 1e-5 * max(1.0, np.abs(scores).max())


def test_views_do_not_see_each_other(t5: Path, tmp_path: Path) -> None:
    from spaniel_mvp.scoring import score_lists

    stage = reranker(tmp_path, t5)
    relevance = stage.relevance(["dog"] * 5, passages(np.random.default_rng(5), 5))
    changed = relevance.copy()
    changed[:, 2] += 1
    before, after = (score_lists(stage.context, stage.loaded, one, [5])[0].scores for one in (relevance, changed))
    assert np.array_equal(before[[0, 1, 3]], after[[0, 1, 3]])
    assert np.abs(before[2] - after[2]).max() > 1e-3


@pytest.mark.parametrize("count", [1, 17, 40])
def test_there_is_one_decoding_step_and_one_pass_a_passage(t5: Path, tmp_path: Path, count: int) -> None:
    """Check 7."""
    stage = reranker(tmp_path, t5, batch_size=8)
    calls = {"decoder": 0, "encoder": 0, "rows": 0}

    def spy(name: str) -> Any:
        def hook(module: Any, args: Any, kwargs: Any, output: Any) -> None:
            calls[name] += 1
            calls["rows"] += len(output.last_hidden_state) if name == "encoder" else 0

        return hook

    base = stage.loaded.model.base
    for name in ("decoder", "encoder"):
        getattr(base, name).register_forward_hook(spy(name), with_kwargs=True)
    stage.score_lists(["dog"], passages(np.random.default_rng(6), count), [count])
    assert calls == {"decoder": 1, "encoder": -(-count // 8), "rows": count}


def test_published_names_of_weights_load(t5: Path, tmp_path: Path) -> None:
    """Check 8: a T5 saved under the published code's names gives the same scores; the way back is the identity."""
    tensors = load_file(t5 / "model.safetensors")
    wrapped = {}
    for name, tensor in tensors.items():
        parts = name.split(".")
        if parts[:2] == ["encoder", "block"]:
            parts[3:3] = ["module"]
        wrapped[".".join((["encoder"] if parts[0] == "encoder" else []) + parts)] = tensor.clone()
    # What torch saves of such a model holds what is shared several times.
    wrapped["encoder.encoder.embed_tokens.weight"] = wrapped["shared.weight"].clone()
    wrapped["decoder.embed_tokens.weight"] = wrapped["shared.weight"].clone()
    assert "encoder.encoder.block.1.module.layer.0.SelfAttention.q.weight" in wrapped
    back = rename(wrapped)
    assert back.keys() - tensors.keys() <= {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"}
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)
    assert all(renamed(name) == name for name in tensors)
    folder = shutil.copytree(t5, tmp_path / "published")
    save_file(wrapped, folder / "model.safetensors", metadata={"format": "pt"})
    texts = passages(np.random.default_rng(7), 6)
    theirs, ours = (reranker(tmp_path / "s", one).score_lists(["dog"], texts, [6])[0] for one in (folder, t5))
    assert np.array_equal(theirs, ours)
    del wrapped["encoder.encoder.block.1.module.layer.0.SelfAttention.q.weight"]
    save_file(wrapped, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match=r"lack encoder\.block\.1\.layer\.0\.SelfAttention\.q\.weight"):
        reranker(tmp_path / "s", folder).score_lists(["dog"], texts, [6])


def test_another_number_of_views_is_refused(t5: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(t5, tmp_path / "three")
    stage = reranker(tmp_path / "s", folder, views=3)
    assert stage.loaded.model.settings.views == 3  # the folder does not say
    stage.loaded.model.settings.write(folder)
    assert reranker(tmp_path / "s", folder).loaded.model.settings.views == 3
    with pytest.raises(UsageError, match="has 3"):
        _ = reranker(tmp_path / "s", folder, views=4).loaded
    content = json.loads((folder / "mvp.json").read_text())
    (folder / "mvp.json").write_text(json.dumps({**content, "views": 2}))
    with pytest.raises(UsageError, match="damaged"):
        _ = reranker(tmp_path / "s", folder).loaded
    with pytest.raises(UsageError, match="views 0 to 3"):
        reranker(tmp_path / "s", t5, aggregate=5).score_lists(["a"], ["b"], [1])


def test_aggregates(t5: Path, tmp_path: Path) -> None:
    texts = passages(np.random.default_rng(8), 5)
    (views,) = reranker(tmp_path, t5).views(["dog"], texts, [5])
    table = views.scores.astype(np.float64)
    expected = {
        "mean": table.mean(axis=0),
        "max": table.max(axis=0),
        "logsumexp": np.log(np.exp(table - table.max()).mean(axis=0)) + table.max(),
        2: table[2],
    }
    for how, values in expected.items():
        (scores,) = reranker(tmp_path, t5, aggregate=how).score_lists(["dog"], texts, [5])
        assert np.allclose(scores, values, rtol=1e-5, atol=1e-5)


def test_kept_views_are_not_computed_again(t5: Path, tmp_path: Path) -> None:
    texts = passages(np.random.default_rng(9), 8)
    fresh = reranker(tmp_path, t5).score_lists(["dog"], texts, [8])[0]
    first = reranker(tmp_path, t5, cache=True).score_lists(["dog"], texts[:5], [5])[0]
    stage = reranker(tmp_path, t5, cache=True)
    rows = 0

    def hook(module: Any, args: Any, kwargs: Any, output: Any) -> None:
        nonlocal rows
        rows += len(output.last_hidden_state)

    stage.loaded.model.base.encoder.register_forward_hook(hook, with_kwargs=True)
    assert np.array_equal(stage.score_lists(["dog"], texts[:5], [5])[0], first)
    assert rows == 0
    assert np.allclose(stage.score_lists(["dog"], texts, [8])[0], fresh, atol=1e-4)
    assert rows == len({*texts} - {*texts[:5]})


def test_titles_are_read_or_not(t5: Path, tmp_path: Path) -> None:
    corpus = PLAIN.corpus()
    documents = corpus.documents([3])
    assert documents[0].title
    assert reranker(tmp_path, t5).texts(corpus, [3]) == [documents[0].contents]
    assert reranker(tmp_path, t5, title=False).texts(corpus, [3]) == [documents[0].text]


def test_a_model_that_is_none_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "bert", "bert", texts=TEXTS)
    with pytest.raises(UsageError, match=r"no mvp\.json"):
        reranker(tmp_path / "s", tmp_path / "bert").rerank(
            Queries.from_lists(["q"], ["dog"]), Run.from_lists([[(0, 1.0)]]), PLAIN.corpus()
        )
    with pytest.raises(UsageError, match="offline"):
        reranker(tmp_path / "s", Path("Jun421/MVP-none")).score_lists(["a"], ["b"], [1])
