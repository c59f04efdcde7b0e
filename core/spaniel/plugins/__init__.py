"""Plugins: found through entry points, kept apart from each other, resolved when first used."""

from spaniel.plugins.faults import Fault
from spaniel.plugins.loading import load_registry
from spaniel.plugins.registered import Registered
from spaniel.plugins.registry import Registry
from spaniel.plugins.status import PluginStatus

__all__ = ["Fault", "PluginStatus", "Registered", "Registry", "load_registry"]
