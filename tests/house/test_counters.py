"""The page on observability and the code name the same counters, gauges and histograms with the same labels."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tocsin.log import BOUNDS

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| `(?P<name>(?:tocsin|process)_\w+)` \|(?P<labels>[^|]*)\| (?P<meaning>[^|]+) \|$", re.M)
HEADINGS = {"count": "Counters", "gauge": "Gauges", "histogram": "Histograms"}
FORMS = {
    "count": r"tocsin_[a-z_]+_total",
    "gauge": r"(tocsin|process)_[a-z_]+(?<!_total)|process_cpu_seconds_total",
    "histogram": rf"tocsin_[a-z_]+_({'|'.join(BOUNDS)})",
}
MEANS = {"amount", "value"}


def said(kind: str) -> dict[str, set[str]]:
    """Name -> labels, from every `count(...)`, `gauge(...)` or `histogram(...)` in observe."""
    files = sorted((ROOT / "src" / "tocsin" / "observe").glob("*.py"))
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    found: dict[str, set[str]] = {}
    for node in nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == kind:
            name = ast.literal_eval(node.args[0])
            found.setdefault(name, set()).update(keyword.arg or "**" for keyword in node.keywords)
    return {name: labels - MEANS for name, labels in found.items()}


def documented(kind: str) -> dict[str, set[str]]:
    page = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    (chapter,) = re.findall(rf"^## {HEADINGS[kind]}$(.*?)(?=^## |\Z)", page, re.M | re.S)
    return {row["name"]: set(re.findall(r"`(\w+)`", row["labels"])) for row in ROW.finditer(chapter)}


@pytest.mark.parametrize("kind", HEADINGS)
def test_all_that_is_measured_is_documented_with_its_labels(kind: str) -> None:
    own = {"tocsin_series_refused_total": set[str]()} if kind == "count" else {}
    assert documented(kind) == said(kind) | own


@pytest.mark.parametrize("kind", HEADINGS)
def test_names_follow_one_form(kind: str) -> None:
    assert [name for name in said(kind) if not re.fullmatch(FORMS[kind], name)] == []
