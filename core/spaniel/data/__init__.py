"""The data that flows: documents, queries, judgments, runs and vectors; ids at the edges, rows and arrays between."""

from spaniel.data.corpus import Batch, Corpus
from spaniel.data.docstore import Located, corpus_need, documents_need
from spaniel.data.document import Document
from spaniel.data.faults import Faults, OnError
from spaniel.data.folder import FolderDataset, open_folder
from spaniel.data.fusion import fuse_rrf, fuse_weighted
from spaniel.data.judging import Judging, read_judging, without_own
from spaniel.data.qrels import Qrels
from spaniel.data.queries import Queries
from spaniel.data.readers import read_documents, read_qrels, read_queries, read_records
from spaniel.data.run import MalformedRun, Run
from spaniel.data.run_files import RunFile, read_run, read_run_file
from spaniel.data.texts import FilesDataset
from spaniel.data.topk import topk
from spaniel.data.trec import write_run
from spaniel.data.variants import Variants
from spaniel.data.vectors import (
    BinaryVectors,
    DenseVectors,
    MultiVectors,
    SparseVectors,
    Vectors,
    VectorWriter,
    concatenate_vectors,
    open_vectors,
    save_vectors,
)
from spaniel.data.writers import write_documents, write_folder, write_qrels, write_queries

__all__ = [
    "Batch",
    "BinaryVectors",
    "Corpus",
    "DenseVectors",
    "Document",
    "Faults",
    "FilesDataset",
    "FolderDataset",
    "Judging",
    "Located",
    "MalformedRun",
    "MultiVectors",
    "OnError",
    "Qrels",
    "Queries",
    "Run",
    "RunFile",
    "SparseVectors",
    "Variants",
    "VectorWriter",
    "Vectors",
    "concatenate_vectors",
    "corpus_need",
    "documents_need",
    "fuse_rrf",
    "fuse_weighted",
    "open_folder",
    "open_vectors",
    "read_documents",
    "read_judging",
    "read_qrels",
    "read_queries",
    "read_records",
    "read_run",
    "read_run_file",
    "save_vectors",
    "topk",
    "without_own",
    "write_documents",
    "write_folder",
    "write_qrels",
    "write_queries",
    "write_run",
]
