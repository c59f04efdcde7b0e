"""Expressions: a pipeline as data, the same from text, YAML and Python."""

from spaniel.expression.data import from_data, to_data
from spaniel.expression.parser import parse
from spaniel.expression.tree import Chain, Expression, Hole, Stage, Value

__all__ = ["Chain", "Expression", "Hole", "Stage", "Value", "from_data", "parse", "to_data"]
