"""The data that flows: documents, queries, judgments, runs and vectors. Ids exist at the edges, rows and arrays between."""

from spaniel.data.corpus import Batch, Corpus, corpus_need, documents_need
from spaniel.data.document import Document
from spaniel.data.folder import FolderDataset
from spaniel.data.fusion import fuse_rrf, fuse_weighted
from spaniel.data.qrels import Qrels
from spaniel.data.queries import Queries
from spaniel.data.run import Run
from spaniel.data.topk import topk
from spaniel.data.trec import read_run, write_run
from spaniel.data.vectors import BinaryVectors, DenseVectors, MultiVectors, SparseVectors, Vectors, open_vectors
from spaniel.data.writer import VectorWriter

__all__ = [
    "Batch",
    "BinaryVectors",
    "Corpus",
    "DenseVectors",
    "Document",
    "FolderDataset",
    "MultiVectors",
    "Qrels",
    "Queries",
    "Run",
    "SparseVectors",
    "VectorWriter",
    "Vectors",
    "corpus_need",
    "documents_need",
    "fuse_rrf",
    "fuse_weighted",
    "open_vectors",
    "read_run",
    "topk",
    "write_run",
]
