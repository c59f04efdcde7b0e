"""The documentation that the running Python carries, as a test collection."""

from spaniel_datasets.python_docs.reader import read_documents, source_fingerprint

__all__ = ["read_documents", "source_fingerprint"]
