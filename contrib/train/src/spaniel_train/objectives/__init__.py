"""Objectives. Each returns the mean over the queries of a batch; a query that has nothing to learn from counts 0."""
