"""Expression with holes → dimensions. Every fault is found before anything is loaded, with its place underlined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spaniel import PluginError, Stage, UsageError
from spaniel.config import Reference, references
from spaniel.expression import Chain, Expression, Hole
from spaniel.expression.tokens import point_out
from spaniel.expression.tree import Span
from spaniel.pipeline.bind import bind
from spaniel.plugins import Registered, Registry

from spaniel_search.pipelines.dimensions import Dimension
from spaniel_search.pipelines.domains import Range, declared_domain

_UNREAD = "hole"
"""What stands in a hole whose component or option is unknown; binding then says so."""
LEFT_OUT = None
"""The choice of a stage that is not there, written ``null``."""


class Reader:
    """Reads the holes of an expression; ``found`` has the dimension of each by its identity, ``faults`` what is wrong.

    Args:
        registry: the components.
        root: the expression, parsed with holes.
        text: its text.
        digits: significant digits of real numbers.
    """

    def __init__(self, registry: Registry, root: Expression, text: str, digits: int) -> None:
        self.registry, self.text, self.digits = registry, text, digits
        self.found: dict[int, Dimension] = {}
        self.faults: list[str] = []
        self._names: set[str] = set()
        stages = tuple(name for name, kind in registry.kinds.items() if kind.follows)
        self.stages = Reference(stages)
        self.dimensions = self.node(root, self.stages, False, "")

    def fault(self, hole: Hole, message: str) -> None:
        self.faults.append(point_out(self.text, hole.span, message))

    def node(
        self, node: Expression, demand: Reference, behind: bool, prefix: str, optional: bool = False
    ) -> tuple[Dimension, ...]:
        """Return the dimensions of an expression at a place that demands something of it, or can be without it."""
        if isinstance(node, Chain):
            chained: list[Dimension] = []
            for at, stage in enumerate(node.stages):
                rewrites = self.rewrites(stage, demand)
                chained += self.node(stage, demand, behind, prefix, at > 0 or rewrites)
                behind = behind or not rewrites
            return tuple(chained)
        if isinstance(node, Hole):
            name = f"{prefix}{node.kind or ('stage' if demand == self.stages else '/'.join(demand.kinds))}"
            return self.slot(node, demand, behind, name, optional)
        registered = self.look_up(node, demand.kinds, behind)
        if registered is None or not registered.component.config:
            return ()  # what is wrong is found when the whole is bound
        model = registered.config_model()
        demands = references(model)
        here = f"{prefix}{node.name}."
        made: list[Dimension] = []
        for part in node.inputs:
            made += self.node(part, demands.get(model.inputs_field, self.stages), behind, prefix)
        holes = any(has_hole(value) for value in node.options.values())
        schema = model.model_json_schema() if holes else {}
        for option, value in node.options.items():
            field = _resolved(schema, schema.get("properties", {}).get(option, {}))
            preset = registered.component.options.get(option, field.get("default"))
            if option in demands:
                for named in value if isinstance(value, tuple) else (value,):
                    if isinstance(named, Hole):
                        made += self.slot(named, demands[option], behind, f"{here}{option}", False, preset)
                    elif isinstance(named, Stage | Chain):
                        made += self.node(named, demands[option], behind, here)
            elif option in model.model_fields:
                made += self.values(value, field, preset, f"{here}{option}", schema)
        return tuple(made)

    def rewrites(self, stage: Expression, demand: Reference) -> bool:
        """Whether a stage gives queries: one more before a retriever, which can be left out."""
        if isinstance(stage, Hole) and (stage.kind or not stage.choices):
            return stage.kind in self.registry.kinds and self.registry.kinds[stage.kind].gives == "queries"
        named = (
            [choice for choice in stage.choices if isinstance(choice, Stage)] if isinstance(stage, Hole) else [stage]
        )
        found = [self.look_up(one, demand.kinds, False) for one in named if isinstance(one, Stage)]
        return bool(found) and all(
            one is not None and self.registry.kinds[one.kind].gives == "queries" for one in found
        )

    def look_up(self, stage: Stage, kinds: Sequence[str], behind: bool) -> Registered | None:
        """Find the component that is meant, as binding does: of two with one name, the one that fits the place."""
        ordered = sorted(kinds, key=lambda kind: (self.registry.kinds[kind].follows == "must") != behind)
        for kind in ordered:
            if self.registry.has(kind, stage.name):
                return self.registry.find(kind, stage.name)
        return None

    # Values

    def values(
        self, value: Any, field: Mapping[str, Any], preset: Any, name: str, schema: Mapping[str, Any]
    ) -> list[Dimension]:
        """Return the dimensions of an option's value, which is a hole, or a list with holes."""
        if isinstance(value, tuple):
            forms = [form for form in field.get("anyOf", [field]) if form.get("type") == "array"]
            made = []
            for at, part in enumerate(value):
                items = forms[0].get("items", {}) if forms else {}
                items = forms[0]["prefixItems"][at] if forms and at < len(forms[0].get("prefixItems", ())) else items
                made += self.values(part, _resolved(schema, items or {}), None, f"{name}.{at}", schema)
            return made
        if not isinstance(value, Hole):
            return []
        try:
            domain = self.domain(value, field)
        except UsageError as error:
            self.fault(value, f"`{name}`: {error}")
            return []
        if isinstance(domain, Range):
            first = preset if domain.holds(preset) else domain.value(0.5)
        else:
            first = next((at for at, v in enumerate(domain) if v == preset and type(v) is type(preset)), 0)
        return [self.add(value, name, domain, first)]

    def domain(self, hole: Hole, field: Mapping[str, Any]) -> Range | tuple[Any, ...]:
        """Return what a value's hole can be filled with."""
        if hole.kind:
            raise UsageError("a kind fills a place where a component stands; write `?`, `?[low..high]` or `?[a, b]`")
        if hole.choices:
            # A lone name is text, as it is without a hole.
            return tuple(c.name if type(c) is Stage and not c.inputs and not c.options else c for c in hole.choices)
        types = {form.get("type") for form in field.get("anyOf", [field])}
        if hole.ends is None:
            return declared_domain(field, self.digits)
        if not types & {"integer", "number"}:
            raise UsageError("it is no number, so it has no range")
        low, high = hole.ends
        whole = "number" not in types
        if whole and not (isinstance(low, int) and isinstance(high, int)):
            raise UsageError(f"it is a whole number, and {low}..{high} has ends that are none")
        ends = (low, high) if whole else (float(low), float(high))
        return Range(*ends, whole, hole.log, self.digits)

    # Slots

    def slot(
        self, hole: Hole, demand: Reference, behind: bool, name: str, optional: bool, first: Any = None
    ) -> tuple[Dimension, ...]:
        """Return the dimension of a place where a component stands, and what its choices open."""
        choices = self.choices(hole, demand, behind, optional)
        if not choices:
            return ()
        name = self._unique(name)
        opens = tuple(
            self.node(choice, demand, behind, f"{name}=") if isinstance(choice, Stage | Chain) else ()
            for choice in choices
        )
        at = next((at for at, choice in enumerate(choices) if str(choice) == str(first)), 0)
        return (self.add(hole, name, choices, at, opens),)

    def choices(self, hole: Hole, demand: Reference, behind: bool, optional: bool) -> tuple[Any, ...]:
        if hole.ends is not None:
            self.fault(hole, "here a component stands, not a number: write `?`, `?kind` or `?[a, b]`")
            return ()
        for choice in hole.choices:
            if not isinstance(choice, Stage | Chain) and not (choice is LEFT_OUT and optional):
                also = ", or null for none" if optional else ""
                self.fault(hole, f"here a component stands{also}; {choice!r} is none")
                return ()
        if hole.choices:
            return hole.choices
        if hole.kind and hole.kind not in demand.kinds:
            self.fault(hole, f"a {hole.kind} cannot stand here; what can is of kind {' or '.join(demand.kinds)}")
            return ()
        # What gives queries is tried where it is named: it cannot end a pipeline.
        ranking = tuple(kind for kind in demand.kinds if self.registry.kinds[kind].gives == "run")
        kinds = (hole.kind,) if hole.kind else ranking
        found = [r for kind in kinds for r in self.registry.components(kind) if self.fits(r, demand, behind)]
        if not found:
            self.fault(hole, f"no installed {' or '.join(kinds)} can stand here without options of its own")
        made = []
        for registered in found:
            stage = Stage(registered.name)
            stage.source, stage.span = self.text, hole.span
            made.append(stage)
        return tuple(made)

    def fits(self, registered: Registered, demand: Reference, behind: bool) -> bool:
        """Whether a component can stand somewhere with its default options."""
        component = registered.component
        kind = self.registry.kinds[registered.kind]
        follows = component.follows or kind.follows
        if (follows == "must" and not behind) or (follows == "never" and behind and kind.gives == "run"):
            return False
        if (demand.gives and demand.gives not in component.gives) or (
            demand.takes and demand.takes not in component.takes
        ):
            return False
        if demand.role and demand.role != component.role:
            return False
        try:
            bind(registered.kind, Stage(registered.name), self.registry)
        except (UsageError, PluginError):
            return False
        return True

    def add(self, hole: Hole, name: str, domain: Any, first: Any, opens: Any = ()) -> Dimension:
        name = name if name in self._names and opens else self._unique(name)
        made = Dimension(name, domain, first, tuple(opens))
        self.found[id(hole)] = made
        return made

    def _unique(self, name: str) -> str:
        number, made = 1, name
        while made in self._names:
            number += 1
            made = f"{name}#{number}"
        self._names.add(made)
        return made


