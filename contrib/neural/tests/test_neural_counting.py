"""Costs beside figures computed by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from spaniel import Context
from spaniel_neural.counting import Counted, count_flops
from spaniel_neural.loading import Transformer
from spaniel_neural.testing import TinyConvNet

ROWS, TOKENS, HIDDEN, INNER, LAYERS = 3, 7, 32, 64, 2


def by_hand(kv: int = HIDDEN, projections: int = 2) -> int:
    """Two operations for each weight and token, and for each number in queries × keys and weights × values."""
    weights = 2 * HIDDEN * HIDDEN + 2 * HIDDEN * kv + projections * HIDDEN * INNER
    return LAYERS * (2 * ROWS * TOKENS * weights + 2 * 2 * ROWS * TOKENS * TOKENS * HIDDEN)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("bert", by_hand() + 2 * ROWS * HIDDEN * HIDDEN),  # the pooler reads one token a row
        ("distilbert", by_hand()),
        ("llama", by_hand(kv=16, projections=3)),
    ],
)
def test_flops_equal_a_hand_count(
    loaded: Callable[..., Transformer], family: str, expected: int, attention: str
) -> None:
    model = loaded(family, attention=attention).model
    ids = torch.ones(ROWS, TOKENS, dtype=torch.long)
    # Releases of transformers that make the angles of rotary positions by a matrix product count it, too.
    angles = (0, 2 * 4 * TOKENS) if family == "llama" else (0,)
    with torch.inference_mode():
        assert count_flops(lambda: model(input_ids=ids)) - expected in angles


def test_flops_of_convolutions_equal_a_hand_count() -> None:
    places, kernel = 8 * 8, 3 * 3
    expected = 2 * 2 * places * kernel * (1 * 4 + 4 * 8 + 8 * 8) + 2 * 2 * 8 * 10
    assert count_flops(lambda: TinyConvNet()(torch.zeros(2, 1, 8, 8))) == expected


def test_costs_go_to_the_running_stage(context: Context, loaded: Callable[..., Transformer]) -> None:
    model = loaded().model
    counted = Counted(model, context, flops=True)
    ids = torch.ones(ROWS, TOKENS, dtype=torch.long)
    mask = torch.ones_like(ids)
    mask[0, 4:] = 0
    with context.stage("test") as stage, torch.inference_mode():
        first = counted(input_ids=ids, attention_mask=mask).last_hidden_state
        second = counted(input_ids=ids, attention_mask=mask).last_hidden_state
    assert torch.equal(first, second)
    assert torch.equal(first, model(input_ids=ids, attention_mask=mask).last_hidden_state)
    flops = by_hand() + 2 * ROWS * HIDDEN * HIDDEN
    assert stage.cost == {"model calls": 2, "rows": 6, "tokens": 2 * 18, "FLOPs": 2 * flops}
    assert counted.total == stage.cost
    assert counted.config is model.config


def test_operations_are_measured_once_for_a_shape(
    loaded: Callable[..., Transformer], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[int] = []

    def spy(run: Callable[[], object]) -> int:
        measured.append(1)
        return count_flops(run)

    monkeypatch.setattr("spaniel_neural.counting.count_flops", spy)
    model = loaded().model
    counted = Counted(model, flops=True)
    for shape in ((1, 3), (1, 3), (2, 3), (1, 3)):
        counted(input_ids=torch.ones(shape, dtype=torch.long))
    assert len(measured) == 2
    always = Counted(model, flops=True, fixed=False)
    for _ in range(2):
        always(input_ids=torch.ones(1, 3, dtype=torch.long))
    assert len(measured) == 4
    one, both = count_flops(lambda: model(input_ids=torch.ones(1, 3, dtype=torch.long))), always.total["FLOPs"]
    assert both == 2 * one
    without = Counted(model)
    without(torch.ones(2, 3, dtype=torch.long))
    assert without.total == {"model calls": 1, "rows": 2, "tokens": 6}


def test_images_have_rows_and_no_tokens() -> None:
    counted = Counted(TinyConvNet())
    counted(torch.zeros(5, 1, 8, 8))
    assert counted.total == {"model calls": 1, "rows": 5}
