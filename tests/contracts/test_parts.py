from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from tocsin.checks import part as checks
from tocsin.component import Part, Room, catalogue, part

ROOMS: tuple[Room, ...] = ("sources", "features", "detectors", "thresholds", "sinks")


@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(("room", "name"), [(room, name) for room in ROOMS for name in catalogue(room)])
def test_contract(room: Room, name: str, check: Callable[[type[Part], Path], None], tmp_path: Path) -> None:
    check(part(room, name), tmp_path)


class Careless(Part):
    """A part that breaks every rule that one class can break.

    Parameters
    ----------
    path : str
        Is read by the constructor.
    gone
        Was a parameter once.
    """

    def __init__(self, path: str = "", *, names=[], **others: int) -> None:  # type: ignore[no-untyped-def]  # noqa: B006
        if path:
            Path(path).read_text("utf-8")
        self.path = path
        self.names = [*names, "one more"]
        self.others = others

    def __repr__(self) -> str:
        return "a part"

    @classmethod
    def example(cls, folder: Path) -> Self:
        (folder / "file").write_text("text", "utf-8")
        return cls(path=str(folder / "file"))


@pytest.mark.parametrize(
    ("check", "complaint"),
    [
        (checks.check_its_file_bears_its_name, "move it to careless.py"),
        (checks.check_it_is_the_only_part_of_its_file, "a file of its own"),
        (checks.check_parameters_are_keyword_only_and_typed, "keyword-only"),
        (checks.check_defaults_and_examples_are_immutable, "the default of names can be changed"),
        (checks.check_it_is_documented, "needs a docstring"),
        (checks.check_an_unknown_parameter_is_refused, "swallows an unknown parameter"),
        (checks.check_repr_names_every_parameter, "leaves out path"),
    ],
)
def test_a_careless_part_is_told_what_to_change(
    check: Callable[[type[Part], Path], None], complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check(Careless, tmp_path)


class Eager(Part):
    """Reads its file too early, and forgets what it was told.

    Parameters
    ----------
    path
        Is read by the constructor.
    """

    def __init__(self, *, path: str) -> None:
        self.path = Path(path).read_text("utf-8")

    @classmethod
    def example(cls, folder: Path) -> Self:
        (folder / "file").write_text(str(folder / "file"), "utf-8")
        return cls(path=str(folder / "file"))


def test_a_constructor_that_reads_a_file_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="opens a file or a socket"):
        checks.check_its_constructor_opens_nothing(Eager, tmp_path)


class Forgetful(Part):
    """Keeps something else than it was given."""

    def __init__(self, *, size: int = 1) -> None:
        self.size = size + 1


def test_a_part_that_does_not_keep_its_parameters_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="keep each parameter under its name"):
        checks.check_parameters_rebuild_it(Forgetful, tmp_path)
    with pytest.raises(AssertionError, match="is read back as"):
        checks.check_its_config_entry_rebuilds_it(Forgetful, tmp_path)


def test_a_parameter_without_a_word_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "__doc__", "A source.")
    with pytest.raises(AssertionError, match=r"Parameters are \[\], the constructor's are \['size'\]"):
        checks.check_it_is_documented(Forgetful, tmp_path)
    with pytest.raises(
        AssertionError, match=r"are \['path', 'gone'\], the constructor's are \['path', 'names', 'others'\]"
    ):
        checks.check_it_is_documented(Careless, tmp_path)
