"""Logs as programs really write them, from the file to the alarm: Suricata's flows, hostapd's lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np

Run = Callable[..., CompletedProcess[str]]
START = datetime(2025, 12, 30, 6, tzinfo=UTC)
CONFIG = """\
version: 1
name: logs
preset: {preset}
source: {source}
sinks: [{{type: jsonl, path: alerts.jsonl}}]
"""


def learnt(tocsin: Run, preset: str, source: str) -> dict[str, int]:
    """What became of the rows of a source that was checked and trained on."""
    Path("tocsin.yaml").write_text(CONFIG.format(preset=preset, source=source))
    assert tocsin("check", "--connect").returncode == 0
    trained = tocsin("train", "--promote", "--no-plots", "--json")
    assert trained.returncode == 0
    found: dict[str, int] = json.loads(trained.stdout)["rows"]
    return found


def eve_flow(rng: np.random.Generator, moment: datetime, number: int, sent: float) -> dict[str, Any]:
    seconds = float(rng.lognormal(0.0, 1.0))
    got = sent * float(rng.uniform(5, 20))
    return {
        "timestamp": f"{moment:%Y-%m-%dT%H:%M:%S.%f}+0000",
        "flow_id": 10**15 + number,
        "event_type": "flow",
        "src_ip": f"192.0.2.{int(rng.integers(1, 9))}",
        "src_port": int(rng.integers(32_768, 61_000)),
        "dest_ip": f"198.51.100.{int(rng.integers(1, 99))}",
        "dest_port": int(rng.choice([443, 443, 443, 80, 53])),
        "proto": "TCP",
        "app_proto": "tls",
        "flow": {
            "pkts_toserver": round(sent / 400) + 1,
            "pkts_toclient": round(got / 1_200) + 1,
            "bytes_toserver": round(sent),
            "bytes_toclient": round(got),
            "start": f"{moment - timedelta(seconds=seconds + 60):%Y-%m-%dT%H:%M:%S.%f}+0000",
            "end": f"{moment - timedelta(seconds=60):%Y-%m-%dT%H:%M:%S.%f}+0000",
            "state": str(rng.choice(["closed", "closed", "established"])),
            "reason": "timeout",
            "alerted": False,
        },
    }


def eve(rng: np.random.Generator, start: datetime, flows: int, leak: int | None = None) -> str:
    """A log of flows, every third line another event; one flow sends a gigabyte."""
    lines = []
    for number in range(flows):
        moment = start + timedelta(seconds=20 * number)
        event = eve_flow(rng, moment, number, 1e9 if number == leak else float(rng.lognormal(7.0, 1.0)))
        if number == leak:
            event["src_ip"] = "192.0.2.66"
        lines.append(json.dumps(event))
        if number % 2:
            lines.append(json.dumps({"timestamp": event["timestamp"], "event_type": "dns", "dns": {"type": "query"}}))
    return "\n".join([*lines, ""])


def test_suricata_flows_go_from_the_file_to_the_alarm(folder: Path, tocsin: Run, rng: np.random.Generator) -> None:
    (folder / "eve.json").write_text(eve(rng, START, 3_000))
    (folder / "today.json").write_text(eve(rng, START + timedelta(days=2), 300, leak=200) + '{"timestamp": "2026-01-0')
    rows = learnt(tocsin, "flows/suricata", "{type: suricata_eve, path: eve.json}")
    assert (rows["received"], rows["ignored"], rows["quarantined"]) == (4_500, 1_500, 0)
    scored = json.loads(tocsin("score", "today.json", "--json").stdout)
    inputs = scored["inputs"]
    assert (inputs["received"], inputs["passed_on"], inputs["ignored"]) == (451, 300, 150)
    assert inputs["reasons"] == {"not_json": 1}
    alerts = [json.loads(line) for line in (folder / "alerts.jsonl").read_text("utf-8").splitlines()]
    assert "192.0.2.66" in {alert["entity"] for alert in alerts}


def hostapd(rng: np.random.Generator, start: datetime, visits: int, flood: int | None = None) -> str:
    """A log of stations that come and go at three access points; at one of them somebody sends them all away."""
    lines: list[tuple[datetime, str, str]] = []
    for number in range(visits):
        moment = start + timedelta(minutes=5 * number + float(rng.uniform(0, 5)))
        point, station = f"ap{int(rng.integers(1, 4))}", f"02:00:00:00:00:{int(rng.integers(16, 99))}"
        says = f"wlan0: STA {station}"
        stay = timedelta(seconds=float(rng.exponential(1_200)))
        lines += [
            (moment, point, f"{says} IEEE 802.11: authenticated"),
            (moment, point, f"{says} IEEE 802.11: associated (aid {int(rng.integers(1, 9))})"),
            (moment, point, f"wlan0: AP-STA-CONNECTED {station}"),
            (moment + timedelta(seconds=1), point, f"{says} WPA: pairwise key handshake completed (RSN)"),
            (moment + stay, point, f"wlan0: AP-STA-DISCONNECTED {station}"),
            (moment + stay, point, f"{says} IEEE 802.11: disassociated"),
        ]
        if rng.random() < 0.2:
            reason = "due to inactivity (timer DEAUTH/REMOVE)"
            lines.append((moment + stay + timedelta(seconds=1), point, f"{says} IEEE 802.11: deauthenticated {reason}"))
        if number == flood:
            lines += [
                (moment + timedelta(seconds=shot / 5), "ap2", f"wlan0: STA 02:00:00:00:00:{20 + shot % 9} "
                 "IEEE 802.11: deauthenticated due to local deauth request")
                for shot in range(300)
            ]  # fmt: skip
    lines.sort(key=lambda line: line[0])
    return "".join(
        f"<30>{moment:%b} {moment.day:>2} {moment:%H:%M:%S} {point} hostapd[412]: {text}\n"
        for moment, point, text in lines
    )


def test_a_deauthentication_flood_in_a_system_log_rings(folder: Path, tocsin: Run, rng: np.random.Generator) -> None:
    history = hostapd(rng, START, 2_600)
    (folder / "messages.1").write_text(history)
    (folder / "messages").write_text(hostapd(rng, START + timedelta(days=10), 200, flood=150) + "\tat line 7\n")
    rows = learnt(tocsin, "wifi/logs", "{type: syslog, path: messages.1, year: 2025}")
    assert (rows["received"], rows["quarantined"]) == (history.count("\n"), 0)
    (folder / "tocsin.yaml").write_text(
        CONFIG.format(preset="wifi/logs", source="{type: syslog, path: messages.1, year: 2026}")
    )
    scored = json.loads(tocsin("score", "messages", "--json").stdout)
    assert scored["inputs"]["reasons"] == {"not_syslog": 1}
    alerts = [json.loads(line) for line in (folder / "alerts.jsonl").read_text("utf-8").splitlines()]
    worst = max(alerts, key=lambda alert: float(alert["score"]))
    assert worst["entity"] == "ap2"
    assert worst["rows"] > 200
    assert worst["reasons"][0]["feature"] == "deauth_count"
