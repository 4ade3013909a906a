"""What is secret or names somebody stays where it belongs: planted in rows, config, paths and environment, and sought.

Reliability case 24: after every command, at the lowest log level and with a failure at every stage, no log line, no
metric, no manifest, no golden vector, no report, no picture and no stored byte holds any of it.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from tocsin import log

Run = Callable[..., CompletedProcess[str]]

IPV4 = [f"198.51.100.{number}" for number in range(20, 40)]
IPV6 = [f"2001:db8:{number:x}::{number * 7:x}" for number in range(1, 11)]
MACS = [f"3c:5a:b4:00:{number:02x}:{number * 3:02x}" for number in range(10)]
MAILS = [f"{name}@staff.example.org" for name in ("ada", "grace", "edsger", "barbara", "ken")]
PLACES = [f"48.13{number}71,11.57{number}83" for number in range(5)]
PEOPLE = [*IPV4, *IPV6, *MACS, *MAILS, *PLACES]
SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIA" + "Q7" * 8,
    "AWS_SECRET_ACCESS_KEY": "c4n4ry/aws+secret/key/of/forty/letters01",
    "AWS_SESSION_TOKEN": "FwoGZXIvYXdzEcanary0session",
    "APPRISE_URLS": "mailto://canary:apprise-pass@mail.example",
    "SMTP_PASSWORD": "canary-smtp-pass",
    "WEBHOOK_SECRET": "canary-webhook-hmac",
    "GITHUB_TOKEN": "ghp_" + "c4N4rY" * 6,
    "MLFLOW_TRACKING_PASSWORD": "canary-mlflow-env",
    "MLFLOW_TRACKING_TOKEN": "canary-mlflow-token",
    "TOCSIN_TRACKING": "canary-referenced-pass",
    "SLACK_URL": "https://hooks.example/canary/slack/path",
    "DATABASE_URL": "postgresql://canary:database-pass@db/x",
    "GOOGLE_API_KEY": "AIza" + "C4n4ry0" * 5,
    "NPM_TOKEN": "npm_canary0000000000",
}
"""In the environment."""
BEARER, BASIC, QUERY, URL = "canary-bearer-token-0001", "canary-basic-pass", "canary-query-token", "canary-url-pass"
SITE = """\
version: 1
name: leaks
schema:
  time: time
  entity: host
  fields:
    time: {dtype: time}
    host: {dtype: address, identity: true}
    mac: {dtype: category, identity: true}
    user: {dtype: category, identity: true}
    place: {dtype: category, identity: true}
    bytes: {dtype: float, unit: bytes, minimum: 0}
    packets: {dtype: integer, unit: packets, minimum: 0}
source: {type: csv, path: "data/198.51.100.20/*.csv"}
labels: {column: label, normal: [normal]}
features: {columns: [bytes, packets]}
detector: {type: robust_zscore}
alerts: {budget: 1%}
sinks: [{type: jsonl, path: alerts.jsonl}]
tracking: {uri: "http://canary:canary-url-pass@127.0.0.1:1/?token=canary-query-token"}
"""
STAYS_HERE = {"data", "tocsin.yaml", "alerts.jsonl", "quarantine.jsonl", "names.jsonl", "secrets"}
"""Where it belongs: the telemetry, the config, alerts and refused rows of this machine, its table of names."""


@pytest.fixture
def leaky(folder: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site full of names and secrets."""
    (folder / "data" / IPV4[0]).mkdir(parents=True)
    (folder / "secrets").mkdir(mode=0o700)
    lines = ["time,host,mac,user,place,bytes,packets,label"]
    for row in range(1_200):
        leaks = row in range(1_000, 1_200, 40)
        size = 90_000 if leaks else rng.normal(1_000, 50)
        who = f'{[*IPV4, *IPV6][row % 30]},{MACS[row % 10]},{MAILS[row % 5]},"{PLACES[row % 5]}"'
        time = f"2026-03-02T{row // 60:02}:{row % 60:02}:00Z"
        lines.append(f"{time},{who},{size:.1f},{size // 100:.0f},{'leak' if leaks else 'normal'}")
    lines.insert(600, f'never,{IPV4[1]},{MACS[1]},{MAILS[1]},"{PLACES[1]}",-1,no,normal')
    (folder / "data" / IPV4[0] / f"rows_{MAILS[0]}_{IPV4[2]}.csv").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "data" / f"{IPV4[3]}.bin").write_bytes(f"{MAILS[2]}\0{IPV6[3]}".encode())
    (folder / "secrets" / "bearer").write_text(BEARER, "utf-8")
    (folder / "secrets" / "basic").write_text(f"canary:{BASIC}", "utf-8")
    (folder / "tocsin.yaml").write_text(SITE, "utf-8")
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return folder


