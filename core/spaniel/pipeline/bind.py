"""Expression → checked components: names, options, types, kinds, and which stage can follow which.

Everything is checked before anything is loaded, and all faults come in one message with their places underlined.
"""

from __future__ import annotations

import difflib
import hashlib
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from spaniel.config import Config, Reference, references, search_options
from spaniel.errors import PluginError, UsageError
from spaniel.expression import Chain, Expression, Stage, from_data, parse
from spaniel.expression.tokens import point_out
from spaniel.expression.tree import Span
from spaniel.plugins import Registered, Registry
from spaniel.plugins.catalogue import unknown_kind
from spaniel.store import canonical_json


@dataclass(frozen=True)
class Bound:
    """A component with checked options.

    Attributes:
        references: the components that its options name.
        follows: whether it reads an earlier run, as :class:`spaniel.Component` has it.
        call: the method that runs it, for stages, as :class:`spaniel.Kind` has it.
        gives: ``"run"`` or ``"queries"``, for stages.
    """

    expression: Stage
    registered: Registered
    config: Config | None
    references: Mapping[str, tuple[Bound | Pipeline, ...]]
    follows: str
    call: str = ""
    gives: str = ""

    def __repr__(self) -> str:
        return f"Bound({self.kind} `{self.expression}` of {self.registered.distribution})"

    @property
    def kind(self) -> str:
        return self.registered.kind

    @cached_property
    def name(self) -> str:
        """The component and its options, as they print."""
        return str(self.expression)

    @cached_property
    def description(self) -> dict[str, Any]:
        """JSON that decides what the component does: distribution, version and every option, references included."""
        config = {} if self.config is None else self.config.model_dump(mode="json")
        for field, bound in self.references.items():
            described = [b.description for b in bound]
            config[field] = described if isinstance(config[field], list) else described[0]
        return {
            "component": self.registered.full_name,
            "kind": self.kind,
            "version": self.registered.version,
            "config": config,
        }

    @cached_property
    def building(self) -> dict[str, Any]:
        """The description without options of searching, see :data:`spaniel.config.SEARCHES`: what decides what is built."""
        described = {**self.description, "config": dict(self.description["config"])}
        for field in () if self.config is None else search_options(type(self.config)):
            del described["config"][field]
        for field, bound in self.references.items():
            built = [b.building if isinstance(b, Bound) else b.description for b in bound]
            described["config"][field] = built if isinstance(described["config"][field], list) else built[0]
        return described

    @cached_property
    def digest(self) -> str:
        """Digest of :attr:`description`."""
        return hashlib.sha256(canonical_json(self.description)).hexdigest()

    def walk(self) -> Iterator[Bound]:
        """Yield this component and every one that it names, depth first."""
        yield self
        for bounds in self.references.values():
            for bound in bounds:
                yield from bound.walk()


@dataclass(frozen=True)
class Pipeline:
    """Stages, each with checked options, of which each can follow the one before."""

    expression: Expression
    stages: tuple[Bound, ...]

    def __repr__(self) -> str:
        return f"Pipeline({str(self.expression)!r})"

    @property
    def follows(self) -> str:
        """Whether it reads an earlier run: what its stages say up to the first that gives one of its own."""
        found = "never"
        for stage in self.stages:
            if stage.follows == "must":
                return "must"
            found = "may" if stage.follows == "may" else found
            if stage.gives == "run":
                break
        return found

    @cached_property
    def description(self) -> dict[str, Any]:
        """JSON that decides what the pipeline does."""
        return {"stages": [stage.description for stage in self.stages]}

    @cached_property
    def digest(self) -> str:
        """Digest of what decides what the pipeline does."""
        return hashlib.sha256(" ".join(stage.digest for stage in self.stages).encode()).hexdigest()

    def walk(self) -> Iterator[Bound]:
        """Yield every component in it, depth first."""
        for stage in self.stages:
            yield from stage.walk()


def bind_pipeline(
    expression: Expression | str | list[Any] | dict[str, Any], registry: Registry, behind: bool = False
) -> Pipeline:
    """Check a whole pipeline, given as an expression, as its text, or as plain data (see :func:`from_data`).

    Args:
        expression: the pipeline.
        registry: the components.
        behind: whether it will work on an earlier run, so that it may begin with what needs one.

    Raises:
        UsageError: one message with every fault, each with its place underlined.
        PluginError: a component that is asked for comes from a plugin that does not work.
    """
    checker = _Checker(registry, expression)
    pipeline = checker.pipeline(checker.root, behind)
    if not behind and not checker.faults and pipeline is not None and pipeline.follows == "must":
        first = next(stage.expression for stage in pipeline.stages if stage.follows == "must")
        checker.fault(
            first, f"`{first.name}` needs a run to work on: put a retriever before it, as in `bm25 >> {first}`"
        )
    checker.raise_faults()
    assert pipeline is not None  # a stage is left out only with a fault
    return pipeline


