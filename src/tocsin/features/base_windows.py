"""What features over windows share: panes, the names of windows, and columns whose values can be counted."""

from __future__ import annotations

from typing import Literal

from tocsin.errors import SchemaError
from tocsin.kernel.windows import MAX_PANES
from tocsin.records import SECOND
from tocsin.schema import Schema

_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def pane_us(window: float, panes: int) -> int:
    """Microseconds of each of a window's panes.

    Raises
    ------
    ValueError
        If the number of panes is out of range, or none of them would last a microsecond.
    """
    if not 1 <= panes <= MAX_PANES:
        raise ValueError(f"panes is {panes}, wanted 1 to {MAX_PANES}")
    length = round(window * SECOND) // panes
    if length < 1:
        raise ValueError(f"a window is shorter than {panes} panes of a microsecond")
    return length


def window_text(window: float) -> str:
    """A number of seconds in the longest unit that divides it: 3600 -> `1h`."""
    for unit, size in _UNITS:
        if window % size == 0:
            return f"{window // size:.0f}{unit}"
    return f"{window * 1_000:g}ms"


def kind_of_values(schema: Schema, name: str, where: str) -> Literal["text", "number"]:
    """How the values of a field that takes countable ones are held.

    Raises
    ------
    SchemaError
        If the field is a float or a time, of which hardly any two rows have the same.
    """
    dtype = schema.field(name, where).dtype
    if dtype in ("float", "time"):
        wanted = "a category, an address, an integer or a boolean"
        raise SchemaError(where, f'field "{name}", a {dtype}', wanted, "statistics of numbers come from `rolling`")
    return "text" if dtype in ("category", "address") else "number"
