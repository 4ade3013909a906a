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


def findings(room: Room, kind: type[Part]) -> dict[str, str]:
    """What each check that does not hold found, by the check's name; empty for a part that keeps its contract."""
    found = {}
    for check in contract(room):
        with TemporaryDirectory() as folder:
            try:
                check(kind, Path(folder))
            except Exception as error:  # noqa: BLE001  # whatever a foreign part raises is the finding
                found[check.__name__] = f"{type(error).__name__}: {error}"
    return found


def run(room: Room, kind: type[Part]) -> None:
    """Hold a part against its room's contract.

    Raises
    ------
    AssertionError
        If a check does not hold, saying what each of them found.
    """
    if found := findings(room, kind):
        raise AssertionError("; ".join(f"{name}: {what}" for name, what in found.items()))
