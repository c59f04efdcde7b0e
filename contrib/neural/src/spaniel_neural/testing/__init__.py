"""Tiny fresh models and tokenizers for tests: random, the same for the same seed, saved as folders that transformers loads."""

from spaniel_neural.testing.convolutions import TinyConvNet
from spaniel_neural.testing.models import TINY, write_model
from spaniel_neural.words import word_tokenizer, write_tokenizer

__all__ = ["TINY", "TinyConvNet", "word_tokenizer", "write_model", "write_tokenizer"]
