"""The texts of ordinary files: which files a folder has, what is read of them, and the passages that it is cut into."""

from spaniel.data.texts.dataset import FilesDataset

__all__ = ["FilesDataset"]
