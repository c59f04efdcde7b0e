"""The registry: declarations, conflicts, rolling back, finding, and what reaches the user."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from spaniel import Command, Component, Experiment, Kind, PluginError, UsageError, hookimpl, hookspec
from spaniel.plugins import Registry, load_registry
from spaniel.plugins.conflicts import conflicts
from spaniel.plugins.discovery import Found, find_entry_points, within_limits
from spaniel.plugins.faults import Faulty, TimeLimit
from spaniel.plugins.versions import check_version
from spaniel.testing import write_distribution


class Offers:
    """A plugin that offers rerankers."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.calls = 0

    @hookimpl
    def rerank(self) -> Iterator[Component]:
        self.calls += 1
        for name in self.names:
            yield Component(name, "somewhere.method:Reranker", f"about {name}")


class Analyzers:
    """A plugin that adds a kind, and a component that is faulty where ``name`` is."""

    def __init__(self, module: str, name: str = "stemmer") -> None:
        self.module, self.name = module, name

    @hookimpl
    def kinds(self) -> Iterator[Kind]:
        yield Kind("tokeniser", "texts → tokens", {"": "somewhere.protocol:Tokeniser"}, hookspecs=self.module)

    @hookimpl
    def rerank(self) -> Iterator[Component]:
        yield Component(self.name, "somewhere.method:Reranker", "")


class OffersTokenisers:
    """A plugin with a component for that kind."""

    @hookimpl
    def tokeniser(self) -> Iterator[Component]:
        yield Component("words", "somewhere.words:Words", "")


class OffersTokenisersPerhaps:
    """The same, also where the kind is not there."""

    @hookimpl(optionalhook=True)
    def tokeniser(self) -> Iterator[Component]:
        yield Component("letters", "somewhere.letters:Letters", "")


@pytest.fixture
def specification(monkeypatch: pytest.MonkeyPatch) -> str:
    module = ModuleType("tokeniser_hookspecs")

    @hookspec
    def tokeniser() -> None:
        """Offer tokenisers."""

    module.tokeniser = tokeniser  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module.__name__


def test_components_are_listed_by_kind_and_name(isolated_plugins: Registry) -> None:
    isolated_plugins.register(Offers("zebra", "adder"), "zoo", "Zoo_Plugins", "2.0")
    assert [r.name for r in isolated_plugins.components("rerank")] == ["adder", "cut", "zebra"]
    found = isolated_plugins.find("rerank", "adder")
    assert (found.full_name, found.version, found.plugin) == ("zoo-plugins/adder", "2.0", "zoo")
    assert isolated_plugins.find("rerank", "zoo-plugins/adder") == found
    assert isolated_plugins.find("rerank", "Zoo_Plugins/adder") == found
    kinds = list(dict.fromkeys(r.kind for r in isolated_plugins.components()))
    assert kinds == [kind for kind in isolated_plugins.kinds if kind in kinds]


def test_hooks_are_called_once(isolated_plugins: Registry) -> None:
    first = Offers("adder")
    isolated_plugins.register(first, "first")
    isolated_plugins.register(Offers("bear"), "second")
    isolated_plugins.unregister("second")
    assert first.calls == 1
    assert not isolated_plugins.has("rerank", "bear")


def test_a_faulty_plugin_is_rolled_back_whole(isolated_plugins: Registry) -> None:
    before = isolated_plugins.components()
    with pytest.raises(PluginError, match="badly formed name 'Bear'") as raised:
        isolated_plugins.register(Offers("adder", "Bear"), "zoo")
    assert raised.value.distribution == "zoo"
    assert isolated_plugins.components() == before
    assert [s.name for s in isolated_plugins.plugins()] == ["core"]


def test_a_plugin_error_keeps_its_cause(isolated_plugins: Registry) -> None:
    class Fails:
        @hookimpl
        def encode(self) -> list[Component]:
            raise ZeroDivisionError("deep inside")

    with pytest.raises(PluginError, match="error inside hook `encode`: ZeroDivisionError: deep inside") as raised:
        isolated_plugins.register(Fails(), "fails")
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


