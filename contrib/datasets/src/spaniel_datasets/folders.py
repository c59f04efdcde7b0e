"""Folders in BEIR layout, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spaniel.data import FolderDataset

from spaniel_datasets.config import Folder

if TYPE_CHECKING:
    from spaniel import Context


def dataset(config: Folder, context: Context) -> FolderDataset:
    """Return the collection."""
    return FolderDataset(config.path, on_error=config.on_error, store=context.store)
