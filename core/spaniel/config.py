"""Options of components: frozen pydantic models, with typed references to other components."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator
from pydantic.json_schema import WithJsonSchema

from spaniel.errors import UsageError
from spaniel.expression import Chain, Stage, from_data

__all__ = ["SEARCHES", "Config", "Expression", "Filter", "Reference", "ref", "references", "search_options"]


class Config(BaseModel):
    """Base of every component's options: frozen, unknown options refused, defaults checked like given values.

    A component that takes expressions by position (``rrf(bm25, dense)``) names the field that receives them in
    ``inputs_field``.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        validate_default=True,
        allow_inf_nan=False,
        arbitrary_types_allowed=True,
    )

    inputs_field: ClassVar[str] = ""


def _to_expression(value: Any) -> Any:
    try:
        return from_data(value)
    except UsageError as error:
        raise ValueError(str(error)) from None


Expression = Annotated[
    Stage | Chain,
    PlainValidator(_to_expression),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "format": "spaniel-expression"}),
]
"""Field type of a reference to another component: text, plain data and expressions are accepted."""


def _check_filter(text: str) -> str:
    from spaniel.data.filters import parse_filter

    try:
        parse_filter(text)
    except UsageError as error:
        raise ValueError(str(error)) from None
    return text


Filter = Annotated[str, AfterValidator(_check_filter)]
"""Field type of a filter over the documents' metadata, see :mod:`spaniel.data.filters`; checked before anything loads."""


SEARCHES: dict[str, Any] = {"searches": True}
"""Marks an option of an indexer that says how an index is searched, not what it holds.

``ef_search: int = Field(128, description="…", json_schema_extra=SEARCHES)`` is no part of the index's recipe: another value
opens the same artifact.
"""


class Reference(NamedTuple):
    """What a field that names other components demands of them."""

    kinds: tuple[str, ...]
    gives: str = ""
    takes: str = ""
    role: str = ""


def ref(
    kind: str | tuple[str, ...],
    default: Any = ...,
    *,
    gives: str = "",
    takes: str = "",
    role: str = "",
    description: str,
    **field: Any,
) -> Any:
    """Declare a field that names another component, checked before anything is loaded and resolved late.

    Args:
        kind: the kind that the component must have, or several.
        default: an expression as text; without one the option is required.
        gives: a representation that the component must offer.
        takes: something that the component must work on.
        role: the role that it must play.
        description: what the option does.
        field: further arguments of :func:`pydantic.Field`.
    """
    demand = Reference((kind,) if isinstance(kind, str) else kind, gives, takes, role)
    return Field(default, description=description, json_schema_extra={"reference": demand._asdict()}, **field)


def search_options(model: type[Config]) -> frozenset[str]:
    """Return the fields of a config model that are marked by :data:`SEARCHES`."""
    fields = model.model_fields.items()
    return frozenset(
        name for name, f in fields if isinstance(f.json_schema_extra, dict) and "searches" in f.json_schema_extra
    )


def references(model: type[Config]) -> dict[str, Reference]:
    """Return the fields of a config model that name other components."""
    found = {}
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict) and isinstance(extra.get("reference"), dict):
            demand = dict(extra["reference"])  # type: ignore[arg-type]
            found[name] = Reference(**{**demand, "kinds": tuple(demand["kinds"])})  # type: ignore[arg-type]
    return found
