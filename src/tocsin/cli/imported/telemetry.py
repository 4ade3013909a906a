"""Which preset knows the columns of a foreign config."""

from __future__ import annotations

from collections.abc import Iterable

from tocsin.presets import read_preset
from tocsin.schema import Schema


def schema_of(preset: str) -> Schema:
    """The schema that a preset brings."""
    return Schema.model_validate(read_preset(preset)["schema"])


def knows(preset: str, numbers: Iterable[str], words: Iterable[str] = ()) -> bool:
    """Whether a preset has a numeric field for each of these columns, and one of text for each of those.

    >>> knows("services", ["event_count", "error_rate"], ["service"])
    True
    >>> knows("services", ["service"]), knows("services", ["feature1"])
    (False, False)
    """
    schema = schema_of(preset)
    return set(numbers) <= set(schema.numeric) and set(words) <= schema.fields.keys() - set(schema.numeric)