def bind(kind: str, expression: Expression | str, registry: Registry) -> Bound:
    """Check a component of one kind, such as an encoder.

    Raises:
        UsageError: one message with every fault, each with its place underlined.
        PluginError: a component that is asked for comes from a plugin that does not work.
    """
    checker = _Checker(registry, expression)
    bound: Bound | None = None
    if isinstance(checker.root, Chain):
        checker.fault(checker.root, f"expected one component of kind {kind}, not a chain of stages")
    else:
        bound = checker.component(checker.root, Reference((kind,)), behind=False)
    checker.raise_faults()
    assert bound is not None  # it is left out only with a fault
    return bound


class _Checker:
    """Walks an expression, collecting every fault with its place."""

    def __init__(self, registry: Registry, expression: Any) -> None:
        root = from_data(expression)
        # What was built in Python or YAML has no text to underline, so its printed form stands in.
        self.root = root if root.source is not None else parse(str(root))
        self.registry = registry
        self.stage_kinds = tuple(name for name, kind in registry.kinds.items() if kind.follows)
        self.faults: list[str] = []

    def fault(self, node: Expression, message: str, span: Span | None = None) -> None:
        text = node.source if node.source is not None else str(node)
        self.faults.append(point_out(text, span or node.span, message))

    def raise_faults(self) -> None:
        if self.faults:
            raise UsageError("\n".join(dict.fromkeys(self.faults)))

    def pipeline(self, node: Expression, behind: bool) -> Pipeline | None:
        stages: list[Bound | None] = []
        # Whether there is a run so far, and whether a stage of this chain gave it that nothing has read yet.
        ranked, unread, end = behind, False, 0
        for position, stage in enumerate(node.stages):
            bound = self.component(stage, Reference(self.stage_kinds), ranked)
            stages.append(bound)
            if bound is None:
                ranked = True
                continue
            if bound.gives == "queries":
                unread = unread and bound.follows == "never"
                continue
            if unread and bound.follows == "never":
                before, after = (" >> ".join(map(str, s)) for s in (node.stages[:end], node.stages[end : position + 1]))
                self.fault(
                    stage,
                    f"`{stage.name}` cannot follow another stage: it does not work on an earlier run; "
                    f"to join two runs, fuse them, as in `rrf({before}, {after})`",
                )
            ranked, unread, end = True, True, position + 1
        if stages[-1] is not None and stages[-1].gives == "queries":
            last = node.stages[-1]
            self.fault(
                last, f"`{last.name}` gives queries, not a run: put a retriever behind it, as in `{node} >> bm25`"
            )
        complete = tuple(stage for stage in stages if stage is not None)
        return Pipeline(node, complete) if len(complete) == len(stages) else None

    def component(self, stage: Stage, demand: Reference, behind: bool) -> Bound | None:
        registered = self.look_up(stage, demand.kinds, behind)
        if registered is None or not self.fits(stage, registered, demand):
            return None
        config, fields = self.configure(stage, registered)
        if registered.component.config and config is None:
            return None
        before = len(self.faults)
        bound: dict[str, tuple[Bound | Pipeline, ...]] = {}
        for field, (wanted, expressions) in fields.items():
            found = [self.reference(stage, field, wanted, expression, behind) for expression in expressions]
            bound[field] = tuple(f for f in found if f is not None)
        if len(self.faults) > before:
            return None
        kind = self.registry.kinds[registered.kind]
        gives = kind.gives if kind.call else ""
        return Bound(stage, registered, config, bound, self.follows(stage, registered, config, bound), kind.call, gives)

    def look_up(self, stage: Stage, kinds: tuple[str, ...], behind: bool) -> Registered | None:
        # Of two stages with one name, the one that fits the place is meant.
        ordered = sorted(kinds, key=lambda kind: (self.registry.kinds[kind].follows == "must") != behind)
        for kind in ordered:
            if self.registry.has(kind, stage.name):
                return self.registry.find(kind, stage.name)
        try:
            return self.registry.find(tuple(ordered), stage.name)
        except UsageError as error:
            start = stage.span[0]
            self.fault(stage, str(error), (start, start + len(stage.name)))
            return None

    def fits(self, stage: Stage, registered: Registered, demand: Reference) -> bool:
        component = registered.component
        for wanted, offered, verb in (
            (demand.gives, component.gives, "gives"),
            (demand.takes, component.takes, "takes"),
        ):
            if wanted and wanted not in offered:
                what = ", ".join(offered) or "nothing of the sort"
                self.fault(stage, f"`{stage.name}` {verb} {what}; here a component is needed that {verb} {wanted}")
                return False
        if demand.role and component.role != demand.role:
            self.fault(
                stage, f"`{stage.name}` is a {component.role or registered.kind}; here a {demand.role} is needed"
            )
            return False
        return True

    def configure(
        self, stage: Stage, registered: Registered
    ) -> tuple[Config | None, dict[str, tuple[Reference, tuple[Expression, ...]]]]:
        given: dict[str, Any] = {**registered.component.options, **stage.options}
        if not registered.component.config:
            if given or stage.inputs:
                self.fault(stage, f"`{stage.name}` has no options")
            return None, {}
        model = registered.config_model()
        if stage.inputs and not model.inputs_field:
            self.fault(stage, f"`{stage.name}` takes no pipelines by position, only options: {_allowed(model)}")
            return None, {}
        if stage.inputs:
            given[model.inputs_field] = stage.inputs
        demands = references(model)
        for field in demands.keys() & given.keys():
            given[field] = self.placed(stage, field, given[field])
        try:
            config = model.model_validate(given)
        except ValidationError as error:
            for detail in error.errors():
                self.invalid(stage, model, detail)
            return None, {}
        _check_plain(registered, config)
        fields = {}
        for field, demand in demands.items():
            value = getattr(config, field)
            if value is not None:
                fields[field] = (demand, tuple(value) if isinstance(value, list | tuple) else (value,))
        return config, fields

    def placed(self, stage: Stage, field: str, value: Any) -> Any:
        """Give a component that was named by text alone the place of its option, for messages."""
        if isinstance(value, list | tuple):
            return tuple(self.placed(stage, field, v) for v in value)
        if not isinstance(value, str) or stage.source is None:
            return value
        try:
            node = parse(value)
        except UsageError:
            return value  # the config model reports it
        if isinstance(node, Stage) and str(node) == node.name == value:
            start, end = stage.option_spans.get(field, stage.span)
            node.source, node.span = stage.source, (max(start, end - len(value)), end)
        return node

    def invalid(self, stage: Stage, model: type[Config], detail: Any) -> None:
        field = str(detail["loc"][0]) if detail["loc"] else ""
        span = stage.option_spans.get(field)
        if detail["type"] == "extra_forbidden":
            near = difflib.get_close_matches(field, model.model_fields, n=1)
            hint = f", did you mean `{near[0]}`?" if near else ";"
            self.fault(stage, f"`{stage.name}` has no option `{field}`{hint} it has {_allowed(model)}", span)
        elif detail["type"] == "missing" and field == model.inputs_field:
            self.fault(
                stage, f"`{stage.name}` works on pipelines: name them in its parentheses, as in `{stage.name}(bm25)`"
            )
        elif detail["type"] == "missing":
            self.fault(stage, f"`{stage.name}` needs the option `{field}`", span)
        elif detail["type"] == "value_error":
            what = f"option `{field}`" if field else "options"
            self.fault(stage, f"{what} of `{stage.name}`: {detail['ctx']['error']}", span)
        else:
            wanted = str(detail["msg"]).replace("valid tuple", "list")
            self.fault(stage, f"option `{field}` of `{stage.name}`: {wanted}, not {_shown(detail['input'])}", span)

    def reference(
        self, stage: Stage, field: str, demand: Reference, expression: Expression, behind: bool
    ) -> Bound | Pipeline | None:
        unknown = [kind for kind in demand.kinds if kind not in self.registry.kinds]
        if unknown:
            message = f"option `{field}` of `{stage.name}` needs a component of kind {unknown[0]}"
            self.fault(stage, f"{message}, {unknown_kind(self.registry, unknown[0])}")
            return None
        if all(kind in self.stage_kinds for kind in demand.kinds):
            return self.pipeline(expression, behind)
        if isinstance(expression, Chain):
            self.fault(expression, f"option `{field}` of `{stage.name}` names one component, not a chain of stages")
            return None
        return self.component(expression, demand, behind)

    def follows(
        self,
        stage: Stage,
        registered: Registered,
        config: Config | None,
        bound: Mapping[str, tuple[Bound | Pipeline, ...]],
    ) -> str:
        """A component that takes pipelines by position follows what they follow."""
        inputs = bound.get(config.inputs_field, ()) if config is not None and config.inputs_field else ()
        rules = {i.follows for i in inputs}
        if not inputs or registered.component.follows:
            return registered.component.follows or self.registry.kinds[registered.kind].follows
        if {"must", "never"} <= rules:
            self.fault(
                stage, f"the inputs of `{stage.name}` do not go together: some need an earlier run, some take none"
            )
        return "must" if "must" in rules else "never" if "never" in rules else "may"


def _check_plain(registered: Registered, config: Config) -> None:
    """Check that every option has a JSON form, which is what tells one component from another.

    Raises:
        PluginError: one has none. Whatever an expression can give has, so that it is the default or the model's own doing.
    """
    try:
        canonical_json(config.model_dump(mode="json"))
    except (ValueError, TypeError, RecursionError) as whole:
        for field, value in config:
            try:
                canonical_json(config.model_dump(mode="json", include={field}))
            except (ValueError, TypeError, RecursionError) as error:
                what = f"the option `{field}` of {registered.kind} `{registered.name}`"
                reason = f"{reprlib.repr(value)} ({str(error).splitlines()[0]})"
                raise PluginError(registered.distribution, f"{what} has no JSON form: {reason}") from error
        raise PluginError(registered.distribution, f"`{registered.name}` has options without a JSON form") from whole


def _allowed(model: type[Config]) -> str:
    return ", ".join(f"`{name}`" for name in model.model_fields if name != model.inputs_field) or "no options"


def _shown(value: Any) -> str:
    text = str(value) if isinstance(value, Stage | Chain) else repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= 80 else text[:77] + "..."
