"""The store: whatever is expensive, as artifacts that appear whole or not at all."""

from spaniel.store.artifact import Artifact, FileEntry
from spaniel.store.digests import canonical_json, digest_bytes, digest_file
from spaniel.store.draft import Draft
from spaniel.store.layout import Entry
from spaniel.store.recipe import Need, Recipe
from spaniel.store.store import Store, default_root

__all__ = [
    "Artifact",
    "Draft",
    "Entry",
    "FileEntry",
    "Need",
    "Recipe",
    "Store",
    "canonical_json",
    "default_root",
    "digest_bytes",
    "digest_file",
]
