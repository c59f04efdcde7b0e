"""The root of the command line. Sub-commands are imported when they are called, plugins when they are needed."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from spaniel.builtin import commands
from spaniel.errors import PluginError, SpanielError, UsageError

if TYPE_CHECKING:
    from spaniel.declare import Command
    from spaniel.plugins import Registry

COMMANDS = {command.name: command for command in commands()}


class State:
    """What the root command hands to the others: its options, and the registry, loaded when first asked for."""

    def __init__(self, store: str | None, files: tuple[str, ...]) -> None:
        self.store = store
        self.files = files
        self._registry: Registry | None = None

    @property
    def registry(self) -> Registry:
        if self._registry is None:
            from spaniel.plugins import load_registry

            self._registry = load_registry(files=self.files)
        return self._registry


class Failure(click.ClickException):
    """One of the three errors, on its way to the terminal."""

    def __init__(self, error: SpanielError) -> None:
        super().__init__(str(error))
        self.error = error

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        return 2 if isinstance(self.error, UsageError) else 1

    def show(self, file: Any = None) -> None:
        click.echo(f"Error: {self.message}", file=file or sys.stderr)
        cause = self.error.__cause__
        if isinstance(self.error, PluginError) and cause is not None:
            if os.environ.get("SPANIEL_TRACEBACK"):
                import traceback

                traceback.print_exception(cause, file=file or sys.stderr)
            else:
                click.echo("SPANIEL_TRACEBACK=1 shows where it failed.", file=file or sys.stderr)


class Root(click.Group):
    """A group that imports a sub-command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *self._added(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = COMMANDS.get(cmd_name) or self._added(ctx).get(cmd_name)
        if found is None:
            return None
        module, _, name = found.callback.partition(":")
        try:
            command = getattr(import_module(module), name)
        except Exception as error:
            if cmd_name in COMMANDS:
                raise
            raise Failure(
                PluginError(self._owner(ctx, cmd_name), f"command `{cmd_name}` failed to load: {error}")
            ) from error
        if not isinstance(command, click.Command):
            raise Failure(PluginError(self._owner(ctx, cmd_name), f"`{found.callback}` is no click command"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(command.name, command.summary) for command in COMMANDS.values()])
        added = self._added(ctx)
        if added:
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(command.name, command.summary) for command in added.values()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SpanielError as error:
            raise Failure(error) from error

    def _owner(self, ctx: click.Context, name: str) -> str:
        """Return the distribution that adds a command."""
        plugins = ctx.obj.registry.plugins()
        return next((p.distribution for p in plugins if any(c.name == name for c in p.commands)), "spaniel")

    def _added(self, ctx: click.Context) -> dict[str, Command]:
        if not isinstance(ctx.obj, State):
            ctx.obj = State(ctx.params.get("store"), tuple(ctx.params.get("plugin") or ()))
        return {command.name: command for command in ctx.obj.registry.commands() if command.name not in COMMANDS}


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--store", metavar="FOLDER", envvar="SPANIEL_STORE", help="Folder of the artifacts.", is_eager=True)
@click.option("--plugin", metavar="FILE", multiple=True, help="Load a one-file plugin as well.", is_eager=True)
@click.version_option(package_name="spaniel", prog_name="spaniel")
@click.pass_context
def main(ctx: click.Context, store: str | None, plugin: tuple[str, ...]) -> None:
    """Neural retrieval in which every method is a plugin and every pipeline an expression.

    \b
    spaniel compare "bm25" "rrf(bm25, dense)" python-docs
    spaniel search "bm25 >> cut(k=5)" ./my-collection "a query"
    """
    if not isinstance(ctx.obj, State):
        ctx.obj = State(store, plugin)
