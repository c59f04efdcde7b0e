"""One pass that taps share, blocks with fresh weights, and the texts that candidates are run on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from spaniel import Context, UsageError
from spaniel_neural import taps
from spaniel_neural.blocks import FeedForward, SelfAttention, fresh
from spaniel_neural.config import ProbeConfig
from spaniel_neural.probing import probe, token_stream
from spaniel_neural.taps import flat, noised, offered, see
from torch import Tensor, nn


class Tiny(nn.Module):
    """Attention and a feed-forward network, without positions."""

    recurrent = False
    positions = None

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 8)
        self.attention = SelfAttention(8, 2, 8)
        self.ff = FeedForward(8, (12, 6))

    def embed(self, ids: Tensor) -> Tensor:
        return self.words(ids)

    def forward(self, embedded: Tensor, mask: Tensor) -> Tensor:
        hidden = embedded + self.attention(embedded, mask)
        return hidden + self.ff(hidden)

    def parts(self) -> Mapping[str, Any]:
        return {
            taps.FFN_BEFORE: [list(self.ff.up)],
            taps.ATTENTION: [[self.attention.softmax]],
            taps.SYNAPSES: [[*self.ff.up, self.ff.down]],
        }


@pytest.fixture
def tiny() -> Any:
    return fresh(Tiny, seed=0, std=0.3)


def _batch() -> tuple[Tensor, Tensor]:
    ids = torch.randint(0, 50, (3, 5), generator=torch.Generator().manual_seed(0))
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[1, 3:] = False
    return ids, mask


def test_taps_show_what_modules_gave(tiny: Any) -> None:
    ids, mask = _batch()
    seen = see(tiny, ids, mask, [taps.FFN_BEFORE, taps.ATTENTION, taps.OUTPUT, taps.PARAMETERS], 0)
    with torch.no_grad():
        embedded = tiny.embed(ids)
        hidden = embedded + tiny.attention(embedded, mask)
        first = tiny.ff.up[0](hidden)
        second = tiny.ff.up[1](torch.nn.functional.gelu(first))
        torch.testing.assert_close(seen[taps.OUTPUT], tiny(embedded, mask))
    assert [len(block) for block in seen[taps.FFN_BEFORE]] == [2]
    torch.testing.assert_close(flat(seen[taps.FFN_BEFORE]), [first, second])
    (weights,) = flat(seen[taps.ATTENTION])
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2, 5))
    assert float(weights[1, :, :, 3:].abs().max()) == 0
    assert seen[taps.PARAMETERS] == sum(one.numel() for one in tiny.parameters())


def test_nothing_goes_backward_that_is_not_asked_for(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    grad = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *given, **named: calls.append(1) or grad(*given, **named))
    see(tiny, *_batch(), [taps.FFN_BEFORE, taps.OUTPUT], 0)
    assert not calls
    see(tiny, *_batch(), [taps.SYNAPSES, taps.INPUT_GRADIENT], 0)
    assert len(calls) == 1
    see(tiny, *_batch(), [taps.SYNAPSES, noised(1), noised(10)], 0)
    assert len(calls) == 4


def test_gradients_are_autograds(tiny: Any) -> None:
    ids, mask = _batch()
    seen = see(tiny, ids, mask, [taps.SYNAPSES, taps.INPUT_GRADIENT, noised(0)], 0, readout="sum")
    embedded = tiny.embed(ids).detach().requires_grad_()
    (tiny(embedded, mask) * mask[..., None]).sum().backward()
    torch.testing.assert_close(seen[taps.INPUT_GRADIENT], embedded.grad)
    torch.testing.assert_close(seen[noised(0)], embedded.grad)
    named = dict(tiny.named_modules())
    for weight in flat(seen[taps.SYNAPSES]):
        torch.testing.assert_close(weight.gradient, named[weight.name].weight.grad)
        assert torch.equal(weight.value, named[weight.name].weight)


def test_a_tap_that_a_model_lacks_is_named(tiny: Any) -> None:
    assert taps.POSITION_GRADIENT not in offered(tiny)
    with pytest.raises(UsageError, match="does not show 'hidden'"):
        see(tiny, *_batch(), [taps.HIDDEN], 0)


def test_weights_depend_on_the_seed_alone() -> None:
    before = torch.get_rng_state()
    first, second, other = (fresh(Tiny, seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
        assert name.endswith("bias") or not torch.equal(value, other.state_dict()[name])


def _collection(folder: Path) -> str:
    lines = [json.dumps({"_id": f"d{at}", "text": "the cat sat " * (1 + at % 4) + f"number {at}"}) for at in range(30)]
    (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "cat"}) + "\n")
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td0\t1\n")
    return str(folder)


def test_texts_are_cut_padded_and_masked(tmp_path: Path) -> None:
    context = Context(tmp_path / "store", device="cpu", offline=True)
    data = _collection(tmp_path)
    config = ProbeConfig(data=data, batch_size=5, seq_len=9)
    batch = probe(context, config, 100)
    assert batch.ids.shape == batch.mask.shape
    assert batch.ids.shape[0] == 5
    assert batch.ids.shape[1] <= 9
    assert bool((batch.ids[~batch.mask] == 0).all())
    assert bool((batch.ids[batch.mask] > 0).all())
    again = probe(Context(tmp_path / "store", device="cpu", seed=7), config, 100)
    assert torch.equal(batch.ids, again.ids)
    other = probe(context, config.model_copy(update={"batch": 1}), 100)
    assert batch.ids.shape != other.ids.shape or not torch.equal(batch.ids, other.ids)
    padded = probe(context, config.model_copy(update={"mask_padding": False}), 100)
    assert padded.ids.shape == (5, 9)
    assert bool(padded.mask.all())
    few = probe(context, config, 8)
    assert int(few.ids.max()) < 8


def test_streams_have_no_padding_and_say_where_they_end(tmp_path: Path) -> None:
    context = Context(tmp_path / "store", device="cpu", offline=True)
    config = ProbeConfig(data=_collection(tmp_path), batch_size=4, seq_len=20, packed=True, tokenizer="characters")
    batch = probe(context, config, 128)
    assert batch.ids.shape == (4, 20)
    assert bool(batch.mask.all())
    stream = token_stream(context, config, 128, 100)
    assert "cat" in bytes(stream.astype("uint8")).decode()
    assert batch.ids.flatten().tolist() == stream[:80].tolist()
    with pytest.raises(UsageError, match="are needed"):
        token_stream(context, config, 128, 10**6)
    with pytest.raises(UsageError, match="128 characters"):
        probe(context, config, 100)
    with pytest.raises(UsageError, match="batch_size=400"):
        probe(context, ProbeConfig(data=config.data, batch_size=400), 100)
