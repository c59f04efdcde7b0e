"""Documents' vectors fitted to a small part of a score matrix (Yadav et al., ICLR 2024, §2.2).

Where CUR scores every anchor query with every document, here each is scored with a few: some that a dense encoder finds,
some at random. From the encoder's vectors on, queries' and documents' vectors are fitted so that their inner products
give these scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

if TYPE_CHECKING:
    from spaniel_anncur.config import AxnConfig

BATCH = 4096
BLOCK = 65_536
CONSTANT = 10.0
"""Size of the constant that every document's vector ends with, in units of the vectors' mean length. By it a query's
offset is fitted; it is large, so that a penalty on the length of a query's vector hardly weighs on the offset."""


class Change(nn.Module):
    """A vector and what a small network adds to it; at the start, nothing."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.inner = nn.Linear(dimensions, dimensions)
        self.outer = nn.Linear(dimensions, dimensions)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return changed vectors, ``(n, dimensions)``."""
        changed: Tensor = vectors + self.outer(nn.functional.gelu(self.inner(vectors)))
        return changed


@dataclass(frozen=True)
class Factors:
    """What was fitted.

    Attributes:
        documents: ``(n, dimensions + 1)`` float32; the last is a constant.
        query: name → tensor, what makes a query's vector of the encoder's.
        losses: mean squared error over the scores, standardised, before the fit and after it.
    """

    documents: NDArray[np.float32]
    query: dict[str, Tensor]
    losses: tuple[float, float]


def fit_factors(
    queries: NDArray[np.float32],
    documents: NDArray[np.float32],
    owners: NDArray[np.integer],
    rows: NDArray[np.integer],
    scores: NDArray[np.float32],
    config: AxnConfig,
    seed: int,
) -> Factors:
    """Fit vectors to the scores of some pairs, by Adam over their squared errors.

    Args:
        queries: ``(queries, dimensions)``, the encoder's.
        documents: ``(n, dimensions)``, the encoder's.
        owners: ``(pairs,)``.
        rows: ``(pairs,)``.
        scores: ``(pairs,)``.
    """
    constant = CONSTANT * max(float(np.linalg.norm(documents, axis=1).mean()) if len(documents) else 1.0, 1e-6)
    middle, spread = float(scores.mean()), float(scores.std()) or 1.0
    wanted = torch.from_numpy(((scores - middle) / spread).astype(np.float32))
    used, place = np.unique(rows, return_inverse=True)
    q, d = torch.from_numpy(queries.astype(np.float32)), torch.from_numpy(documents[used].astype(np.float32))
    pair = torch.from_numpy(np.stack([owners, place]).astype(np.int64))
    # How the encoder's inner products are turned into scores, by least squares.
    products = (q[pair[0]] * d[pair[1]]).sum(1).numpy().astype(np.float64)
    (scale, offset), *_ = np.linalg.lstsq(np.stack([products, np.ones_like(products)], 1), wanted.numpy(), rcond=None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inductive = config.factors == "inductive"
        of_query, of_document = Change(q.shape[1]), Change(q.shape[1])
        free_q, free_d = nn.Parameter(float(scale) * q), nn.Parameter(d.clone())
        offsets = nn.Parameter(torch.full((len(q), 1), float(offset)))
        trained = [*of_query.parameters(), *of_document.parameters()] if inductive else [free_q, free_d]

        def predict(part: Tensor) -> Tensor:
            # By embedding, whose gradient is summed in one order; that of an index is not, with several threads.
            left = of_query(float(scale) * q[part[0]]) if inductive else nn.functional.embedding(part[0], free_q)
            right = of_document(d[part[1]]) if inductive else nn.functional.embedding(part[1], free_d)
            return torch.as_tensor((left * right).sum(1) + nn.functional.embedding(part[0], offsets)[:, 0])

        with torch.no_grad():
            before = float((predict(pair) - wanted).square().mean())
        optimizer = torch.optim.Adam([*trained, offsets], lr=config.learning_rate)
        for _ in range(config.epochs):
            for chosen in torch.randperm(len(wanted)).split(BATCH):  # type: ignore[no-untyped-call]
                optimizer.zero_grad()
                loss = (predict(pair[:, chosen]) - wanted[chosen]).square().mean()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        with torch.no_grad():
            after = float((predict(pair) - wanted).square().mean())
            made = documents.astype(np.float32)
            if inductive:
                blocks = torch.from_numpy(made).split(BLOCK)  # type: ignore[no-untyped-call]
                made = torch.cat([of_document(block) for block in blocks]).numpy() if len(made) else made
            else:
                made[used] = free_d.numpy()
    ended = np.concatenate([made, np.full((len(made), 1), constant, np.float32)], axis=1)
    query = {
        "scale": torch.tensor(
            [float(scale), float(offsets.detach().mean()), middle, spread, constant], dtype=torch.float64
        ),
        **({name: value.detach() for name, value in of_query.state_dict().items()} if inductive else {}),
    }
    return Factors(ended, query, (before, after))


def query_vectors(side: dict[str, Any], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the encoder's vectors of queries become: ``(queries, dimensions + 1)``, in units of the scores."""
    scale, offset, middle, spread, constant = side["scale"].tolist()
    made = torch.from_numpy(scale * vectors.astype(np.float32))
    weights = {name: value for name, value in side.items() if name != "scale"}
    if weights:
        change = Change(made.shape[1])
        change.load_state_dict(weights)
        with torch.no_grad():
            made = change(made)
    ends = np.full((len(vectors), 1), (offset * spread + middle) / constant, np.float32)
    return np.concatenate([spread * made.numpy(), ends], axis=1).astype(np.float32)