def test_nothing_that_is_planted_is_found_elsewhere(leaky: Path, tocsin: Run) -> None:
    said = [tocsin(*words.split(), "--log-level", "debug") for words in daily(leaky)]
    said += [tocsin(*words.split(), "--log-level", "debug", "-c", config) for config, words in failures(leaky)]
    assert {done.returncode for done in said} <= {0, 1, 2}
    assert "Cleaned up." in str(said)
    texts = {" ".join(done.args) + " (log)": done.stderr.encode() for done in said}
    texts |= {" ".join(done.args): without_paths(done.stdout.encode()) for done in said}
    texts["counters"] = json.dumps(log.counters()).encode()
    texts |= {str(path.relative_to(leaky)): path.read_bytes() for path in files(leaky)}
    asked_for = [name for name in texts if name.endswith(("scores.csv", "predictions.csv"))]
    texts |= {name: without_paths(texts[name]) for name in asked_for}
    found = {name: hits for name, text in texts.items() if (hits := planted_in(text, leaky))}
    assert found == {}, json.dumps(found, indent=1)
    assert (len(texts) > 150, len(asked_for)) == (True, 2)
    assert (leaky / "alerts.jsonl").read_text("utf-8").count("198.51.100.") > 0, "the table of names works"


def daily(site: Path) -> Iterator[str]:
    """What an operator does on a good day."""
    rows = next((site / "data" / IPV4[0]).iterdir())
    yield from ("check", "check --connect", "data list", "data validate", "plan", "train --promote", "train", "gate")
    yield from ("evaluate --save-predictions", f"score {rows} --output scores.csv", "status", "status --json", "doctor")
    yield from ("models list", "models show 1", "models show 2 --json", "models diff 1 2", "models verify")
    yield from ("models promote 2", "models rollback", "models rebuild", "keys show", "keys rotate train", "train")
    yield from ("cleanup all", "cleanup all --max-age-hours 0 --max-age-days 0 --yes", "models list --json")


def failures(site: Path) -> Iterator[tuple[str, str]]:
    """A config that breaks a stage, and the command that meets it."""
    source = '{type: csv, path: "data/198.51.100.20/*.csv"}'
    prometheus = "{type: prometheus, url: 'http://canary:canary-url-pass@127.0.0.1:1', queries: {bytes: up}, last: 1h"
    changes = {
        "no_source.yaml": (source, f"{{type: csv, path: 'data/{MAILS[3]}/*.csv'}}"),
        "no_rows.yaml": (source, f"{{type: csv, path: 'data/{IPV4[3]}.bin'}}"),
        "no_server.yaml": (source, f"{prometheus}, step: 1m, token_file: secrets/bearer}}"),
        "no_user.yaml": (source, f"{prometheus}, step: 1m, token_file: secrets/basic}}"),
        "no_bucket.yaml": (source, "{type: object_store, url: 's3://canary:canary-url-pass@bucket/*.csv'}"),
        "no_word.yaml": ("labels:", f"password: {URL}\nlabels:"),
        "no_value.yaml": ("budget: 1%", "budget: '${TOCSIN_TRACKING}'"),
        "no_time.yaml": ("tracking:", "limits: {train_time: 1ms}\ntracking:"),
        "no_pass.yaml": ("tracking:", "gate: {recall: '< 0.5'}\ntracking:"),
        "no_place.yaml": ("tracking:", "registry: {path: 'ftp://canary:canary-url-pass@host/x'}\ntracking:"),
        "no_sink.yaml": ("alerts.jsonl", "tocsin.yaml"),
    }
    for name, (old, new) in changes.items():
        assert old in SITE
        (site / name).write_text(SITE.replace(old, new), "utf-8")
        yield from ((name, words) for words in ("check --connect", "train --no-plots", "status"))
    yield "no_sink.yaml", f"score data/{IPV4[3]}.bin"
    for path in (site / "registry").rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            path.write_bytes(path.read_bytes()[:-1] + b"x")
    yield from (("tocsin.yaml", words) for words in ("score data/*/*.csv", "models verify", "train", "status", "gate"))


def files(site: Path) -> Iterator[Path]:
    for path in site.rglob("*"):
        if path.is_file() and not STAYS_HERE & {*path.relative_to(site).parts} and path.suffix not in {".key", ".yaml"}:
            yield path
    yield from (site / "runs").rglob("*.yaml")


def planted_in(text: bytes, site: Path) -> list[str]:
    """What of all that is planted stands in some bytes, as they are or unpacked."""
    pems = [path.read_bytes() for path in site.rglob("*.key") if path.name != "site.key"]
    keys = [re.sub(rb"-----.*?-----|\s", b"", pem).decode() for pem in pems]
    site_key = (site / ".tocsin" / "site.key").read_bytes()
    wanted = [*PEOPLE, *SECRETS.values(), BEARER, BASIC, QUERY, URL, *keys, site_key.hex()]
    both = text + unpacked(text)
    return [item for item in wanted if item.encode() in both] + (["the site key"] if site_key in both else [])


def unpacked(text: bytes) -> bytes:
    try:
        return zlib.decompress(text)
    except zlib.error:
        return b""


def without_paths(text: bytes) -> bytes:
    """What a person asked for may name the files that it is about."""
    return re.sub(rb"[^\s,]*data/[^\s,]*", b"", text)


@pytest.mark.parametrize("word", ["1%", "robust_zscore"])
def test_a_value_from_the_environment_is_told_by_its_reference(word: str, leaky: Path, tocsin: Run) -> None:
    (leaky / "tocsin.yaml").write_text(SITE.replace(word, "'${DATABASE_URL}/'"), "utf-8")
    done = tocsin("check", "--connect")
    assert done.returncode > 0
    assert "database-pass" not in done.stdout + done.stderr
    assert "${DATABASE_URL}" in done.stdout
