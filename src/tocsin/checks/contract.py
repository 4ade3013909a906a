"""All checks of a room's contract, in one tuple."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tocsin.checks import detector, feature, part, sink, source, threshold
from tocsin.component import Part, Room

Check = Callable[[type[Any], Path], None]

_OF_ROOM: Mapping[Room, tuple[Check, ...]] = {
    "sources": source.CHECKS,
    "features": feature.CHECKS,
    "detectors": detector.CHECKS,
    "thresholds": threshold.CHECKS,
    "sinks": sink.CHECKS,
}


def contract(room: Room) -> tuple[Check, ...]:
    """What every part of a room must pass: the checks of all parts, then those of the room."""
    return (*part.CHECKS, *_OF_ROOM[room])


def run(room: Room, kind: type[Part]) -> None:
    """Hold a part against its room's contract.

    Raises
    ------
    AssertionError
        From the first check that fails, saying what was expected.
    """
    for check in contract(room):
        with TemporaryDirectory() as folder:
            check(kind, Path(folder))
