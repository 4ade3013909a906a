"""`tocsin serve` as a process: what is sent rings, once; a kill loses nothing that was acknowledged."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from tests.server.conftest import LAST, telemetry

from tocsin.system.project import Project

SERVER = """\
server: {listen: "127.0.0.1:0", keys: keys.json}
"""
PLAIN = "from tocsin.cli import main; main()"
MORTAL = """\
from pathlib import Path
import uvicorn
tick = uvicorn.Server.on_tick
async def on_tick(server, counter):
    if Path("die").exists():
        raise RuntimeError("a defect")
    return await tick(server, counter)
uvicorn.Server.on_tick = on_tick
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    telemetry(folder)
    Project.load(folder / "tocsin.yaml").train(promote=True)
    with (folder / "tocsin.yaml").open("a", encoding="utf-8") as file:
        file.write(SERVER)
    return folder


def key(folder: Path, role: str) -> str:
    done = command(folder, "keys", "api", "new", "--role", role, "--json")
    told: dict[str, str] = json.loads(done.communicate()[0])
    return told["key"]


def command(folder: Path, *words: str, before: str = "") -> subprocess.Popen[str]:
    script = [sys.executable, "-c", before + PLAIN, *words]
    return subprocess.Popen(script, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@contextmanager
def served(folder: Path, before: str = "") -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its address, once it is ready."""
    with command(folder, "serve", before=before) as process:
        assert process.stderr
        address = next(found[1] for line in process.stderr if (found := re.search(r"listens.*address=(\S+)", line)))
        owner = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
        assert re.search(rf"{re.escape(address)} .*pid={process.pid},", owner)
        try:
            yield process, f"http://{address}"
        finally:
            process.kill()


def speaking(address: str, key: str) -> httpx.Client:
    return httpx.Client(base_url=address, headers={"authorization": f"Bearer {key}"}, trust_env=False, timeout=20)


def event(second: int, sent: float) -> dict[str, Any]:
    moment = (LAST + timedelta(seconds=second)).isoformat()
    return {"time": moment, "host": f"203.0.113.{second % 5 + 1}", "bytes": sent, "packets": int(sent // 100)}


def rung(client: httpx.Client, more_than: int = 0) -> list[dict[str, Any]]:
    """The alerts, once there are more than so many."""
    for _ in range(600):
        found: list[dict[str, Any]] = client.get("/v1/alerts").json()["alerts"]
        if len(found) > more_than:
            return found
        time.sleep(0.05)
    pytest.fail(f"nothing rang: {client.get('/v1/status').text}")


def test_events_ring_once_and_what_was_acknowledged_survives_a_kill(trained: Path) -> None:
    admin = key(trained, "admin")
    with served(trained) as (process, address), speaking(address, admin) as client:
        assert client.post("/v1/events", json=[event(number, 1_000.0) for number in range(300)]).status_code == 202
        assert client.post("/v1/events", json=[event(400, 9e6)]).status_code == 202
        first = rung(client)
        later = [event(number, 1_000.0) for number in range(1_900, 2_000)]
        assert client.post("/v1/events", json=[*later, event(2_000, 9e6)]).status_code == 202
        process.kill()
        process.wait()
    with served(trained) as (process, address), speaking(address, admin) as client:
        alerts = rung(client, len(first))
        assert {alert["id"] for alert in first} < {alert["id"] for alert in alerts}
        assert client.get("/v1/status").json()["stream"]["rows"]["received"] >= 402
        assert httpx.get(f"{address}/v1/alerts", trust_env=False).status_code == 401
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(20) == 0
    lines = (trained / "alerts.jsonl").read_text("utf-8").splitlines()
    ids = [json.loads(line)["id"] for line in lines]
    assert sorted(set(ids)) == sorted(alert["id"] for alert in alerts)


def test_a_service_whose_server_dies_ends_so_that_it_is_started_again_and_loses_nothing(trained: Path) -> None:
    admin = key(trained, "admin")
    with served(trained, MORTAL) as (process, address), speaking(address, admin) as client:
        before = client.get("/v1/status").json()["stream"]["rows"]["received"]
        sent = [event(number, 1_000.0) for number in range(3_000, 3_050)]
        assert client.post("/v1/events", json=sent).status_code == 202
        (trained / "die").touch()
        told = process.communicate(timeout=60)[1]
        (trained / "die").unlink()
    assert process.returncode == 1
    assert "Thread died" in told
    assert "start it again" in told
    with served(trained) as (_, address), speaking(address, admin) as client:
        for _ in range(600):
            received = client.get("/v1/status").json()["stream"]["rows"]["received"]
            if received == before + 50:
                return
            time.sleep(0.05)
    pytest.fail(f"{received - before} of 50 events")


def test_an_address_that_is_taken_is_named(trained: Path) -> None:
    with served(trained) as (_, address):
        text = (trained / "tocsin.yaml").read_text("utf-8").replace("127.0.0.1:0", address.removeprefix("http://"))
        (trained / "second.yaml").write_text(text.replace("follow: 1h", "journal: second"), "utf-8")
        with command(trained, "serve", "-c", "second.yaml") as second:
            told = second.communicate()[1]
        assert second.returncode == 1
        assert "$.server.listen" in told
