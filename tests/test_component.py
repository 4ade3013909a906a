"""Parts are found by name, their parameters checked, and every mistake is met with the nearest right word."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError

import tocsin.component
from tocsin.component import (
    Duration,
    Part,
    PartSpec,
    Room,
    Size,
    Spec,
    build,
    catalogue,
    optional_packages,
    outside_parts,
    part,
    seconds,
    size_bytes,
    snake_case,
)
from tocsin.detectors.isolation_forest import IsolationForest
from tocsin.detectors.robust_zscore import RobustZScore
from tocsin.errors import ConfigError, MissingExtraError, UnknownPartError

ROOMS: tuple[Room, ...] = ("sources", "features", "detectors", "thresholds", "sinks")


class Brush(Part):
    """A part with a nested part and a checked number."""

    def __init__(
        self, *, width: Annotated[float, Field(gt=0)] = 1.0, of: tuple[Spec, ...] = (), wait: Duration = 60.0
    ) -> None:
        self.width = width
        self.of = of
        self.wait = wait


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_lists_the_files_in_it(room: Room) -> None:
    folder = Path(tocsin.component.__file__).parent / room
    assert catalogue(room) == tuple(
        sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith(("base", "_")))
    )


def test_listing_a_room_imports_nothing_of_it() -> None:
    assert "isolation_forest" in catalogue("detectors")
    assert part("detectors", "isolation_forest") is IsolationForest
    assert part("detectors", "robust_zscore") is RobustZScore


@pytest.mark.parametrize("name", ["isolation_forst", "Isolation_forest", "base", "base_files", "", "os"])
def test_an_unknown_part_is_refused_with_those_that_are_there(name: str) -> None:
    with pytest.raises(UnknownPartError) as refused:
        part("detectors", name, "$.detector.type")
    problem = refused.value.problem
    assert (problem.where, problem.got) == ("$.detector.type", f'"{name}"')
    assert problem.wanted.startswith(f"one of: {', '.join(catalogue('detectors'))}")
    assert problem.hint == ('did you mean "isolation_forest"?' if "solation" in name else "")


def test_a_part_is_built_from_what_a_config_says() -> None:
    forest = build("detectors", PartSpec("isolation_forest", {"trees": 7}))
    assert repr(forest) == "IsolationForest(trees=7, samples=256, oblique=0, seed=0)"


def test_every_wrong_parameter_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        build("detectors", PartSpec("isolation_forest", {"trees": "many", "sed": 3}), "$.detector")
    found = {problem.where: problem for problem in refused.value.problems}
    assert found.keys() == {"$.detector.trees", "$.detector.sed"}
    assert found["$.detector.trees"].got == "'many'"
    assert found["$.detector.sed"].hint == 'did you mean "seed"?'


def test_what_a_constructor_refuses_is_a_problem_of_the_config() -> None:
    with pytest.raises(ConfigError, match=r"(?s)\$\.detector.*trees"):
        build("detectors", PartSpec("isolation_forest", {"trees": 0}), "$.detector")


def test_an_outside_part_is_imported_only_when_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outsider.py").write_text("from tocsin.detectors.robust_zscore import RobustZScore as Outer\nodd = 3\n")
    about = tmp_path / "outsider-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: outsider\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[tocsin.detectors]\nouter = outsider:Outer\nodd = outsider:odd\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "outsider", raising=False)

    assert outside_parts("detectors") == ("outsider/odd", "outsider/outer")
    with pytest.raises(UnknownPartError):
        part("detectors", "outer")
    assert "outsider" not in sys.modules
    assert part("detectors", "outsider/outer") is RobustZScore
    with pytest.raises(UnknownPartError, match="a class derived from tocsin's Part"):
        part("detectors", "outsider/odd")
    with pytest.raises(UnknownPartError, match='did you mean "outsider/outer"'):
        part("detectors", "outsider/outr")
    with pytest.raises(UnknownPartError, match="none is installed"):
        part("sinks", "outsider/outer")
    monkeypatch.delitem(sys.modules, "outsider")


def test_a_missing_package_is_told_with_the_extra_that_brings_it() -> None:
    with pytest.raises(MissingExtraError) as missing, optional_packages("$.source"):
        raise ModuleNotFoundError("No module named 'polars.io'", name="polars.io")
    assert missing.value.problem.where == "$.source"
    assert missing.value.problem.hint == "pip install 'tocsin[data]'"
    with pytest.raises(ModuleNotFoundError, match="ours"), optional_packages("$.source"):
        raise ModuleNotFoundError("No module named 'ours'", name="ours")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("250ms", 0.25),
        ("30s", 30),
        ("2m", 120),
        ("1.5h", 5_400),
        ("7d", 604_800),
        ("1w", 604_800),
        (90, 90),
        (0.5, 0.5),
    ],
)
def test_a_duration_is_read_as_seconds(text: str | float, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize(("text", "value"), [("400MB", 4 * 10**8), ("64MiB", 2**26), ("1.5kB", 1_500), (10, 10)])
def test_a_size_is_read_as_bytes(text: str | float, value: int) -> None:
    assert size_bytes(text) == value


@pytest.mark.parametrize(
    "text", ["", "m", "2", "2 years", "-2m", "0s", "1e9s", "nan", float("nan"), float("inf"), 0, True]
)
def test_what_is_no_duration_is_refused_with_an_example(text: str | float) -> None:
    with pytest.raises(ValueError, match="a duration such as 30s, 5m, 2h or 7d"):
        seconds(text)
    with pytest.raises(ValidationError):
        TypeAdapter(Duration).validate_python(text)


@pytest.mark.parametrize("text", ["400", "4 mb", "-1MB", "0B", 0, float("inf")])
def test_what_is_no_size_is_refused_with_an_example(text: str | float) -> None:
    with pytest.raises(ValueError, match="a size such as 400MB or 64MiB"):
        size_bytes(text)
    with pytest.raises(ValidationError):
        TypeAdapter(Size).validate_python(text)


NAMES = st.from_regex(r"[a-z]{1,8}", fullmatch=True).filter(lambda name: name != "type")
VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=4)


@given(st.text(min_size=1, max_size=10), st.dictionaries(NAMES, VALUES, max_size=4))
def test_a_spec_goes_to_a_config_and_back(type: str, parameters: dict[str, object]) -> None:
    spec = PartSpec(type, parameters)
    assert TypeAdapter(Spec).validate_python(spec.to_json()) == spec
    assert TypeAdapter(Spec).dump_python(spec) == spec.to_json()


@pytest.mark.parametrize("value", ["isolation_forest", {}, {"trees": 3}, {"type": 3}, ["type"], None])
def test_what_names_no_part_is_no_spec(value: object) -> None:
    with pytest.raises(ValidationError, match="a mapping with a `type`"):
        TypeAdapter(Spec).validate_python(value)


def test_a_part_tells_its_own_config_entry() -> None:
    brush = Brush(width=2.5, of=(PartSpec("brush", {"width": 1.0}),))
    assert brush.parameters() == {"width": 2.5, "of": (PartSpec("brush", {"width": 1.0}),), "wait": 60.0}
    assert brush.spec().to_json() == {
        "type": "brush",
        "width": 2.5,
        "of": [{"type": "brush", "width": 1.0}],
        "wait": 60.0,
    }
    assert repr(Brush()) == "Brush(width=1.0, of=(), wait=60.0)"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("RobustZScore", "robust_zscore"),
        ("IsolationForest", "isolation_forest"),
        ("Csv", "csv"),
        ("HTTPPush", "httppush"),
    ],
)
def test_a_class_is_found_under_its_name_in_words(name: str, words: str) -> None:
    assert snake_case(name) == words
