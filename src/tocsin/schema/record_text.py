"""A row that is refused, as the JSON text that is kept of it: enough to give it to the stream once more."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from tocsin.records import Batch

MAX_RECORD = 8_192
"""Characters of a refused record that are kept; one that has been cut cannot be replayed."""


def record_text(batch: Batch, row: int) -> str:
    """The values of one row by column, as the source had them; columns that travel beside the data are left out.

    >>> record_text(Batch({"host": np.array(["a"], dtype=object), "load": np.array([np.nan])}), 0)
    '{"host":"a","load":null}'
    """
    values = {name: _plain(batch[name][row]) for name in batch if not name.startswith("_")}
    return orjson.dumps(values, default=str).decode()[:MAX_RECORD]


def is_cut(text: str) -> bool:
    """Whether there was more of a record than is kept."""
    return len(text) >= MAX_RECORD


def _plain(value: Any) -> Any:
    if isinstance(value, np.datetime64):
        return f"{value}Z"
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return value if value is None or isinstance(value, bool | float) or _fits(value) else str(value)


def _fits(value: Any) -> bool:
    """Whether it is a whole number that JSON writes as one."""
    return isinstance(value, int) and -(2**63) <= value < 2**64
