"""Synthesizers: collections, or training rows → training rows."""
