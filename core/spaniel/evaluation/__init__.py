"""Measuring runs, and comparing systems: quality with intervals and tests, beside cost."""

from spaniel.evaluation.comparison import Comparison, Difference, SystemResult, compare
from spaniel.evaluation.measures import (
    DEFAULT_MEASURES,
    Evaluation,
    check_judgments,
    counts,
    evaluate,
    parse_measures,
    write_value,
)
from spaniel.evaluation.report import check_report_extra, write_report
from spaniel.evaluation.table import comparison_table, cost_line, human_bytes

__all__ = [
    "DEFAULT_MEASURES",
    "Comparison",
    "Difference",
    "Evaluation",
    "SystemResult",
    "check_judgments",
    "check_report_extra",
    "compare",
    "comparison_table",
    "cost_line",
    "counts",
    "evaluate",
    "human_bytes",
    "parse_measures",
    "write_report",
    "write_value",
]
