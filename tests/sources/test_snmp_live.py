"""Debian's SNMP agent, polled while it runs, restarts, stops and goes on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest
from tests.sources.snmp_agent import HOSTS, Agent, device, everything, port, rates

from tocsin.errors import SourceLost
from tocsin.records import FILE, ROW, Batch
from tocsin.sources import base_snmp_objects
from tocsin.sources.base import Intake
from tocsin.sources.base_snmp_objects import COUNTERS, GAUGES
from tocsin.sources.snmp import Snmp
from tocsin.sources.snmp_walk import SnmpWalk

SNMPD = Path("/usr/sbin/snmpd")


class Snmpd:
    """Debian's agent, on a free port of this machine alone."""

    def __init__(self, folder: Path, number_: int = 0) -> None:
        self.folder = folder / f"snmpd{number_}"
        self.folder.mkdir()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            self.name = f"127.0.0.1:{free.getsockname()[1]}"
        (self.folder / "snmpd.conf").write_text(
            f"agentaddress udp:{self.name}\nrocommunity {self.folder} 127.0.0.1\nsyslocation {self.folder}\n"
            "createUser ann SHA-256 authenticate AES encrypted\nrouser ann priv\n"
        )
        (self.folder / "community").write_text(f"{self.folder}\n")
        (self.folder / "auth").write_text("authenticate\n")
        (self.folder / "priv").write_text("encrypted")
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [SNMPD, "-C", "-c", "snmpd.conf", "-Lf", "log", "-f"],
            cwd=self.folder,
            env={"SNMP_PERSISTENT_DIR": str(self.folder / "kept"), "MIBS": ""},
        )
        end = time.monotonic() + 20
        while self.process.poll() is None and time.monotonic() < end:
            # Its community is the name of its folder: nobody else answers to it.
            with suppress(SourceLost):
                source = self.source(samples=1, timeout=0.2)
                source.open()
                source.close()
                return
        raise AssertionError((self.folder / "log").read_text())

    def source(self, *others: str, **parameters: Any) -> Snmp:
        values: dict[str, Any] = {
            "timeout": 1.0,
            "retries": 0,
            "interval": 0.1,
            "community_file": f"{self.folder}/community",
        }
        return Snmp(agents=(self.name, *others), **(values | parameters))

    def stop(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


@pytest.fixture
def snmpd(tmp_path: Path, need: Callable[[bool, str], None]) -> Iterator[Snmpd]:
    need(SNMPD.exists(), "Debian's snmpd is not installed")
    agent = Snmpd(tmp_path)
    yield agent
    agent.stop()


def test_a_real_agent_fits_the_preset_hosts(snmpd: Snmpd) -> None:
    intake = Intake(snmpd.source(samples=2), HOSTS)
    first, second = list(intake)
    assert intake.tally.passed_on == 2
    assert intake.tally.reasons == {}
    assert first["device_id"].tolist() == [snmpd.name]
    memory = {line.split()[0]: int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines()}
    assert first["memory_total_kb"][0] == memory["MemTotal:"]
    assert 0 < first["memory_used_kb"][0] < memory["MemTotal:"] - first["memory_free_kb"][0]
    assert 0 < first["disk_used_pct"][0] <= 100
    assert 0 < first["sys_uptime_sec"][0] < 60
    assert first["proc_count"][0] > 1
    assert second["timestamp"][0] > first["timestamp"][0]
    known = {name for name in (*GAUGES, *COUNTERS) if np.isfinite(second[name][0])}
    assert {"load_1min", "swap_used_kb", "net_packets_out_counter", "net_drops_in_counter"} <= known


def test_version_3_authenticates_and_encrypts(snmpd: Snmpd) -> None:
    user = {"user": "ann", "auth": "sha256", "priv": "aes128", "community_file": None}
    files = {"auth_file": f"{snmpd.folder}/auth", "priv_file": f"{snmpd.folder}/priv"}
    (batch,) = everything(snmpd.source(samples=1, **user, **files))
    assert batch["sys_uptime_sec"][0] > 0
    wrong = snmpd.source(**user, **{**files, "auth_file": f"{snmpd.folder}/community"})
    with pytest.raises(SourceLost, match="authentication failed"):
        wrong.open()


def test_a_recorded_walk_tells_what_a_poll_tells(
    snmpd: Snmpd, tmp_path: Path, need: Callable[[bool, str], None]
) -> None:
    need(bool(which("snmpwalk")), "Debian's snmp is not installed")
    command = ["snmpwalk", "-v2c", "-c", str(snmpd.folder), "-m", "", "-On", "-ObentU", snmpd.name, ".1.3.6.1"]
    (polled,) = everything(snmpd.source(samples=1))
    recorded = subprocess.run(command, capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"]})
    walk = tmp_path / f"{snmpd.name}.walk"
    walk.write_text(f"2026-01-05T00:00:00+00:00\n{recorded.stdout}")
    (read,) = everything(SnmpWalk(path=str(walk)))
    assert read.rejected == ()
    for name in polled:
        if name in COUNTERS:
            assert np.isnan(polled[name]) or polled[name] <= read[name] <= polled[name] + 10**6
        elif name in GAUGES:
            assert np.isfinite(polled[name]) == np.isfinite(read[name])
    still = ("device_id", "memory_total_kb", "swap_used_kb")
    assert [read[name][0] for name in still] == [polled[name][0] for name in still]


def test_who_does_not_know_the_community_gets_no_answer_and_the_others_go_on(snmpd: Snmpd) -> None:
    with Agent(device(60)) as other:
        source = snmpd.source(other.name, samples=2, timeout=0.3, community_file=None)
        batches = everything(source)
    assert [batch.rows for batch in batches] == [1, 0, 1, 0]  # whoever answers does not wait for who does not
    rows = [(str(batch[FILE][0]), int(batch[ROW][0])) for batch in batches if batch.rows]
    refused = [(item.file, item.row, item.reason) for batch in batches for item in batch.rejected]
    assert rows == [(f"snmp {other.name}", 1), (f"snmp {other.name}", 2)]
    assert refused == [(f"snmp {snmpd.name}", 1, "no_answer"), (f"snmp {snmpd.name}", 2, "no_answer")]


def test_a_restart_in_the_middle_is_a_gap_and_no_spike(snmpd: Snmpd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_snmp_objects, "LEFT_OUT", frozenset[int]())  # all that moves here is the loopback
    time.sleep(3.0)  # the agent's clock must be able to fall by more than any clock may err
    began = loopback()
    batches = polled(snmpd.source(samples=8, interval=0.5), {3: snmpd.stop, 5: snmpd.start})
    assert [batch.rejected[0].reason if batch.rejected else "" for batch in batches] == [
        "", "", "", "no_answer", "no_answer", "", "", "",
    ]  # fmt: skip
    got = rates(batches)
    assert np.isnan(got).tolist() == [True, False, False, True, False, False]
    assert np.nanmin(got) >= 0
    assert np.nanmax(got) * 0.5 <= loopback() - began


def polled(source: Snmp, after: Mapping[int, Callable[[], None]]) -> list[Batch]:
    """All batches of a source; behind that many of them, something happens to the agent."""
    batches: list[Batch] = []
    source.open()
    while not source.ended:
        if (batch := source.read(1.0)) is None:
            continue
        batches.append(batch)
        source.acknowledge(batch)
        after.get(len(batches), lambda: None)()
    source.close()
    return batches


def loopback() -> int:
    (line,) = [line for line in Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith("lo:")]
    return int(line.split()[1])


def test_an_agent_that_stops_and_goes_on_loses_only_the_polls_between(snmpd: Snmpd) -> None:
    with Agent(device(60, port(1, 1_000))) as other:
        send = snmpd.process.send_signal
        source = snmpd.source(other.name, samples=4)
        seen = polled(source, {2: lambda: send(signal.SIGSTOP), 6: lambda: send(signal.SIGCONT)})
    of_snmpd = [batch for batch in seen if (batch[FILE][0] if batch.rows else batch.rejected[0].file)[5:] == snmpd.name]
    assert [batch.rows for batch in of_snmpd] == [1, 0, 0, 1]
    assert len(seen) == 8
    assert np.isfinite(rates(of_snmpd, "net_packets_in_counter")).tolist() == [False, True]


def test_counters_that_began_anew_with_a_real_agent_are_no_spike(snmpd: Snmpd, monkeypatch: pytest.MonkeyPatch) -> None:
    """One interface's octets as the agent is told to tell them: just below 2^32, and 500 after the restart."""
    monkeypatch.setattr(base_snmp_objects, "LEFT_OUT", frozenset[int]())
    told = (snmpd.folder / "snmpd.conf").read_text()
    whole = f"rocommunity {snmpd.folder} 127.0.0.1"
    narrow = told.replace(whole, f"{whole} -V narrow")
    narrow += "view narrow included .1\nview narrow excluded .1.3.6.1.2.1.31\n"

    def begin_at(octets: int) -> None:
        snmpd.stop()
        override = f"override .1.3.6.1.2.1.2.2.1.10.1 counter {octets}\n"
        (snmpd.folder / "snmpd.conf").write_text(narrow + override)
        snmpd.start()

    begin_at(2**32 - 1_000)
    time.sleep(3.0)
    batches = polled(snmpd.source(samples=6, interval=0.5), {3: lambda: begin_at(500)})
    assert float(batches[0]["net_bytes_in_counter"][0]) > 4e9, "what the agent was told to tell"
    got = rates(batches)
    assert np.isnan(got).tolist() == [True, False, False, True, False, False]
    assert 0 <= np.nanmin(got) <= np.nanmax(got) < 1e8, "no wrap of 4 GB is made of a restart"