def fill(node: Any, found: Mapping[int, Dimension], candidate: Mapping[str, Any]) -> Any:
    """Return an expression, or a value, with its holes filled; places are kept, so that faults can be underlined."""
    if isinstance(node, Hole):
        if id(node) not in found:
            return _UNREAD
        dimension = found[id(node)]
        value = candidate[dimension.name]
        return value if isinstance(dimension.domain, Range) else fill(dimension.domain[value], found, candidate)
    if isinstance(node, tuple):
        return tuple(fill(part, found, candidate) for part in node)
    if isinstance(node, Chain):
        parts = [part for stage in node.stages if (part := fill(stage, found, candidate)) is not LEFT_OUT]
        made: Expression = Chain(*parts) if len(parts) > 1 else parts[0]
        if len(parts) > 1:
            made.source, made.span = node.source, node.span
        return made
    if isinstance(node, Stage):
        inputs = [fill(part, found, candidate) for part in node.inputs]
        stage = Stage(node.name, *inputs, **{key: fill(value, found, candidate) for key, value in node.options.items()})
        stage.source, stage.span = node.source, node.span
        spans = {key: _span_of_choice(value, found, candidate) for key, value in node.options.items()}
        stage.option_spans = {**node.option_spans, **{key: span for key, span in spans.items() if span is not None}}
        return stage
    return node


def _span_of_choice(value: Any, found: Mapping[int, Dimension], candidate: Mapping[str, Any]) -> Span | None:
    """Return where the component stands that fills a hole, where it is written in the text."""
    if not isinstance(value, Hole) or not value.choices or id(value) not in found:
        return None
    dimension = found[id(value)]
    choice = None if isinstance(dimension.domain, Range) else value.choices[candidate[dimension.name]]
    return choice.span if isinstance(choice, Stage | Chain) else None


def has_hole(value: Any) -> bool:
    """Whether an expression, or a value in it, has a hole."""
    if isinstance(value, tuple):
        return any(map(has_hole, value))
    if isinstance(value, Chain):
        return any(map(has_hole, value.stages))
    if isinstance(value, Hole):
        return True
    return isinstance(value, Stage) and any(map(has_hole, (*value.inputs, *value.options.values())))


def _resolved(schema: Mapping[str, Any], field: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a field with what it refers to in place."""
    made = dict(field)
    if "$ref" in made:
        made = {**schema["$defs"][made.pop("$ref").rpartition("/")[2]], **made}
    if "anyOf" in made:
        made["anyOf"] = [_resolved(schema, form) for form in made["anyOf"]]
    return made
