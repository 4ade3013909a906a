"""How a project goes is told as far as it can be read."""

from __future__ import annotations

from tocsin.system.overview import Overview


def test_a_place_that_cannot_be_read_leaves_the_rest() -> None:
    found = Overview("flows", "2026-01-01T00:00:00+00:00")
    with found.asking():
        raise PermissionError(13, "Permission denied", "/site/.tocsin")
    (problem,) = found.problems
    assert (problem.where, problem.got) == ("/site/.tocsin", "Permission denied")
    assert not found.whole
