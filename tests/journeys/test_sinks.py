"""Alerts of a running service at every kind of receiver, through an outage and a kill."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
from tests.journeys.service import Site, events
from tests.sinks.receivers import HttpReceiver, Listener

SINKS = """\
sinks:
  - {{type: jsonl, path: alerts.jsonl}}
  - {{type: eve_json, path: eve.json}}
  - {{type: webhook, url: "{web}/T0KEN", secret: "whsec_{key}", allow: [127.0.0.1/32], allow_http: true}}
  - {{type: apprise, url: "json://127.0.0.1:{phone}/"}}
  - {{type: syslog, address: "tcp://127.0.0.1:{log}", reveal: true}}
"""
STREAM = """\
  source: {type: jsonl, path: "live/*.jsonl", rows: 200}
  latency: 1ms
"""
ROWS, LEAKS = 3_000, 12


def test_every_alert_comes_to_every_receiver_once(tmp_path: Path, rng: np.random.Generator) -> None:
    with HttpReceiver(503, 204, 429) as web, HttpReceiver(500) as phone, Listener() as log:
        sinks = SINKS.format(web=web.url, key="a" * 32, phone=phone.port, log=log.port)
        changes = (("sinks: [{type: jsonl, path: alerts.jsonl}]\n", sinks), ("cooldown: 30s", "incident: null"))
        trained = Site.made(tmp_path / "trained", rng, *changes)
        site = trained.copied(tmp_path / "site", STREAM)
        lines = events(rng, ROWS, leaks=LEAKS)
        live = site.folder / "live" / "a.jsonl"
        live.write_bytes(b"".join(lines[: ROWS // 2]))
        with site.serve() as service:
            service.ready()
            service.until(partial(site.has, ROWS // 2))
        with live.open("ab") as file:  # it was killed at the end of the block
            file.write(b"".join(lines[ROWS // 2 :]))
        with site.serve() as service:
            service.ready()
            service.until(partial(site.has, ROWS))
            service.until(lambda: not site.query("SELECT 1 FROM deliveries WHERE outcome = ''"))
            service.stop()
        ids = {id for (id,) in site.query("SELECT id FROM alerts")}
    lines_of = {name: (site.folder / name).read_bytes().splitlines() for name in ("alerts.jsonl", "eve.json")}
    posted = [json.loads(each.body) for each in web.posted]
    assert len(ids) >= LEAKS
    assert sorted(json.loads(line)["id"] for line in lines_of["alerts.jsonl"]) == sorted(ids)
    assert sorted(json.loads(line)["tocsin"]["id"] for line in lines_of["eve.json"]) == sorted(ids)
    assert {alert["id"] for alert in posted} == {each.headers["Idempotency-Key"] for each in web.posted} == ids
    assert all(any(id.encode() in each.body for each in phone.posted) for id in ids)
    assert all(id.encode() in log.received for id in ids)

    assert all(b'"entity":"host-' in line for line in lines_of["alerts.jsonl"])
    assert not any(b"host-" in line for line in lines_of["eve.json"])
    assert not any("host-" in alert["entity"] for alert in posted)
    assert b'entity="host-' in log.received
    said = (site.folder / "service.log").read_text("utf-8")
    assert "status 503" in said
    assert "T0KEN" not in said
