"""Recipes, whose digests are addresses, and needs, which can be built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from spaniel.store.digests import canonical_json, digest_bytes

if TYPE_CHECKING:
    from spaniel.store.artifact import Draft

FORMAT = 1
"""Version of the layout of artifacts; part of every address."""
ADDRESS_LENGTH = 40


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what an artifact holds.

    Attributes:
        type: ``"corpus"``, ``"vectors"``, ``"index"``, ``"model"`` …
        component: ``"distribution/name"`` of what makes it.
        version: version of that distribution; what another version made is another artifact.
        config: every option, defaults included, as JSON.
        seed: seed of what is random in it, or ``None``.
        inputs: name → address of another artifact, or digest of a file or model.
    """

    type: str
    component: str
    version: str
    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def address(self) -> str:
        """Digest of the recipe: 40 hexadecimal digits."""
        return digest_bytes(canonical_json({"format": FORMAT, **self.to_json()}))[:ADDRESS_LENGTH]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> Recipe:
        """Return the recipe that plain data describes.

        Raises:
            ValueError: the data describe none.
        """
        if not isinstance(data, dict) or set(data) != {f for f in cls.__dataclass_fields__}:
            raise ValueError("the recipe is incomplete")
        texts = (data["type"], data["component"], data["version"])
        maps = (data["config"], data["inputs"])
        if not all(isinstance(t, str) for t in texts) or not all(isinstance(m, dict) for m in maps):
            raise ValueError("the recipe has fields of another type")
        if not (data["seed"] is None or type(data["seed"]) is int):
            raise ValueError("the recipe's seed is no whole number")
        return cls(**data)


@dataclass(frozen=True)
class Need:
    """An artifact that is wanted: its recipe, what builds it, and the needs that it is built from."""

    recipe: Recipe
    build: Callable[[Draft], None]
    inputs: tuple[Need, ...] = ()
