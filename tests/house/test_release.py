"""What a release rests on: pinned requirements, one version, a change log, a licence."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest

import tocsin

ROOT = Path(__file__).parents[2]
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))
PIN = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>[^\s;]+)", re.M)


def pins(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    return {pin["name"]: pin["version"] for pin in PIN.finditer(text)}


def required(*extras: str) -> set[str]:
    """Normalised names of what pyproject.toml asks for, the project itself apart."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"]]
    for extra in extras:
        asked += project["optional-dependencies"][extra]
    names = {re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-") for requirement in asked}
    return names - {"tocsin"}


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_every_requirement_is_pinned_and_hashed(path: Path) -> None:
    logical_lines = path.read_text(encoding="utf-8").replace("\\\n", "").splitlines()
    wanted = [line for line in logical_lines if line.strip() and not line.strip().startswith("#")]
    assert wanted
    assert [line for line in wanted if not (PIN.match(line) and "--hash=sha256:" in line)] == []


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_requirements_name_no_index_and_no_folder(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"\S*://\S*|--\S*index\S*|--find-links|--trusted-host|(?<!\S)/\S+| @ \S+", text) == []


def test_the_pins_cover_what_the_project_asks_for() -> None:
    assert required() <= pins("base.txt").keys()
    assert required("data", "train", "report", "dev") | {"setuptools"} <= pins("dev.txt").keys()


def test_tests_run_on_the_versions_that_users_run() -> None:
    assert pins("base.txt").items() <= pins("dev.txt").items()


def test_the_base_install_holds_nothing_heavy() -> None:
    assert pins("base.txt").keys() & {"polars", "scikit-learn", "scipy", "matplotlib", "torch", "fastapi"} == set()


def test_the_version_is_written_once() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["project"]["dynamic"] == ["version"]
    assert settings["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "tocsin.__version__"}
    assert importlib.metadata.version("tocsin") == tocsin.__version__


def test_the_change_log_speaks_of_this_version() -> None:
    assert tocsin.__version__ in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_licence_is_the_one_declared() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