def test_names_at_hand_do_not_take_over(isolated_plugins: Registry) -> None:
    with pytest.raises(PluginError, match="`cut` belongs to spaniel, and zoo declares it, too"):
        isolated_plugins.register(Offers("cut"), "zoo")
    isolated_plugins.register(Offers("adder"), "zoo")
    with pytest.raises(UsageError, match="registered already"):
        isolated_plugins.register(Offers("bear"), "zoo")
    with pytest.raises(UsageError, match="no plugin `farm`"):
        isolated_plugins.unregister("farm")


@pytest.mark.parametrize("kind", ["command", "experiment"])
def test_commands_and_experiments_have_one_holder(isolated_plugins: Registry, kind: str) -> None:
    class Adds:
        @hookimpl
        def commands(self) -> Iterator[Command]:
            if kind == "command":
                yield Command("train", "somewhere.cli:train", "train")

        @hookimpl
        def experiments(self) -> Iterator[Experiment]:
            if kind == "experiment":
                yield Experiment("train", "somewhere.reproduce:run", "it works", "Somebody 2020")

    isolated_plugins.register(Adds(), "first")
    with pytest.raises(PluginError, match=f"{kind} `train` belongs to first, and second declares it, too"):
        isolated_plugins.register(Adds(), "second")
    if kind == "command":
        assert [c.callback for c in isolated_plugins.commands() if c.name == "train"] == ["somewhere.cli:train"]
    else:
        assert [(d, e.slug) for d, e in isolated_plugins.experiments()] == [("first", "train")]


def test_kinds_are_known_before_components(isolated_plugins: Registry, specification: str) -> None:
    isolated_plugins.register(OffersTokenisersPerhaps(), "perhaps")
    assert "tokeniser" not in isolated_plugins.kinds
    isolated_plugins.register(Analyzers(specification), "analyzers")
    isolated_plugins.register(OffersTokenisers(), "surely")
    assert [r.name for r in isolated_plugins.components("tokeniser")] == ["letters", "words"]
    assert list(isolated_plugins.kinds)[-1] == "tokeniser"


def test_components_of_a_kind_that_is_not_there(isolated_plugins: Registry, specification: str) -> None:
    with pytest.raises(PluginError, match="hook `tokeniser` is not known"):
        isolated_plugins.register(OffersTokenisers(), "surely")
    isolated_plugins.register(Analyzers(specification), "analyzers")
    with pytest.raises(PluginError, match="there is a kind `tokeniser` already"):
        isolated_plugins.register(Analyzers(specification, "other"), "again")
    isolated_plugins.register(OffersTokenisersPerhaps(), "perhaps")
    isolated_plugins.unregister("analyzers")
    assert not isolated_plugins.components("tokeniser")
    assert {s.name: s.state for s in isolated_plugins.plugins()} == {"core": "ok", "perhaps": "ok"}


