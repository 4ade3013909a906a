"""Stored arrays as an enemy would change them, and what must come of it: a refusal, or a part that does no harm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tocsin.errors import IntegrityError

AnyArray = NDArray[Any]
Restored = TypeVar("Restored")

_NUMBERS = (np.nan, np.inf, -np.inf, 1.7e308, -1.7e308, 1e30, 5e-324, -1.0, 0.0)
_WHOLE = (-1, 0, 1, 127, 10**9, -(2**63), 2**63 - 1)


def mutants(array: AnyArray, random: np.random.Generator) -> Iterator[tuple[str, AnyArray]]:
    """The array with other values, in another order, of another shape or type; each with what was done to it."""
    yield from _of_other_shape(array)
    if not array.size:
        return
    for name, changed in _in_other_order(array, random):
        yield name, changed
    if array.dtype == np.bool_:
        yield "turned over", ~array
        return
    for value in _values(array):
        for name, place in (("all", np.arange(array.size)), ("one", random.integers(array.size))):
            changed = array.copy()
            changed.reshape(-1)[place] = value
            yield f"{name} {value}", changed


def survives(
    state: Mapping[str, Any], restore: Callable[[dict[str, Any]], Restored], use: Callable[[Restored], None], what: str
) -> None:
    """Put every mutant of every array into a state: it is refused, or whatever it restores can be used.

    Parameters
    ----------
    state
        That of a fitted part; what is no array is left as it is.
    restore
        Makes a part of a state, or raises IntegrityError.
    use
        Raises AssertionError unless the part answers as it should.
    what
        Its name in a message.
    """
    random = np.random.default_rng(0)
    for name, array in state.items():
        if not isinstance(array, np.ndarray):
            continue
        for change, mutant in [*mutants(array, random), ("missing", None)]:
            hostile = {key: item for key, item in {**state, name: mutant}.items() if item is not None}
            try:
                with np.errstate(all="ignore"):
                    use(restore(hostile))
            except IntegrityError:
                continue
            except Exception as error:
                told = f"{type(error).__name__}: {error}"
                raise AssertionError(f"{what} with {name} {change}: {told}; refuse it as IntegrityError") from error


def _of_other_shape(array: AnyArray) -> Iterator[tuple[str, AnyArray]]:
    yield "without items", array[:0]
    yield "one item short", array[:-1]
    yield "twice as long", np.concatenate([array, array])
    yield "of one more side", array[None]
    yield "flat", np.append(array.ravel(), array.ravel()[:1])
    for dtype in ("float64", "int64", "int8", "bool", "<U1"):
        if array.dtype != dtype:
            with np.errstate(all="ignore"):
                yield f"as {dtype}", array.astype(dtype)


def _in_other_order(array: AnyArray, random: np.random.Generator) -> Iterator[tuple[str, AnyArray]]:
    yield "shuffled", random.permutation(array)
    yield "backwards", array[::-1].copy()
    yield "moved by one", np.roll(array, 1)
    if array.dtype.kind == "i" and array.ndim == 1:
        places = np.arange(len(array), dtype=array.dtype)
        yield "pointing at themselves", places
        yield "pointing backwards", places[::-1].copy()
        yield "in a circle", np.roll(places, -1)


def _values(array: AnyArray) -> list[Any]:
    if array.dtype.kind == "f":
        with np.errstate(all="ignore"):
            return [array.dtype.type(value) for value in _NUMBERS]
    bounds = np.iinfo(array.dtype)
    return [value for value in _WHOLE if bounds.min <= value <= bounds.max]
