"""What a stored array must be, said once for each and checked before anything is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from sys import float_info
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tocsin.errors import IntegrityError

MAX_SHOWN = 80
"""Characters of an array, or of a name, in a message."""


@dataclass(frozen=True, slots=True)
class Array:
    """One array of a state.

    Parameters
    ----------
    shape
        The length of each side; a word stands for a length that arrays of one state share.
    dtype
        Exactly this one. Where float64 is asked for, float32 is widened: a bundle may store it so.
    least, most
        Every number lies within; by default, every finite one does.
    missing
        NaN is a number, too.
    exact
        Compared with what is computed: to store it as float32 would change what it says.
    down
        Compared with values that are float32: rounded downwards, it stays on the same side of each.
    """

    shape: tuple[int | str, ...]
    dtype: type[np.generic] = np.float64
    least: float = -float_info.max
    most: float = float_info.max
    missing: bool = False
    exact: bool = False
    down: bool = False

    def __str__(self) -> str:
        shape = f"({', '.join(map(str, self.shape))}{',' * (len(self.shape) == 1)})"
        return f"{np.dtype(self.dtype)} of shape {shape}, within {self.least:.3g} and {self.most:.3g}"


def rounded(array: NDArray[Any], wanted: Array) -> NDArray[Any]:
    """Numbers as float32 can hold them, still as float64; as they are where that would not be what was wanted."""
    if array.dtype != np.float64 or wanted.exact:
        return array
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32)
    if wanted.down:
        narrow = np.where(narrow > array, np.nextafter(narrow, np.float32(-np.inf)), narrow)
    narrow = narrow.astype(np.float64)
    within = (narrow >= wanted.least) & (narrow <= wanted.most) | np.isnan(array)
    return narrow if within.all() else array


def checked(arrays: Mapping[str, Any], wanted: Mapping[str, Array], where: str) -> dict[str, NDArray[Any]]:
    """These arrays, each of which is what was wanted of it.

    Raises
    ------
    IntegrityError
        If one is missing, unknown, of another type or shape, or holds a number that it must not.
    """
    for name in arrays.keys() - wanted.keys():
        raise IntegrityError(f"{where}.{name[:MAX_SHOWN]}", "an array that has no meaning", ", ".join(wanted))
    lengths: dict[str, int] = {}
    return {name: _checked(arrays.get(name), array, lengths, f"{where}.{name}") for name, array in wanted.items()}


def _checked(found: Any, wanted: Array, lengths: dict[str, int], where: str) -> NDArray[Any]:
    if not isinstance(found, np.ndarray):
        raise IntegrityError(where, "nothing" if found is None else type(found).__name__, str(wanted))
    array: NDArray[Any] = found
    if array.dtype == np.float32 and wanted.dtype is np.float64:
        array = array.astype(np.float64)
    if array.dtype != wanted.dtype or array.ndim != len(wanted.shape):
        raise IntegrityError(where, f"{array.dtype} of shape {array.shape}", str(wanted))
    for side, name in zip(array.shape, wanted.shape, strict=True):
        length = lengths.setdefault(name, side) if isinstance(name, str) else name
        if side != length:
            raise IntegrityError(
                where,
                f"{array.dtype} of shape {array.shape}",
                f"{wanted}; {name} is {length}" if isinstance(name, str) else str(wanted),
            )
    within = (array >= wanted.least) & (array <= wanted.most)
    if wanted.missing:
        within |= np.isnan(array)
    if not within.all():
        place = tuple(np.argwhere(~within)[0].tolist())
        raise IntegrityError(where, f"{array[place]} at {', '.join(map(str, place))}", str(wanted))
    return array
