"""The page on observability and the code name the same counters with the same labels."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| `(?P<name>tocsin_\w+)` \|(?P<labels>[^|]*)\| (?P<meaning>[^|]+) \|$", re.M)


def counted() -> dict[str, set[str]]:
    """Counter -> labels, from every `count(...)` in observe."""
    files = sorted((ROOT / "src" / "tocsin" / "observe").glob("*.py"))
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    found: dict[str, set[str]] = {}
    for node in nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "count":
            name = ast.literal_eval(node.args[0])
            found.setdefault(name, set()).update(keyword.arg or "**" for keyword in node.keywords)
    return found


def documented() -> dict[str, set[str]]:
    page = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    return {row["name"]: set(re.findall(r"`(\w+)`", row["labels"])) for row in ROW.finditer(page)}


def test_every_counter_is_documented_with_its_labels() -> None:
    assert documented() == {name: labels - {"amount"} for name, labels in counted().items()}


def test_counters_follow_one_form_of_name() -> None:
    assert [name for name in counted() if not re.fullmatch(r"tocsin_[a-z_]+_total", name)] == []
