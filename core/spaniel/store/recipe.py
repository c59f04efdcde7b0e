"""Recipes, whose digests are addresses, and needs, which can be built."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from spaniel.errors import UsageError
from spaniel.store.digests import canonical_json, digest_bytes

if TYPE_CHECKING:
    from spaniel.store.draft import Draft

FORMAT = 1
"""Version of the form of artifacts; part of every address."""
ADDRESS_LENGTH = 40


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what an artifact holds.

    Mappings are copied when the recipe is made, so that its address cannot change behind its back.

    Attributes:
        type: ``"corpus"``, ``"vectors"``, ``"index"``, ``"model"`` …
        component: ``"distribution/name"`` of what makes it.
        version: version of that distribution; what another version made is another artifact.
        config: every option, defaults included, as JSON.
        seed: seed of what is random in it, or ``None``.
        inputs: name → address of another artifact, or digest of a file or model.

    Raises:
        UsageError: a field has another type, or no JSON form.
    """

    type: str
    component: str
    version: str
    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("type", "component", "version"):
            if not isinstance(getattr(self, name), str):
                raise UsageError(f"a recipe's {name} is text, not {getattr(self, name)!r}")
        if not (self.seed is None or type(self.seed) is int):
            raise UsageError(f"the seed of a recipe of {self.component} is a whole number or None, not {self.seed!r}")
        for name in ("config", "inputs"):
            try:
                plain = json.loads(canonical_json(getattr(self, name)))
            except (TypeError, ValueError, RecursionError) as error:
                raise UsageError(f"the {name} of a recipe of {self.component} must be JSON: {error}") from error
            if not isinstance(plain, dict):
                raise UsageError(f"the {name} of a recipe of {self.component} is a mapping, not {plain!r}")
            object.__setattr__(self, name, plain)
        if not all(isinstance(value, str) for value in self.inputs.values()):
            raise UsageError(f"the inputs of a recipe of {self.component} are addresses and digests: {self.inputs!r}")

    @cached_property
    def address(self) -> str:
        """Digest of the recipe: 40 hexadecimal digits."""
        return digest_bytes(canonical_json({"format": FORMAT, **self.to_json()}))[:ADDRESS_LENGTH]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "type": self.type,
            "component": self.component,
            "version": self.version,
            "config": dict(self.config),
            "seed": self.seed,
            "inputs": dict(self.inputs),
        }

    @classmethod
    def from_json(cls, data: Any) -> Recipe:
        """Return the recipe that plain data describe.

        Raises:
            UsageError: they describe none.
        """
        if not isinstance(data, dict) or set(data) != set(cls.__dataclass_fields__):
            raise UsageError(f"a recipe has the fields {', '.join(cls.__dataclass_fields__)}")
        return cls(**data)


@dataclass(frozen=True)
class Need:
    """An artifact that is wanted: its recipe, what builds it, and the needs that it is built from.

    ``build`` writes files under the draft that it is given, and notes in ``draft.info``.
    """

    recipe: Recipe
    build: Callable[[Draft], None]
    inputs: tuple[Need, ...] = ()
