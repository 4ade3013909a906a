"""Patterns over the keys of objects: where the fixed part ends, and which keys fit the rest.

Source: Python, `glob` with `recursive=True`; names that begin with a dot are hidden there, too.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

_ANY_DEPTH = "**"
_SPECIAL = frozenset("*?[")


def split_pattern(url: str) -> tuple[str, str]:
    """The bucket, or the folder that all files lie below, and the pattern of a key from there on.

    >>> split_pattern("s3://telemetry/flows/2026-*/**/*.csv")
    ('s3://telemetry', 'flows/2026-*/**/*.csv')
    >>> split_pattern("/data/flows/*.csv"), split_pattern("flows/")
    (('/data/flows', '*.csv'), ('flows', '**'))
    """
    scheme, separator, rest = url.partition("://")
    if separator:
        bucket, _, pattern = rest.partition("/")
        place = f"{scheme}://{bucket}"
    else:
        steps = url.split("/")
        fixed = next((at for at, step in enumerate(steps) if _SPECIAL & set(step)), len(steps) - 1)
        place, pattern = "/".join(steps[:fixed]), "/".join(steps[fixed:])
        place = place or ("/" if url.startswith("/") else ".")
    return place, pattern + _ANY_DEPTH if pattern.endswith("/") or not pattern else pattern


def fixed_beginning(pattern: str) -> str:
    """What every key that fits begins with.

    >>> fixed_beginning("2026-*/**/*.csv")
    '2026-'
    """
    return next((pattern[:place] for place, letter in enumerate(pattern) if letter in _SPECIAL), pattern)


def fits(key: str, pattern: str) -> bool:
    """Whether a key fits: `*` within one step, `**` over any number of them.

    >>> fits("2026/11/flows.csv", "**/*.csv"), fits("flows.csv", "**/*.csv"), fits("2026/flows.csv", "*.csv")
    (True, True, False)
    """
    wanted = pattern.split("/")
    last = len(wanted) - 1
    places = _onward({0}, wanted)
    for step in key.split("/"):
        reached = [place for place in places if place <= last and _step_fits(step, wanted[place])]
        deep = {place for place in reached if wanted[place] == _ANY_DEPTH}
        places = _onward(deep | {place + 1 for place in reached if place not in deep or place == last}, wanted)
    return last + 1 in places


def _onward(places: set[int], wanted: list[str]) -> set[int]:
    """With those that are reached since `**` may stand for nothing, unless it is the last."""
    reached = set(places)
    for place, step in enumerate(wanted[:-1]):
        if place in reached and step == _ANY_DEPTH:
            reached.add(place + 1)
    return reached


def _step_fits(step: str, wanted: str) -> bool:
    if step.startswith(".") and not wanted.startswith("."):
        return False
    return wanted == _ANY_DEPTH or fnmatchcase(step, wanted)
