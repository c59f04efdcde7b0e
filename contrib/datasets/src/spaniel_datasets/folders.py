"""Folders by name: test collections, and ordinary files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spaniel.data import FilesDataset, FolderDataset, open_folder

from spaniel_datasets.config import Files, Folder

if TYPE_CHECKING:
    from spaniel import Context


def dataset(config: Folder, context: Context) -> FolderDataset | FilesDataset:
    """Return the collection."""
    found = open_folder(config.path, on_error=config.on_error, store=context.store, context=context)
    if isinstance(found, FolderDataset):
        found.judging = found.judging.but(config.rel, config.leave_out_own)
    return found


def files(config: Files, context: Context) -> FilesDataset:
    """Return ordinary files as a collection, whatever else the folder holds."""
    return FilesDataset(config.path, context.store, config.words, config.largest, config.encoding, context)
