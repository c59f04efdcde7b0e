"""Inverted indexes with scores, for the distributions that retrieve by terms; offers no components of its own."""
