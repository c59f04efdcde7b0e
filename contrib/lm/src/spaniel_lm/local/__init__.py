"""Models that run here, on transformers."""
