"""Pipelines: expressions checked against the registry, planned, and run."""

from spaniel.pipeline.bind import Bound, Pipeline, bind, bind_pipeline

__all__ = ["Bound", "Pipeline", "bind", "bind_pipeline"]
