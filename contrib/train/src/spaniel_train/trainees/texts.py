"""Models that read queries and texts apart."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from spaniel_train.batch import Batch
from spaniel_train.models import Item, SearchingTrainee, joined
from spaniel_train.protocols import Role
from spaniel_train.trainees.folders import LibraryTrainee

_ROLES: tuple[Role, ...] = ("query", "document")


class TextTrainee(LibraryTrainee, SearchingTrainee):
    """A model of sentence-transformers that reads a text in a role."""

    def items(self, batch: Batch) -> list[Item]:
        """Return the queries of a batch, instructions before them, then its texts."""
        return [*self.queries(batch), *((text, "document") for text in batch.texts)]

    def queries(self, batch: Batch) -> list[Item]:
        """Return the queries of a batch, instructions before them."""
        return [(row.instruction + row.query, "query") for row in batch.rows]

    def represent(self, items: Sequence[Item]) -> Tensor:
        """Return representations of the items, in their order; those of a role are read together."""
        made: list[Tensor] = []
        places: list[int] = []
        for role in _ROLES:
            chosen = [place for place, item in enumerate(items) if item[1] == role]
            if chosen:
                features = self.features([items[place][0] for place in chosen], prompt=self.prompt(role), task=role)
                made.append(self.represented(features, role))
                places += chosen
        back = torch.tensor(places, device=made[0].device).argsort()
        return joined(made)[back]

    @abstractmethod
    def represented(self, features: dict[str, Any], role: Role) -> Tensor:
        """Return representations of texts of one role, ``(texts, …)`` float32, of what :meth:`features` makes of them."""


def of_groups(matrix: Tensor, batch: Batch) -> Tensor:
    """Return the scores of each query with the texts of its group, 0 where it has fewer: of ``(queries, texts)``."""
    return torch.where(batch.filled, matrix.gather(1, batch.groups.clamp(min=0)), 0.0)
