"""Vectors: dense, sparse, several a text, and binary; in memory or mapped from a folder."""

from spaniel.data.vectors.binary import BinaryVectors
from spaniel.data.vectors.dense import DenseVectors
from spaniel.data.vectors.folder import Vectors, concatenate_vectors, open_vectors, save_vectors
from spaniel.data.vectors.multi import MultiVectors
from spaniel.data.vectors.sparse import SparseVectors
from spaniel.data.vectors.writer import VectorWriter

__all__ = [
    "BinaryVectors",
    "DenseVectors",
    "MultiVectors",
    "SparseVectors",
    "VectorWriter",
    "Vectors",
    "concatenate_vectors",
    "open_vectors",
    "save_vectors",
]