def test_a_kind_falls_with_the_plugin_that_adds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its components fall as well, and plugins that cannot do without it; the others stay."""
    head = "from spaniel import Component, Kind, hookimpl, hookspec\n"
    adds = (
        "@hookimpl\ndef kinds():\n    yield Kind('smell', 's', {'': 'a.b:C'}, hookspecs='smell_spec')\n"
        "@hookimpl\ndef rerank():\n    yield Component('Wrong Name', 'a.b:C', '')\n"
    )
    offers = "@hookimpl{}\ndef smell():\n    yield Component('rose', 'a.b:C', '')\n"
    modules = {
        "smell_spec": "@hookspec\ndef smell():\n    pass\n",
        "adds_smell": adds,
        "needs_smell": offers.format(""),
        "likes_smell": offers.format("(optionalhook=True)"),
    }
    for name, source in modules.items():
        write_distribution(tmp_path, name, {f"{name}.py": head + source}, {name: name} if "_spec" not in name else {})
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("SPANIEL_PLUGINS", ",".join(modules))
    registry = load_registry(warn=False)
    states = {s.name: s.state for s in registry.plugins() if s.name in modules}
    assert states == {"adds_smell": "failed", "needs_smell": "failed", "likes_smell": "ok"}
    assert "smell" not in registry.kinds
    assert not registry.components("smell")


def _found(name: str) -> Found:
    return Found(name, name, name, "1")


def test_conflicts_leave_names_to_those_that_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    def losers(**names: str) -> list[str]:
        lost = conflicts((_found(plugin), [("rerank", n) for n in names[plugin].split()]) for plugin in names)
        return [key.partition(":")[0] for key, _ in lost]

    assert losers(a="x", b="y") == []
    assert losers(a="x", b="x") == ["b"]
    assert losers(a="x", b="x y", c="y") == ["b"]
    assert losers(a="x x", b="x") == ["a"]
    monkeypatch.setattr("spaniel.plugins.catalogue.owner", lambda kind, name: "b" if name == "x" else None)
    assert losers(a="x", b="x y", c="y") == ["a"]
    assert losers(b="x y", c="y") == ["c"]


@pytest.mark.parametrize("wanted", [">=1.0,<2", "==1", ">0.9", "<=1.0.0", "!=2", " >= 1 , < 1.1 "])
def test_versions_in_range(wanted: str) -> None:
    check_version(wanted)


@pytest.mark.parametrize(
    "wanted", [">1", "<1", "==1.1", "!=1.0", ">=1,<1.0", "", "1.0", ">=1,", "~=1", ">=x", 1.0, None]
)
def test_versions_out_of_range_or_malformed(wanted: Any) -> None:
    with pytest.raises(Faulty) as raised:
        check_version(wanted)
    assert raised.value.stage == "version"


def test_unknown_names_have_near_ones_and_a_way_to_them(
    isolated_plugins: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = {"rerank": {"monot5": "spaniel-monot5"}, "retrieve": {"bm25": "spaniel-bm25"}}
    monkeypatch.setattr("spaniel.plugins.catalogue.catalogue", lambda: listed)
    isolated_plugins.register(Offers("adder"), "zoo")

    def message(kind: Any, name: str) -> str:
        with pytest.raises(UsageError) as raised:
            isolated_plugins.find(kind, name)
        return str(raised.value)

    assert "did you mean `adder` (zoo)?" in message("rerank", "ader")
    assert "spaniel plugins install spaniel-monot5" in message("rerank", "monot5")
    assert "spaniel plugins install spaniel-monot5" in message("rerank", "spaniel-monot5/monot5")
    assert "`monot5` (spaniel-monot5, not installed: spaniel plugins install" in message("rerank", "mono5")
    assert "farm offers no rerank `adder`; `zoo/adder` is one" in message("rerank", "farm/adder")
    assert "is of the kind rerank; here a component of the kind encode is needed" in message("encode", "adder")
    assert "there are: adder, cut" in message("rerank", "qqqq")
    assert "no retrieve or rerank is called `qqqq`" in message(("retrieve", "rerank"), "qqqq")


def test_whoever_asks_for_a_failed_or_disabled_plugin_learns_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("spaniel.plugins.catalogue.catalogue", lambda: {"rerank": {"apple": "fruit", "plum": "stones"}})
    write_distribution(tmp_path, "fruit", {"fruit_plugin.py": "1 / 0\n"}, {"basket": "fruit_plugin"})
    write_distribution(tmp_path, "stones", {"stones_plugin.py": ""}, {"heap": "stones_plugin"})
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("SPANIEL_PLUGINS", "basket,heap")
    monkeypatch.setenv("SPANIEL_DISABLE", "heap")
    registry = load_registry()
    assert capsys.readouterr().err.count("ZeroDivisionError") == 1
    for name in ("apple", "fruit/anything", "basket"):
        with pytest.raises(PluginError, match="import error: ZeroDivisionError") as raised:
            registry.find("rerank", name)
        assert isinstance(raised.value.__cause__, ZeroDivisionError)
    with pytest.raises(UsageError, match="which is switched off: spaniel plugins enable stones"):
        registry.find("rerank", "plum")
    with pytest.raises(UsageError, match="unknown what they offer: basket"):
        registry.find("rerank", "qqqq")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, {"alpha", "beta-two"}),
        ({"SPANIEL_PLUGINS": "alpha"}, {"alpha"}),
        ({"SPANIEL_PLUGINS": "Beta_Two"}, {"beta-two"}),
        ({"SPANIEL_PLUGINS": ""}, set()),
        ({"SPANIEL_DISABLE": "first, second"}, set()),
        ({"SPANIEL_DISABLE": "spaniel,core,alpha"}, {"beta-two"}),
        ({"SPANIEL_PLUGINS": "first,second", "SPANIEL_DISABLE": "beta.two"}, {"alpha"}),
    ],
)
def test_variables_choose_plugins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: set[str]
) -> None:
    write_distribution(tmp_path, "alpha", {"alpha_plugin.py": ""}, {"first": "alpha_plugin"})
    write_distribution(tmp_path, "Beta_Two", {"beta_plugin.py": ""}, {"second": "beta_plugin"})
    monkeypatch.syspath_prepend(str(tmp_path))
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    states = {s.distribution: s.state for s in load_registry().plugins()}
    assert {name for name in ("alpha", "beta-two") if states[name] == "ok"} == expected
    assert states["spaniel"] == "ok"


def test_the_first_copy_on_the_path_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, version in (("old", "1.0"), ("new", "2.0")):
        write_distribution(tmp_path / folder, "copied", {"copied_plugin.py": ""}, {"copied": "copied_plugin"}, version)
        monkeypatch.syspath_prepend(str(tmp_path / folder))
    assert [f.version for f in find_entry_points() if f.distribution == "copied"] == ["2.0"]


def test_a_plugin_in_one_file(tmp_path: Path) -> None:
    file = tmp_path / "my-own_plugin.py"
    file.write_text(
        "from spaniel import Component, hookimpl\n\n\n"
        "@hookimpl\ndef rerank():\n    yield Component('own', 'my_own_plugin:make', '')\n\n\n"
        "def make(config, context):\n    return 'made'\n"
    )
    registry = load_registry(files=[str(file)], discover=False)
    found = registry.find("rerank", "own")
    assert found.distribution == "my-own-plugin"
    assert found.resolve_factory()(None, None) == "made"
    del sys.modules["my_own_plugin"]
    file.write_text("import sys\nsys.exit(1)\n")
    with pytest.raises(PluginError, match=r"calls sys\.exit"):
        load_registry(files=[str(file)], discover=False)
    assert "my_own_plugin" not in sys.modules
    with pytest.raises(UsageError, match="no such Python file"):
        load_registry(files=[str(tmp_path / "gone.py")])
    (tmp_path / "2 fast.py").write_text("")
    with pytest.raises(UsageError, match="needs the name of a module"):
        load_registry(files=[str(tmp_path / "2 fast.py")])


def test_a_file_does_not_stand_in_for_a_module(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("")
    with pytest.raises(PluginError, match="a module `json` already"):
        load_registry(files=[str(tmp_path / "json.py")], discover=False)


def test_observers_stay_when_plugins_come_and_go(isolated_plugins: Registry) -> None:
    class Observer:
        seen: list[int] = []  # noqa: RUF012

        @hookimpl
        def stage_progress(self, done: int) -> None:
            self.seen.append(done)

    isolated_plugins.observe(Observer())
    isolated_plugins.register(Offers("adder"), "zoo")
    isolated_plugins.tell("stage_progress", stage=None, done=3)
    assert Observer.seen == [3]


def test_limits_end_what_takes_too_long_and_keep_other_alarms() -> None:
    rang = []
    handler = signal.signal(signal.SIGALRM, lambda *_: rang.append(True))
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(TimeLimit, match=r"longer than 0\.05 s"), within_limits(0.05):
            time.sleep(5)
        assert not rang
        time.sleep(0.5)
        assert rang == [True]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)


@pytest.mark.parametrize("limit", ["soon", "0", "-1", "nan", "inf"])
def test_a_limit_is_a_number(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setenv("SPANIEL_IMPORT_LIMIT", limit)
    with pytest.raises(UsageError, match=f"SPANIEL_IMPORT_LIMIT must be a number of seconds above 0, not '{limit}'"):
        load_registry()


def test_what_a_user_interrupts_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupts = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(5)\n"
    write_distribution(tmp_path, "slow", {"slow_plugin.py": interrupts}, {"slow": "slow_plugin"})
    monkeypatch.syspath_prepend(str(tmp_path))
    # A process that was started in the background ignores interruptions.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            load_registry()
    finally:
        signal.signal(signal.SIGINT, handler)
