"""Every file is small, named after what it holds, and says so in its first line."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "tocsin"
MODULES = sorted(PACKAGE.rglob("*.py"))
FEWEST_LINES, MOST_LINES = 20, 400
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "core", "misc"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_neither_a_scrap_nor_a_heap(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES
    assert lines >= FEWEST_LINES or path.name == "__init__.py"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_says_what_it_is(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring or (path.name == "__init__.py" and not path.read_text(encoding="utf-8").strip())


def test_no_name_in_the_package_is_empty_of_meaning() -> None:
    paths = [path for path in PACKAGE.rglob("*") if "__pycache__" not in path.parts]
    named = {name_of(path): EMPTY_NAMES & set(path.stem.split("_")) for path in paths}
    assert {name: words for name, words in named.items() if words} == {}
