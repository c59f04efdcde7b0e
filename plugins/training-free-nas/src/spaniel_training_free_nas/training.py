"""Training of small candidates, to see what proxies are worth where no published table says it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

Tokens = NDArray[np.int64]
_FIRST_WORD = 5
"""Tokens below are special ones."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    Attributes:
        steps: of the optimizer.
        texts: sequences of a step.
        tokens: of a sequence.
        rate: of Adam, which falls to 0 along a cosine.
        clip: largest norm of the gradient.
    """

    steps: int
    texts: int = 16
    tokens: int = 32
    rate: float = 3e-3
    clip: float = 1.0


def next_token_loss(
    network: Any,
    train: Tokens,
    held_out: Tokens,
    schedule: Schedule,
    seed: int,
    step: Callable[[], None] = lambda: None,
) -> float:
    """Train a recurrent network to say the next token, and return its loss on other text, in nats a token.

    Args:
        network: a :class:`spaniel_training_free_nas.recurrent.Recurrent`; it is trained in place.
        train, held_out: ``(n,)`` int64, streams of tokens.
        schedule: how long.
        seed: of the decoder's weights and of the order of sequences.
        step: called after each step.
    """
    random = torch.Generator().manual_seed(seed)
    vocabulary = network.words.num_embeddings
    decoder = nn.Linear(network.hidden, vocabulary)
    with torch.no_grad():
        decoder.weight.uniform_(-0.1, 0.1, generator=random)
        decoder.bias.zero_()

    def loss(ids: Tensor) -> Tensor:
        mask = torch.ones_like(ids[:, :-1], dtype=torch.bool)
        said = decoder(network(network.embed(ids[:, :-1]), mask))
        return functional.cross_entropy(said.flatten(0, 1), ids[:, 1:].flatten())

    source = torch.from_numpy(train)
    width = schedule.tokens + 1

    def draw() -> Tensor:
        starts = torch.randint(len(source) - width, (schedule.texts,), generator=random)
        return source[starts[:, None] + torch.arange(width)]

    _fit([network, decoder], lambda: loss(draw()), schedule, step)
    rows = torch.from_numpy(held_out[: len(held_out) // width * width].reshape(-1, width))
    with torch.no_grad():
        losses = [float(loss(part)) * len(part) for part in torch.split(rows, 64)]
    return sum(losses) / len(rows)


def masked_token_loss(
    encoder: Any,
    train: Tokens,
    held_out: Tokens,
    schedule: Schedule,
    seed: int,
    share: float = 0.15,
    step: Callable[[], None] = lambda: None,
) -> float:
    """Train an encoder to say masked tokens, and return its loss on other text, in nats a masked token.

    Args:
        encoder: a :class:`spaniel_training_free_nas.encoder.Encoder`; it is trained in place, without dropout.
        train, held_out: ``(n,)`` int64, streams of tokens.
        schedule: how long.
        seed: of the order of sequences and of the masks; the held-out masks are the same for all.
        share: of the tokens is masked, by the token 4.
        step: called after each step.
    """
    random = torch.Generator().manual_seed(seed)
    source = torch.from_numpy(train)
    width = schedule.tokens
    words = encoder.embeddings.words.weight
    back = nn.Linear(encoder.blocks[0].last.normalized_shape[0], words.shape[1])
    bias = nn.Parameter(torch.zeros(words.shape[0]))
    with torch.no_grad():
        back.weight.normal_(0, 0.02, generator=random)
        back.bias.zero_()
    head = nn.ParameterList([bias])

    def loss(ids: Tensor, stream: torch.Generator) -> Tensor:
        masked = (torch.rand(ids.shape, generator=stream) < share) & (ids >= _FIRST_WORD)
        read = torch.where(masked, 4, ids)
        hidden = encoder(encoder.embed(read), torch.ones_like(ids, dtype=torch.bool))
        return functional.cross_entropy(back(hidden[masked]) @ words.T + bias, ids[masked])

    def draw() -> Tensor:
        starts = torch.randint(len(source) - width, (schedule.texts,), generator=random)
        return source[starts[:, None] + torch.arange(width)]

    _fit([encoder, back, head], lambda: loss(draw(), random), schedule, step)
    rows = torch.from_numpy(held_out[: len(held_out) // width * width].reshape(-1, width))
    stream = torch.Generator().manual_seed(0)
    with torch.no_grad():
        losses = [float(loss(part, stream)) * len(part) for part in torch.split(rows, 64)]
    return sum(losses) / len(rows)


def _fit(modules: list[Any], loss: Callable[[], Tensor], schedule: Schedule, step: Callable[[], None]) -> None:
    parameters = [one for module in modules for one in module.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=schedule.rate)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, schedule.steps)
    for _ in range(schedule.steps):
        optimizer.zero_grad()
        loss().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, schedule.clip)
        optimizer.step()
        falling.step()
        step()
