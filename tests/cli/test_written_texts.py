from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path

import pytest

from tocsin.checks.contract import contract
from tocsin.cli.templates import first_config, new_detector
from tocsin.component import Part, snake_case
from tocsin.config import parse
from tocsin.errors import ConfigError
from tocsin.presets import presets


@pytest.mark.parametrize("preset", presets())
def test_the_first_config_of_every_preset_parses(preset: str) -> None:
    config = parse(first_config(preset, None))
    assert config.source is not None
    assert config.source.parameters["path"] == ("data/*.log" if config.source.type == "zeek" else "data/*.csv")


@pytest.mark.parametrize("path", ['a "b" \\c.csv', "a: {b} #c", "é\x1b\n\t.csv", "no", "x" * 500, "{path}"])
def test_any_path_is_quoted(path: str) -> None:
    config = parse(first_config("flows", path))
    assert config.source is not None
    assert config.source.parameters["path"] == path


@pytest.mark.parametrize(
    "name",
    ["MyDetector", "a_b", "nearest_2", "z_score", "none", "detector", "state", "base_forest", "_x", "", "x.y", "../x"],
)
def test_a_name_that_cannot_be_found_again_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="snake_case such as"):
        new_detector(name)


@pytest.mark.parametrize("name", ["nearest_neighbours", "x2_y", "robust_zscore", "forest"])
def test_the_class_of_a_new_detector_leads_back_to_its_name(name: str) -> None:
    (kind,) = (node for node in ast.parse(new_detector(name)).body if isinstance(node, ast.ClassDef))
    assert snake_case(kind.name) == name


def test_a_new_detector_passes_the_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "made_up.py"
    path.write_text(new_detector("made_up"), "utf-8")
    spec = importlib.util.spec_from_file_location("made_up", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "made_up", module)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # a check loads it in a process of its own
    spec.loader.exec_module(module)
    kind: type[Part] = module.MadeUp
    for number, check in enumerate(contract("detectors")):
        folder = tmp_path / str(number)
        folder.mkdir()
        check(kind, folder)
