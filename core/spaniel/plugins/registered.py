"""A component that a plugin has declared, and the late resolution of its strings."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from spaniel.declare import Component
from spaniel.errors import PluginError, SpanielError, UsageError

if TYPE_CHECKING:
    from spaniel.config import Config


class Registered(NamedTuple):
    """A declared component with the distribution that offers it."""

    kind: str
    component: Component
    distribution: str
    version: str
    plugin: str

    @property
    def name(self) -> str:
        return self.component.name

    @property
    def full_name(self) -> str:
        """``distribution/name``, which always works in an expression."""
        return f"{self.distribution}/{self.name}"

    def config_model(self) -> type[Config]:
        """Import the options' model.

        Raises:
            UsageError: it needs an extra that is not installed.
            PluginError: it cannot be imported, or is no subclass of :class:`spaniel.Config`.
        """
        from spaniel.config import Config

        model = self._resolve(self.component.config, "config model")
        if not (isinstance(model, type) and issubclass(model, Config)):
            raise PluginError(self.distribution, f"{self._what('config model')} is no subclass of spaniel.Config")
        return model

    def resolve_factory(self) -> Callable[..., Any]:
        """Import the factory.

        Raises:
            UsageError: it needs an extra that is not installed.
            PluginError: it cannot be imported, or cannot be called.
        """
        factory = self._resolve(self.component.factory, "factory")
        if not callable(factory):
            raise PluginError(self.distribution, f"{self._what('factory')} cannot be called")
        made: Callable[..., Any] = factory
        return made

    def _what(self, part: str) -> str:
        path = self.component.config if part == "config model" else self.component.factory
        return f"the {part} `{path}` of {self.kind} `{self.name}`"

    def _resolve(self, path: str, part: str) -> Any:
        try:
            return resolve(path)
        except SpanielError:
            raise
        except Exception as error:
            extra, own = self.component.extra, path.partition(".")[0].partition(":")[0]
            if isinstance(error, ModuleNotFoundError) and extra and (error.name or own).partition(".")[0] != own:
                # Nobody's fault, and the user's to mend.
                what = f"{self.kind} `{self.name}` needs {error.name}, which is not installed"
                raise UsageError(f'{what}: pip install "{self.distribution}[{extra}]"') from error
            reason = f"{self._what(part)} cannot be imported: {type(error).__name__}: {error}"
            raise PluginError(self.distribution, reason) from error


def resolve(path: str) -> Any:
    """Import ``"package.module:name"``."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
