"""The space, its proxies, and passes that share blocks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from spaniel import Context, UsageError
from spaniel.expression import Stage
from spaniel.plugins import load_registry
from spaniel.testing import contract
from spaniel_neural import taps
from spaniel_neural.taps import FFN_BEFORE, MASK, flat, see
from spaniel_search.config import Budget
from spaniel_search.objectives import ProxyObjective
from spaniel_search.proxies import score_all
from spaniel_search.searching import Plan, search
from spaniel_w_pca.config import NluConfig
from spaniel_w_pca.network import BertBlock, MobileBertBlock, Sizes, TrigramEmbeddings
from spaniel_w_pca.proxies import BOTTLENECKS
from torch.nn import functional

SMALL: dict[str, Any] = {
    "layers": 3, "hidden": 48, "heads": 4, "ffn_units": 12, "embed": 16, "vocab_size": 300, "positions": 32, "batch_size": 6,
    "seq_len": 16,
}  # fmt: skip
SIZES = Sizes(hidden=24, heads=3, bottleneck=6, vocabulary=50, embedding=8, positions=20, dropout=0.1)
NLU = "nlu-bert-mobilebert"
PROXIES = ("v-pca", "w-pca", "averaged")

test_space = contract(f"search_space/{NLU}", options=SMALL)
test_space_within_a_limit = contract(
    f"search_space/{NLU}", options={**SMALL, "max_params": 20_000, "count_embeddings": False}
)
test_space_with_default_options = contract(f"search_space/{NLU}", without=["builds its candidates"])
test_v_pca = contract("search_space/v-pca", space=str(Stage(NLU, **SMALL)))
test_w_pca = contract("search_space/w-pca", space=str(Stage(NLU, **SMALL)))
test_averaged = contract("search_space/averaged", space=str(Stage(NLU, **SMALL)), options={"seeds": 2, "batches": 2})


def make(context: Context, texts: Path, **options: Any) -> Any:
    return context.create("search_space", Stage(NLU, data=str(texts), **{**SMALL, **options}))


# Networks


def test_a_bert_block_computes_what_the_paper_says() -> None:
    torch.manual_seed(0)
    block = BertBlock(SIZES, 12).eval()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    x, mask = torch.randn(2, 5, 24), torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    q, k, v = (one(x).unflatten(-1, (3, 8)).transpose(1, 2) for one in block.attention.projections)
    attended = functional.scaled_dot_product_attention(q, k, v, mask[:, None, None, :]).transpose(1, 2).flatten(-2)
    x1 = functional.layer_norm(x + block.dense(attended), (24,), block.norm.weight, block.norm.bias, 1e-12)
    inner = functional.gelu(block.ff.up[0](x1), approximate="tanh")
    expected = block.last(x1 + block.ff.down(inner))
    assert torch.allclose(block(x, mask), expected, atol=1e-5)


def test_a_mobilebert_block_computes_what_the_paper_says() -> None:
    torch.manual_seed(0)
    block = MobileBertBlock(SIZES, 12).eval()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    x, mask = torch.randn(2, 5, 24), torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    q, k, v = (one(x).unflatten(-1, (3, 2)).transpose(1, 2) for one in block.attention.projections)
    attended = functional.scaled_dot_product_attention(q, k, v, mask[:, None, None, :]).transpose(1, 2).flatten(-2)
    u1 = (block.narrow(x) + block.dense(attended)) * block.norm.weight + block.norm.bias
    u2 = (u1 + block.ff.down(functional.relu(block.ff.up[0](u1)))) * block.inner.weight + block.inner.bias
    expected = (x + block.widen(u2)) * block.last.weight + block.last.bias
    assert torch.allclose(block(x, mask), expected, atol=1e-5)


def test_embeddings_read_both_neighbours_and_no_padding() -> None:
    torch.manual_seed(0)
    embeddings = TrigramEmbeddings(SIZES).eval()
    ids = torch.tensor([[3, 4, 5, 6]])
    mask = torch.tensor([[True, True, True, False]])
    made = embeddings(embeddings.words(ids), mask)
    words, nothing = embeddings.words.weight, torch.zeros(8)
    joined = torch.stack([torch.cat([words[4], words[3], nothing]), torch.cat([words[5], words[4], words[3]])])
    expected = embeddings.norm(
        embeddings.project(joined) + embeddings.positions.weight[:2] + embeddings.types.weight[0]
    )
    assert torch.allclose(made[0, :2], expected, atol=1e-6)
    other = embeddings(embeddings.words(torch.tensor([[3, 4, 5, 9]])), mask)
    assert torch.equal(made[0, :3], other[0, :3])
    typed = embeddings(embeddings.words(ids), mask, torch.ones_like(ids))
    assert not torch.allclose(typed, made)


# Passes


def test_shared_blocks_change_no_number(context: Context, texts: Path) -> None:
    space, alone = make(context, texts), make(context, texts, shared=0)
    asked = (*taps.OUTPUTS, taps.OUTPUT, MASK, taps.PARAMETERS, BOTTLENECKS)
    for candidate in ([0, 7, 3], [0, 7, 11], [0, 2, 3], [0, 7, 3]):
        ours, theirs = space.forward(candidate, 4, asked), alone.forward(candidate, 4, asked)
        assert list(ours) == list(theirs) == list(asked)
        for name in taps.OUTPUTS:
            assert all(torch.equal(a, b) for a, b in zip(flat(ours[name]), flat(theirs[name]), strict=True))
        assert torch.equal(ours[taps.OUTPUT], theirs[taps.OUTPUT])
        assert ours[BOTTLENECKS] == theirs[BOTTLENECKS] == [code >= 6 for code in candidate]
    assert space._prefixes.run == 3 + 1 + 2, "blocks that are known are not run again"
    assert not torch.equal(
        space.forward([0, 7, 3], 5, (FFN_BEFORE,))[FFN_BEFORE][0][0],
        space.forward([0, 7, 3], 4, (FFN_BEFORE,))[FFN_BEFORE][0][0],
    )


def test_what_is_kept_stays_within_its_bounds(context: Context, texts: Path) -> None:
    space = make(context, texts, batch_size=40, seq_len=32, hidden=240, heads=4, ffn_units=60, layers=5, shared=5)
    rng = np.random.default_rng(0)
    for _ in range(6):
        space.forward(space.sample(rng), 0, (FFN_BEFORE, MASK))
        prefixes = space._prefixes
        assert prefixes.used == sum(stage.size for stage in prefixes.kept.values()) <= 5 * 2**20
    assert prefixes.run > len(prefixes.kept)


def test_gradients_are_those_of_the_whole_network(context: Context, texts: Path) -> None:
    space = make(context, texts)
    seen = space.forward([0, 7, 3], 4, (taps.SYNAPSES, FFN_BEFORE))
    model = space.build([0, 7, 3], 4)
    from spaniel_neural.probing import probe

    expected = see(model, *probe(context, space.config, 300), (taps.SYNAPSES,), 4)
    for ours, theirs in zip(flat(seen[taps.SYNAPSES]), flat(expected[taps.SYNAPSES]), strict=True):
        assert torch.equal(ours.gradient, theirs.gradient)
    with pytest.raises(UsageError, match="does not show 'nothing'"):
        space.forward([0, 7, 3], 4, ("nothing",))


# Proxies


def test_v_pca_is_the_sum_over_first_linears(context: Context, texts: Path) -> None:
    from spaniel_w_pca.principal import count_components

    space, candidate = make(context, texts), [5, 11, 0]
    seen = space.forward(candidate, 0, (FFN_BEFORE, MASK))
    outputs = [block[0][seen[MASK]] for block in seen[FFN_BEFORE]]
    counts = [count_components(one, 0.99) for one in outputs]

    def score(name: str) -> float:
        made: float = context.create("search_space", name).score(space, candidate, 0)
        return made

    assert score("v-pca") == sum(counts)
    assert score("v-pca(over=mean)") == sum(counts) / 3
    assert score("v-pca(normalise=true)") == pytest.approx(
        sum(c / w for c, w in zip(counts, (72, 72, 12), strict=True))
    )
    narrow = count_components(outputs[1], 0.9)
    assert score("v-pca(bottleneck_eta=0.9)") == counts[0] + narrow + counts[2] < sum(counts)
    assert score("w-pca") == sum(counts) * space.counts(candidate)["parameters"]
    assert counts[1] <= 12, "behind a bottleneck there are no more components than it is wide"


def test_padding_is_left_out_unless_asked_for(context: Context, texts: Path) -> None:
    ours = context.create("search_space", "v-pca").score(make(context, texts, seq_len=30), [5, 5, 5], 0)
    padded = context.create("search_space", "v-pca").score(
        make(context, texts, seq_len=30, mask_padding=False), [5, 5, 5], 0
    )
    assert ours != padded


def test_all_linears_of_stacked_networks(context: Context, texts: Path) -> None:
    space: Any = context.create(
        "search_space",
        Stage("flexibert", data=str(texts), hidden=[32], layers=[2], ff_dim=[48], num_ff=[3], embedding=16, vocab_size=300,
              positions=32, batch_size=4, seq_len=16, build="declared"),
    ) if "flexibert" in {one.name for one in load_registry(warn=False).components("search_space")} else None  # fmt: skip
    if space is None:
        pytest.skip("the space flexibert is not installed")
    candidate = space.sample(np.random.default_rng(0))
    first, every = (context.create("search_space", f"v-pca(linears={which})") for which in ("first", "all"))
    assert first.score(space, candidate, 0) < every.score(space, candidate, 0)
    with pytest.raises(UsageError, match="does not show 'bottlenecks'"):
        context.create("search_space", "v-pca(bottleneck_eta=0.9)").score(space, candidate, 0)


def test_averages_are_over_seeds_and_batches(context: Context, texts: Path) -> None:
    plain = context.create("search_space", "w-pca")
    expected = [
        plain.score(make(context, texts, batch=batch), [0, 7, 3], seed) for batch in (0, 1, 2) for seed in (5, 6)
    ]
    averaged = context.create("search_space", "averaged(proxy=w-pca, seeds=2, batches=3)")
    space = make(context, texts)
    assert averaged.score(space, [0, 7, 3], 5) == pytest.approx(np.mean(expected))
    assert averaged.score(space, [0, 7, 3], 5) == pytest.approx(np.mean(expected)), "the second time, too"
    bits = context.create("search_space", 'pipelines(expression="bm25(k1=?)")')
    with pytest.raises(UsageError, match="on no batches of texts"):
        averaged.score(bits, bits.sample(np.random.default_rng(0)), 0)


def test_proxies_share_one_pass(context: Context, texts: Path) -> None:
    space = make(context, texts, shared=0)
    proxies = {name: context.create("search_space", name) for name in ("v-pca", "w-pca", "count")}
    passes = []
    forward = space.forward
    space.forward = lambda *given: passes.append(given) or forward(*given)
    made = score_all(space, proxies, [0, 7, 3], 0)
    assert len(passes) == 1
    assert made["w-pca"] == made["v-pca"] * made["count"]


# Search


def test_the_genetic_search_finds_the_best_of_a_small_space(context: Context, texts: Path) -> None:
    options = {**SMALL, "layers": 4, "families": ["bert"], "sizes": 6, "data": str(texts)}
    stage = Stage(NLU, **options)
    # A score with a known optimum, which costs nothing: how near the widths are to a hidden pattern, with interactions.
    objective = ProxyObjective(context, str(stage), "count(what=counted)")
    space: Any = objective.space
    wanted = [4, 1, 5, 2]

    def height(candidate: list[int]) -> float:
        apart = [abs(a - b) for a, b in zip(candidate, wanted, strict=True)]
        return -sum(apart) - 2 * math.prod(one > 0 for one in apart)

    found, random = 0, []
    for seed in range(10):
        tops = []
        for name in ("genetic(population=20, parents=5, redraw=10)", "random"):
            walker: Any = context.create("search_space", name)
            walker.start(space, np.random.default_rng(seed))
            known: dict[tuple[int, ...], float] = {}
            for _ in range(1000):
                if len(known) == 190:
                    break
                candidate = walker.ask()
                known[tuple(candidate)] = height(candidate)
                walker.tell(candidate, height(candidate))
            tops.append(max(known.values()))
        found += tops[0] == 0
        random.append(tops[1])
    assert found >= 9, "in less than 15 % of the 1296 candidates"
    assert np.mean(random) < 0


def test_a_search_by_the_proxy_ends_within_the_limit(context: Context, texts: Path) -> None:
    stage = Stage(NLU, **{**SMALL, "data": str(texts), "max_params": 20_000, "count_embeddings": False})
    objective = ProxyObjective(context, str(stage), "w-pca")
    plan = Plan(str(stage), "genetic(population=6, parents=3, redraw=5)", Budget(candidates=18), batch=6)
    result = search(context, plan, objective)
    assert result.tried == 18
    assert len({str(trial.candidate) for trial in result.trials}) == 18
    for trial in result.trials:
        objective.space.validate(trial.candidate)
    assert result.best.score == max(trial.score or 0 for trial in result.trials)


@pytest.mark.slow
def test_scores_hardly_depend_on_seeds_and_batches(context: Context) -> None:
    options = {"layers": 4, "hidden": 96, "heads": 4, "ffn_units": 24, "embed": 64, "batch_size": 16, "seq_len": 64}
    proxy = context.create("search_space", "v-pca")
    spaces = [context.create("search_space", Stage(NLU, **options, batch=batch)) for batch in range(5)]
    rng = np.random.default_rng(0)
    for _ in range(2):
        candidate = spaces[0].sample(rng)
        scores = [proxy.score(space, candidate, seed) for space in spaces for seed in range(5)]
        assert np.std(scores) / np.mean(scores) < 0.03
    some = [spaces[0].sample(rng) for _ in range(30)]
    first, second = ([proxy.score(spaces[0], one, seed) for one in some] for seed in (0, 1))
    stats = pytest.importorskip("scipy.stats")
    assert stats.spearmanr(first, second).statistic > 0.95


def test_the_defaults_are_the_published_ones() -> None:
    config = NluConfig()
    assert (config.layers, config.hidden, config.heads, config.embed, config.sizes) == (12, 528, 12, 128, 6)
