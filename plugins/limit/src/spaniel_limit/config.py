"""Options."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator
from spaniel import Config, UsageError

Pattern = Literal["dense", "random", "cycle", "disjoint"]
PRESETS: dict[str, dict[str, str]] = {"small": {}, "full": {"documents": "50000"}}


class LimitConfig(Config):
    """Options of a generated collection; the defaults are those of LIMIT-small."""

    name: str = Field(
        "",
        description="a preset (small: 46 documents, full: 50,000), options as `documents=2000,pattern=cycle`, or both; "
        "what is named here wins",
    )
    documents: int = Field(46, description="people, each a document", ge=1)
    queries: int = Field(1000, description="queries, each after one attribute", ge=1)
    k: int = Field(2, description="documents that are relevant to a query", ge=1)
    pattern: Pattern = Field(
        "dense",
        description="which documents: every set of as few documents as will do (LIMIT), random ones, each and its "
        "successors, or none twice",
    )
    balanced: bool = Field(
        False,
        description="of dense: sets that are too many are left out at random, not the last in order; not in the paper",
    )
    min_items: int = Field(45, description="attributes of a document, at the least", ge=1)
    part: Literal["all", "train", "test"] = Field(
        "all", description="attributes and names that are used: all, or one of two halves that share none"
    )
    attributes: str | None = Field(None, description="file of attributes, one a line, in place of the own list")
    names: str | None = Field(None, description="file of people's names, one a line, in place of generated ones")
    query_template: str = Field("Who likes {item}?", description="text of a query; {item} stands for the attribute")
    seed: int = Field(42, description="seed of everything that is drawn", ge=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if "{item}" not in self.query_template:
            raise ValueError(f"query_template={self.query_template!r} has no {{item}}")
        return self

    def resolved(self) -> LimitConfig:
        """Return the options with those of the name put in, and no name.

        Raises:
            UsageError: the name is no preset and no option, or a value does not fit.
        """
        given: dict[str, str] = {}
        for part in filter(None, (part.strip() for part in self.name.split(","))):
            option, equals, value = part.partition("=")
            if not equals and part in PRESETS:
                given.update(PRESETS[part])
            elif equals and option in type(self).model_fields and option != "name":
                given[option] = value
            else:
                options = ", ".join(name for name in type(self).model_fields if name != "name")
                raise UsageError(
                    f"limit:{self.name}: {part!r} is none of {', '.join(PRESETS)}, and no option=value of {options}"
                )
        kept = self.model_dump(exclude={"name", *given}, exclude_unset=True)
        try:
            read = LimitConfig.model_validate_strings(given, strict=False).model_dump(include=set(given))
            return LimitConfig(**{**kept, **read})
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "options"
            raise UsageError(f"limit:{self.name}: {place}: {first['msg']}") from None


class MomentCurveConfig(Config):
    """Options of the oracle."""

    collection: str = Field("limit", description="collection whose judgments it knows, by name or folder", min_length=1)
    split: str | None = Field(None, description="split of the collection; by default test, else its only one")
    k: int = Field(2, description="most relevant documents of a query; vectors have 2k dimensions", ge=1)


class TopKSetConfig(Config):
    """Options of the explainer."""

    k: int = Field(2, description="size of the sets", ge=1)


class TrainingConfig(Config):
    """Options of training vectors without texts; the defaults are the published ones."""

    d: int = Field(description="dimensions", ge=1)
    lr: float = Field(0.01, description="learning rate of Adam", gt=0)
    max_iter: int = Field(100_000, description="updates, at most", ge=1)
    temperature: float = Field(0.1, description="what scores are divided by", gt=0)
    seed: int = Field(42, description="seed of the first vectors, and (plus 1) of sampled sets", ge=0)
    eval_every: int = Field(50, description="updates between two looks at the ranking", ge=1)
    patience: int = Field(1000, description="updates without a lower loss after which it stops", ge=1)
    min_delta: float = Field(1e-5, description="what counts as a lower loss", ge=0)
    normalise: bool = Field(True, description="whether vectors are scaled to length 1 after each update")
    dtype: Literal["float32", "float64"] = Field("float32", description="arithmetic")


class FreeEmbeddingConfig(TrainingConfig):
    """Options of the free-embedding experiment: every set of ``k`` among ``n`` documents."""

    n: int = Field(description="documents", ge=1)
    k: int = Field(2, description="documents of a set", ge=1)
    query_cap: int | None = Field(None, description="sets, drawn at random, where all are too many", ge=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.k > self.n:
            raise ValueError(f"there are no sets of {self.k} among {self.n} documents")
        return self


class CriticalConfig(Config):
    """Options of the search for the critical number of documents."""

    d: int = Field(description="dimensions", ge=1)
    k: int = Field(2, description="documents of a set", ge=1)
    start: int | None = Field(
        None, description="documents to begin with; by default what the published curve says", ge=1
    )
    strategy: Literal["gallop", "near"] = Field(
        "gallop",
        description="gallop: steps of 1, 2, 4 … and a binary search, as published; near: step by step from the start",
    )
    sweep: tuple[int, int] | None = Field(
        None, description="offsets from the critical number of further ones that are tried, as (-4, 5) in the paper"
    )
    seed: int = Field(42, description="seed of the first vectors", ge=0)
    largest: int = Field(100_000, description="documents after which it gives up", ge=2)


class NeededConfig(Config):
    """Options of the search for the dimension that judgments need."""

    dimensions: tuple[int, ...] = Field(
        (), description="dimensions that are tried; left out: 1, 2, 4 … until all sets are returned, then in between"
    )
    queries: int | None = Field(None, description="sets, drawn at random, where all are too many", ge=1)
    max_iter: int = Field(100_000, description="updates of a training, at most", ge=1)
    seed: int = Field(42, description="seed of the first vectors and of what is drawn", ge=0)
