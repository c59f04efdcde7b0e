"""Plugins: found through entry points, kept apart from each other, resolved when first used."""

from spaniel.plugins.registered import Registered
from spaniel.plugins.registry import Fault, PluginStatus, Registry, load_registry

__all__ = ["Fault", "PluginStatus", "Registered", "Registry", "load_registry"]
