"""Text as numbers: the kernel itself sees numbers alone.

Every code comes from a frozen vocabulary or from a keyed hash; none depends on the process or the machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np

from tocsin.records import Vector

Encoder = Callable[[Sequence[Any]], Vector]
"""From the values of a column to a number each; NaN for a missing one."""

MAX_BINS = 4_096
_CATEGORY_KEY = b"tocsin.category.1"
_VALUE_KEY = b"tocsin.value.1"
_EXACT_BITS = 53
"""Whole numbers of so many bits are exact in a float64."""


def codes(constants: Mapping[str, Any]) -> Encoder:
    """The place of a value in `values`, or their number for every other."""
    places = {str(value): code for code, value in enumerate(constants["values"])}
    other = len(places)
    return lambda values: np.fromiter((places.get(value, other) for value in values), np.float64, len(values))


def bins(constants: Mapping[str, Any]) -> Encoder:
    """One of `bins` by hash.

    Raises
    ------
    ValueError
        If their number is out of range.
    """
    number = int(constants["bins"])
    if not 1 <= number <= MAX_BINS:
        raise ValueError(f"wanted 1 to {MAX_BINS} bins")
    return lambda values: _each(values, lambda value: _hashed(value, _CATEGORY_KEY) % number)


def fingerprints(values: Sequence[Any]) -> Vector:
    """A whole number of 53 bits by hash; two values share one by chance alone."""
    return _each(values, lambda value: _hashed(value, _VALUE_KEY) >> (64 - _EXACT_BITS))


def keys(values: Sequence[tuple[Any, ...]]) -> Vector:
    """The fingerprint of several values taken together; missing where one of them is."""
    return fingerprints(["" if any(_missing(part) for part in value) else repr(value) for value in values])


def _missing(value: Any) -> bool:
    return value == "" or (isinstance(value, float) and math.isnan(value))


def _each(values: Sequence[Any], code: Callable[[str], int]) -> Vector:
    known = {value: code(value) for value in set(values) if value != ""}
    return np.fromiter((known.get(value, np.nan) for value in values), np.float64, len(values))


def _hashed(value: str, key: bytes) -> int:
    # A lone surrogate can come out of a lenient decoder and must not stop a row.
    return int.from_bytes(blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest(), "little")
