"""What an operator sees of a service: how it stands, what it measures, how it ends, and no secret anywhere."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.journeys.service import START, Site, event, events

from tocsin.scoring.stream import CHECKPOINT

ROOT = Path(__file__).parents[2]
ROWS = 3_000
STREAM = """\
  source: {type: jsonl, path: "live/*.jsonl"}
  metrics: tocsin.prom
"""
SECRETS = [
    f"canary-{name}-4f7a9c2e"
    for name in ("password", "token", "path", "query", "key", "host-a", "host-b", "host-c", "value", "file")
]
ADDRESSES = [f"203.0.113.{number}" for number in range(1, 26)] + [f"2001:db8::{number:x}:7" for number in range(1, 26)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site.made(tmp_path_factory.mktemp("trained") / "site", np.random.default_rng(7))


@pytest.fixture
def site(trained: Site, tmp_path: Path, rng: np.random.Generator) -> Site:
    """Ready to serve rows of which some ring and three are none."""
    site = trained.copied(tmp_path / "site", STREAM)
    lines = [*events(rng, ROWS, leaks=10), b"{\n", b"[]\n", b"{}\n"]
    (site.folder / "live" / "a.jsonl").write_bytes(b"".join(lines))
    return site


@pytest.fixture
def status(
    site: Site, tocsin: Callable[..., CompletedProcess[str]], monkeypatch: pytest.MonkeyPatch
) -> Callable[[], dict[str, Any]]:
    """What `tocsin status` says of the service."""
    monkeypatch.chdir(site.folder)

    def ask() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(tocsin("status", "--json").stdout)["service"]
        return found

    return ask


def test_status_tells_how_a_service_stands_beside_it_and_after_it(
    site: Site, status: Callable[[], dict[str, Any]], tocsin: Callable[..., CompletedProcess[str]]
) -> None:
    assert status() is None
    with site.serve() as service:
        service.ready()
        service.until(partial(site.has, ROWS + 3))
        service.until(lambda: not any(counts.get("waiting") for counts in site.stored.deliveries().values()))
        beside = status()
        assert tocsin("run").returncode == 1, "one folder has one service"
        service.stop()
    after = status()
    assert (beside["running"], after["running"]) == (True, False)
    assert beside["rows"] == after["rows"]
    assert beside["rows"]["received"] == beside["rows"]["passed_on"] + 3 == ROWS + 3
    assert sum(beside["letters"].values()) == 3
    delivered = [counts for sink, counts in beside["deliveries"].items() if sink.startswith("jsonl:")]
    assert delivered == [{"delivered": len(site.sent)}]
    assert site.sent
    assert beside["model"] == site.stored.progress().model
    screen = tocsin("status").stdout
    assert "Service: not running" in screen
    assert f"{ROWS + 3:,} rows received: {ROWS:,} scored, 3 refused" in screen


def test_a_service_exposes_all_that_rules_and_dashboard_ask_for(site: Site) -> None:
    with site.serve() as service:
        service.ready()
        service.until(partial(site.has, ROWS + 3))
        service.stop()
    text = (site.folder / "tocsin.prom").read_text("utf-8")
    exposed = {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}
    assert asked() - exposed <= {
        "tocsin_watermark_timestamp_seconds",  # only where features wait for late rows
        "tocsin_waiting_rows",
        "tocsin_duplicates_dropped_total",  # after the first
        "tocsin_rows_ignored_total",
    }
    counted = {
        sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples
    }
    assert counted["tocsin_rows_committed_total"] == ROWS + 3
    assert counted["tocsin_commit_timestamp_seconds"] > START.timestamp()


def asked() -> set[str]:
    """Every series that a rule or a panel names."""
    (group,) = yaml.safe_load((ROOT / "deploy" / "prometheus" / "tocsin.rules.yml").read_text("utf-8"))["groups"]
    board = (ROOT / "deploy" / "grafana" / "tocsin.json").read_text("utf-8")
    panels = [target["expr"] for panel in json.loads(board)["panels"] for target in panel.get("targets", ())]
    return {name for text in [*panels, *(rule["expr"] for rule in group["rules"])] for name in series(text)}


def series(text: str) -> Iterator[str]:
    yield from re.findall(r"\b((?:tocsin|process)_[a-z_]+)\b", text.replace('"tocsin"', ""))


def test_a_damaged_checkpoint_ends_no_service(site: Site) -> None:
    with site.serve() as service:
        service.ready()
        service.until(partial(site.has, ROWS + 3))
        service.stop()
    path = site.folder / ".tocsin" / "stream" / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-7])
    with site.serve() as service:
        service.ready()
        service.stop()
    assert "Checkpoint refused" in (site.folder / "service.log").read_text("utf-8")


def test_at_debug_level_nothing_tells_a_secret_or_a_name(
    trained: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    site = trained.copied(tmp_path / "site", STREAM)
    with socket.socket() as refuses:
        refuses.bind(("127.0.0.1", 0))
        password, token, place, query, key, *hosts = SECRETS
        monkeypatch.setenv("HOOK_URL", f"http://127.0.0.1:{refuses.getsockname()[1]}/{place}?token={token}&x={query}")
        monkeypatch.setenv("HOOK_SECRET", "whsec_" + 32 * "Z")
        monkeypatch.setenv("MAIL_URL", f"mailtos://jo:{password}@127.0.0.1:1/?to=jo@example.org&key={key}")
        text = (site.folder / "tocsin.yaml").read_text("utf-8")
        more = '{type: webhook, url: "${HOOK_URL}", secret: "${HOOK_SECRET}", allow: [127.0.0.0/8], allow_http: true}'
        mail = '{type: apprise, url: "${MAIL_URL}"}'
        sinks = f"sinks: [{more}, {mail}, {{type: jsonl, path: alerts.jsonl}}]"
        old = "sinks: [{type: jsonl, path: alerts.jsonl}]"
        assert old in text
        (site.folder / "tocsin.yaml").write_text(text.replace(old, sinks), "utf-8")
        named = [*hosts, *ADDRESSES]
        loud = [event(10**6 + place, name, 1e7, START) for place, name in enumerate(named * 3)]
        broken = [name.encode() + b"{\n" for name in named] + [event(-1, name, 1.0, START) for name in named]
        path = site.folder / "live" / "a.jsonl"
        path.write_bytes(b"".join([*events(rng, 1_000), *loud, *broken]))
        with site.serve("--log-level", "debug") as service:
            service.ready()
            service.until(partial(site.has, 1_000 + len(loud) + len(broken)))
            service.until(lambda: b"Delivery put off" in (site.folder / "service.log").read_bytes())
            service.stop()
    said = (site.folder / "service.log").read_text("utf-8") + (site.folder / "tocsin.prom").read_text("utf-8")
    assert "Rows quarantined." in said
    assert [name for name in [*SECRETS, *ADDRESSES, "ZZZZZZZZ", "jo@example"] if name in said] == []
    assert any(name in (site.folder / "alerts.jsonl").read_text("utf-8") for name in named), "they did ring"
