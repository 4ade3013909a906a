"""Foreign values as the values of a config; each raises ValueError with what was wanted."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any

from tocsin.cli.imported.words import Fate, Rule, Words

MAX_TEXT = 1_000
"""Characters."""


def text(value: Any) -> str:
    """Text that no terminal obeys and that Tocsin does not read as a reference to the environment."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("wanted text")
    if not value.isprintable() or len(value) > MAX_TEXT:
        raise ValueError(f"wanted at most {MAX_TEXT} printable characters")
    if "${" in value:
        raise ValueError("wanted no reference to the environment: write it into the new config yourself")
    return value


def texts(value: Any) -> list[str]:
    """A list of texts, each once; a single one may stand alone."""
    return list(dict.fromkeys(map(text, value if isinstance(value, list) else [value])))


def path(value: Any) -> str:
    """A path with forward slashes."""
    return text(value).replace("\\", "/")


def bucket_name(value: Any) -> str:
    """The name of a bucket, also where it is written as a URL."""
    found = text(value).removeprefix("gs://").rstrip("/")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", found):
        raise ValueError("wanted the name of a bucket")
    return found


def name(value: Any) -> str:
    """A name such as configs and folders bear."""
    found = re.sub(r"[^a-z0-9._-]+", "-", text(value).lower()).strip("._-")[:64]
    if not found:
        raise ValueError("wanted a name with letters or digits")
    return found


def number(value: Any, low: float, high: float) -> float:
    """A number from `low` to `high`, also written as text."""
    try:
        found = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        found = None
    if found is None or not low <= found <= high:
        raise ValueError(f"wanted a number from {low:g} to {high:g}")
    return int(found) if found.is_integer() else found


def whole(low: int, high: int) -> Callable[[Any], int]:
    """Converts to a whole number from `low` to `high`."""

    def convert(value: Any) -> int:
        found = number(value, low, high)
        if not isinstance(found, int):
            raise ValueError(f"wanted a whole number from {low:,} to {high:,}")
        return found

    return convert


def choice(**meanings: str) -> Callable[[Any], str]:
    """Converts one of the given words, in any case, to what it means here."""

    def convert(value: Any) -> str:
        found = meanings.get(str(value).lower())
        if found is None:
            raise ValueError(f"wanted one of: {', '.join(meanings)}")
        return found

    return convert


level = choice(debug="debug", info="info", warn="warning", warning="warning", error="error", critical="error")
"""A level of logging."""


def percent(share: float) -> str:
    """A share as Tocsin writes the budget of rows.

    >>> percent(0.05), percent(0.001)
    ('5%', '0.1%')
    """
    return f"{float(round(Fraction(str(share)) * 100, 6)):g}%"


def budget(value: Any) -> str:
    """A share of rows taken for anomalous -> the share of rows that may ring."""
    share = number(value, 0, 0.5)
    if share < 1e-5:
        raise ValueError("wanted a share of the rows above 0")
    return percent(share)


def at_least(figure: str) -> Rule:
    """A share that a figure must reach, where the rows carry labels."""
    return lambda value, _: Fate(
        "kept",
        "asked where rows are labelled",
        {f"gate.{figure}": f">= {round(number(value, 0, 1), 4):g} when labelled"},
    )


def split(test: float, calibration: float | None = None) -> dict[str, float]:
    """The division of history that leaves so much to judge on; a quarter of the rest sets the alert level.

    >>> split(0.2)
    {'split.train': 0.6, 'split.calibration': 0.2}
    """
    rest = Fraction(str(test))
    calibrating = (1 - rest) / 4 if calibration is None else Fraction(str(calibration))
    train = 1 - rest - calibrating
    if not 0 < train < 1:
        raise ValueError("wanted shares that leave rows to learn from")
    return {"split.train": round(float(train), 6), "split.calibration": round(float(calibrating), 6)}


def held_out(value: Any, _words: Words) -> Fate:
    """The rule of a share of rows kept back to judge on."""
    said = "the test part; a quarter of the rest sets the alert level"
    return Fate("kept", said, split(number(value, 0.01, 0.9)))


def exported(system: str) -> Rule:
    """The rule of a folder for what a training leaves."""
    return lambda value, _: Fate(
        "no_meaning", f"the place is named when training: --export {system} --export-to {path(value)}"
    )


def files_in(folder: str, ending: str = "csv") -> str:
    """A pattern for the files of a folder."""
    return str(PurePosixPath(folder) / f"*.{ending}")
