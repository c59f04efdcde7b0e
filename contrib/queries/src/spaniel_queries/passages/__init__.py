"""Passages of documents: cutting, the corpus that they are, pooling of their scores, explaining."""
