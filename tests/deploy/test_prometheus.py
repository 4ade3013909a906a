"""Rules and dashboard ask only for what a service measures, in a language that Prometheus reads, and ring as meant."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "tocsin.rules.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "tocsin.json"
CASES = Path(__file__).with_name("tocsin.rules.test.yml")
NAME = re.compile(r"\b((?:tocsin|process)_[a-z_]+?)(?:_bucket|_sum|_count)?\b(?=\W)")
VARIABLES = {"$job": "tocsin", "$instance": ".*"}


def alerts() -> list[dict[str, str]]:
    (group,) = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    found: list[dict[str, str]] = group["rules"]
    return found


def asked() -> list[str]:
    """Every expression of the dashboard, with its variables filled in."""
    found = []
    for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]:
        for target in panel.get("targets", ()):
            text = target["expr"]
            for name, value in VARIABLES.items():
                text = text.replace(name, value)
            found.append(text)
    return found


def names(expressions: list[str]) -> Iterator[str]:
    for text in expressions:
        yield from NAME.findall(re.sub(r"\{[^}]*\}|by \([^)]*\)", " ", text) + " ")


def measured() -> set[str]:
    """All that the page on observability documents; test_counters holds it to what the code says."""
    page = (ROOT / "docs" / "observability.md").read_text("utf-8")
    return set(re.findall(r"^\| `((?:tocsin|process)_\w+)` \|", page, re.M))


@pytest.fixture
def promtool(tmp_path: Path, need: Callable[[bool, str], None]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Promtool in a folder that holds the rules and their cases."""
    need(shutil.which("promtool") is not None, "no promtool")
    for path in (RULES, CASES):
        shutil.copy(path, tmp_path)

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["promtool", *words], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )

    return call


def test_prometheus_takes_the_rules(promtool: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = promtool("check", "rules", RULES.name)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_ring_when_they_should_and_not_otherwise(
    promtool: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = promtool("test", "rules", CASES.name)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_rings_in_a_case_and_has_its_line_in_the_book() -> None:
    cases, book = CASES.read_text("utf-8"), (ROOT / "docs" / "operating.md").read_text("utf-8")
    for alert in alerts():
        assert f'alertname="{alert["alert"]}"' in cases
        assert f"| `{alert['alert']}` |" in book


def test_prometheus_reads_every_expression_of_the_dashboard(
    tmp_path: Path, promtool: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(asked())]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), "utf-8")
    done = promtool("check", "rules", "panels.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


@pytest.mark.parametrize("expressions", [[alert["expr"] for alert in alerts()], asked()], ids=["rules", "dashboard"])
def test_nothing_is_asked_for_that_is_not_measured(expressions: list[str]) -> None:
    found = set(names(expressions))
    assert len(found) > 10
    assert found - measured() == set()


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]:
        place = panel["gridPos"]
        cells = {
            (column, row)
            for column in range(place["x"], place["x"] + place["w"])
            for row in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(column for column, _ in cells) < 24
        taken |= cells
