"""What every component promises: light declarations, described options, factories that build nothing."""

from __future__ import annotations

import subprocess
import sys

from spaniel.config import Config
from spaniel.errors import UsageError
from spaniel.expression import Stage, from_data, parse, to_data
from spaniel.plugins.discovery import find_entry_points
from spaniel.plugins.examine import check_config
from spaniel.plugins.faults import Faulty
from spaniel.plugins.source import HEAVY
from spaniel.testing.case import Case, expect


def declaration_is_light(case: Case) -> None:
    """Importing the entry module imports nothing heavy."""
    registered = case.registered
    modules = [
        found.value.partition(":")[0]
        for found in find_entry_points()
        if found.distribution == registered.distribution and found.name == registered.plugin
    ]
    for module in modules:  # a plugin at hand has none
        script = f"import sys, {module}\nprint(*[m for m in {sorted(HEAVY | {'pydantic'})!r} if m in sys.modules])"
        ran = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, encoding="utf-8", check=False)
        expect(ran.returncode == 0, f"{module} cannot be imported by itself:\n{ran.stderr}")
        expect(not ran.stdout.strip(), f"{module} imports {ran.stdout.strip()}; its declarations must stay light")


def config_is_described(case: Case) -> None:
    """Every option has a description and a JSON schema; the model is frozen, and refuses what it does not know."""
    try:
        check_config(case.registered)
    except Faulty as fault:
        raise AssertionError(str(fault)) from fault
    unknown = Stage(case.expression.name, **case.expression.options, no_such_option=1)
    try:
        case.context().bind(case.kind, unknown)
    except UsageError:
        return
    raise AssertionError("an option that is not there is accepted")


def config_round_trips(case: Case) -> None:
    """Options survive JSON, the text of the expression, and plain data."""
    bound = case.context().bind(case.kind, case.expression)
    config = bound.config
    if isinstance(config, Config):
        again = type(config).model_validate_json(config.model_dump_json())
        expect(again == config, f"JSON makes {again!r} of {config!r}")
    for way, other in (("text", parse(str(case.expression))), ("plain data", from_data(to_data(case.expression)))):
        expect(other == case.expression, f"{way} makes {other} of {case.expression}")
        digest = case.context().bind(case.kind, other).digest
        expect(digest == bound.digest, f"{case.expression} means something else after {way}")


def factory_builds_nothing(case: Case) -> None:
    """Making the component leaves the store empty; it is made once in a session."""
    context = case.context()
    made = case.make(context)
    expect(not list(context.store.list()), "the factory builds artifacts; build them when they are first used")
    expect(case.make(context) is made, "the session made it twice")


PROMISES = {
    "declaration is light": declaration_is_light,
    "config is described": config_is_described,
    "config round trips": config_round_trips,
    "factory builds nothing": factory_builds_nothing,
}
