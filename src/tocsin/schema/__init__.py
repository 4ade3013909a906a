"""The contract of one kind of telemetry: which rows fit, and what their values become."""

from tocsin.schema.fields import MAX_TEXT, NUMERIC, Dtype, Field, Schema, describe
from tocsin.schema.values import MISSING, TIME_PROBLEMS, parse_times

__all__ = [
    "MAX_TEXT",
    "MISSING",
    "NUMERIC",
    "TIME_PROBLEMS",
    "Dtype",
    "Field",
    "Schema",
    "describe",
    "parse_times",
]
