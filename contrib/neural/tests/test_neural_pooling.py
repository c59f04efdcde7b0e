"""Pooling beside its definition."""

from __future__ import annotations

import pytest
import torch
from spaniel import UsageError
from spaniel_neural.pooling import check_layers, pool, pool_layers, segment_means

MODES = ("mean", "cls", "last-token", "max", "weighted-mean")


def test_pooling_never_sees_padding() -> None:
    hidden = torch.arange(24, dtype=torch.float32).reshape(2, 4, 3) - 30
    lengths = torch.tensor([2, 4])
    spoilt = hidden.clone()
    spoilt[0, 2:] = torch.nan
    for mode in MODES:
        assert torch.equal(pool(spoilt, lengths, mode), pool(hidden, lengths, mode))
    assert torch.equal(pool(hidden, lengths, "last-token"), torch.stack([hidden[0, 1], hidden[1, 3]]))
    assert torch.equal(pool(hidden, lengths, "max")[0], hidden[0, 1])


def test_pooling_is_what_it_says() -> None:
    torch.manual_seed(0)
    hidden, lengths = torch.randn(5, 9, 4), torch.tensor([1, 9, 4, 2, 7])
    for text, length in zip(hidden, lengths, strict=True):
        own = text[:length]
        weights = torch.arange(1, len(own) + 1, dtype=torch.float32)
        expected = {
            "mean": own.mean(0),
            "cls": own[0],
            "last-token": own[-1],
            "max": own.max(0).values,
            "weighted-mean": (own * weights[:, None]).sum(0) / weights.sum(),
        }
        for mode in MODES:
            assert torch.allclose(pool(text[None], length[None], mode)[0], expected[mode], atol=1e-6), mode
    with pytest.raises(UsageError, match=r"pooling=median.*mean, cls"):
        pool(hidden, lengths, "median")


def test_several_layers() -> None:
    hidden = [torch.full((2, 3, 4), float(number)) for number in range(4)]
    pooled = pool_layers(hidden, [0, -1, 2], torch.tensor([3, 1]), "mean")
    assert pooled.shape == (2, 3, 4)
    assert pooled[:, :, 0].tolist() == [[0, 3, 2]] * 2
    assert check_layers([-4, 3], 3) == [0, 3]
    for wrong in ([4], [-5], []):
        with pytest.raises(UsageError, match=r"from 0 \(the embeddings\) to 3"):
            check_layers(wrong, 3)


def test_segment_means() -> None:
    torch.manual_seed(1)
    hidden = torch.randn(2, 5, 3, requires_grad=True)
    segments = torch.tensor([[-1, 0, 0, 2, -1], [1, 1, 1, 0, -1]])
    spoilt = hidden.masked_fill((segments < 0)[:, :, None], torch.nan)
    means, sizes = segment_means(spoilt, segments, 3)
    assert sizes.tolist() == [[2, 0, 1], [1, 3, 0]]
    assert torch.allclose(means[0, 0], hidden[0, 1:3].mean(0))
    assert torch.allclose(means[1, 1], hidden[1, :3].mean(0))
    assert not means[0, 1].any()
    assert means.isfinite().all()
    with pytest.raises(UsageError, match="segment 2 of 2"):
        segment_means(hidden, segments, 2)
