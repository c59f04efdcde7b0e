"""Vectors in the folders of indexes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
from spaniel.data import Vectors, save_vectors


def link_vectors(source: Vectors, folder: Path) -> None:
    """Write vectors to a folder; those that lie in files of their own, as encoded corpora do, are hard-linked.

    So they take no room twice. Where the file system has no hard links they are copied.
    """
    origin = _own_folder(source)
    if origin is None:
        save_vectors(source, folder)
        return
    folder.mkdir(exist_ok=True)
    for path in sorted(origin.iterdir()):
        target = folder / path.name
        target.unlink(missing_ok=True)
        try:
            os.link(path, target)
        except OSError:
            shutil.copyfile(path, target)


def _own_folder(vectors: Vectors) -> Path | None:
    """Return the folder that holds the arrays of these vectors and nothing else, where there is one."""
    folders = set()
    for name, array in vectors.arrays().items():
        if not isinstance(array, np.memmap) or array.filename is None or not array.flags.c_contiguous:
            return None
        path = Path(array.filename)
        if path.name != f"{name}.npy" or path.stat().st_size != array.offset + array.nbytes:
            return None
        folders.add(path.parent)
    return folders.pop() if len(folders) == 1 else None
