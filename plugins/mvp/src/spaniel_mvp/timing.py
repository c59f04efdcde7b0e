"""How long a list takes: one decoding step, and a listwise generator over sliding windows, on the same T5."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from spaniel import Stage
from spaniel.data import Corpus, Queries, Run

if TYPE_CHECKING:
    from spaniel import Context

WINDOW, STEP, LENGTH = 20, 10, 128
SIZE = {"d_model": 128, "d_kv": 32, "num_heads": 4, "d_ff": 512, "num_layers": 4, "num_decoder_layers": 4}
"""Of a small T5; how long it takes does not depend on what it has learned."""


class Times(NamedTuple):
    """Seconds of a list.

    Attributes:
        views: one pass of the encoder a passage and one decoding step.
        windows: a generator that orders windows of 20 by steps of 10, forced to name every passage once, since a model
            that has learned nothing would write anything; each name is a few tokens, as in an answer that is right.
        once: the first list's order from the generator, its passages shown in their order.
        turned: and shown in the reverse order, as document rows.
    """

    views: float
    windows: float
    once: list[int]
    turned: list[int]


def write_t5(folder: Path, tokenizer: str, seed: int) -> Path:
    """Write a small T5 with random weights and the tokenizer of another model, and return its folder."""
    import torch
    from spaniel_neural.loading import quietly
    from spaniel_train.models import write_fresh
    from spaniel_train.recipe import Fresh

    with quietly(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        write_fresh(Fresh(family="t5", tokenizer=tokenizer, settings=_settings()), "seq2seq", True, folder)
    return folder


def _settings() -> dict[str, Any]:
    # BERT's vocabulary: [SEP] ends a text, [PAD] begins the decoder's.
    return {**SIZE, "feed_forward_proj": "gated-gelu", "eos_token_id": 102, "decoder_start_token_id": 0}


def with_views(base: Path, folder: Path) -> Path:
    """Write a model of views that begins from a T5, and return its folder."""
    from spaniel_mvp.config import MvpTraineeConfig
    from spaniel_mvp.loading import begin, save

    save(begin(base, MvpTraineeConfig(), set(), LENGTH), folder)
    return folder


def time_lists(
    context: Context, base: Path, model: Path, queries: Queries, run: Run, corpus: Corpus, rounds: int
) -> list[Times]:
    """Time both in turn, so that what else the machine does meets both; a short list before the first loads them."""
    views = context.create("rerank", Stage("mvp", model=str(model), k=1000))
    lm = Stage("transformers", model=str(base), task="seq2seq", window=WINDOW * LENGTH)
    windows = context.create(
        "rerank",
        Stage("listwise", lm=lm, k=1000, window=WINDOW, step=STEP, decoding="constrained", passage_tokens=LENGTH - 32),
    )
    turned = Run.build(run.offsets, run.rows, -run.scores)
    made = []
    for stage in (views, windows):
        stage.rerank(queries, run.cut(2), corpus)
    for _ in range(rounds):
        one, _ = _timed(lambda: views.rerank(queries, run, corpus))
        other, ordered = _timed(lambda: windows.rerank(queries, run, corpus))
        made.append((one / len(queries), other / len(queries), ordered))
    back = windows.rerank(queries, turned, corpus).of(0)[0].tolist()
    return [Times(one, other, ordered.of(0)[0].tolist(), back) for one, other, ordered in made]


def _timed(run: Callable[[], Run]) -> tuple[float, Run]:
    started = time.perf_counter()
    made = run()
    return time.perf_counter() - started, made


def ratios(times: Sequence[Times]) -> tuple[float, ...]:
    """Return how many times longer the windows take, one a round."""
    return tuple(np.round([one.windows / one.views for one in times], 2).tolist())
