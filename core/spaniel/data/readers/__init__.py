"""Streaming readers of documents, queries and judgments: JSONL, CSV, TSV, Parquet, MS MARCO, TREC."""

from spaniel.data.readers.qrels import read_qrels
from spaniel.data.readers.records import FORMATS, Record, format_of, read_documents, read_queries, read_records

__all__ = ["FORMATS", "Record", "format_of", "read_documents", "read_qrels", "read_queries", "read_records"]
