"""Ordering lists of passages by a language model."""
