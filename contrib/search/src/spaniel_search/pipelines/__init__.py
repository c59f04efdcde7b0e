"""The space of pipelines: an expression with holes, and every way to fill them."""
