from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from shutil import which
from threading import Thread
from typing import Any

import numpy as np
import pytest

from tocsin.checks import source as checks
from tocsin.component import PartSpec, build
from tocsin.errors import LimitExceeded, SourceLost
from tocsin.features.base import compile_program
from tocsin.features.rate import Rate
from tocsin.kernel.run import Kernel
from tocsin.presets import read_preset
from tocsin.records import FILE, ROW, Batch, Vector
from tocsin.schema import Schema
from tocsin.sources import base_snmp_agents, base_snmp_objects, base_snmp_polls
from tocsin.sources.base import Intake
from tocsin.sources.base_snmp_agents import SnmpAgents
from tocsin.sources.base_snmp_objects import COUNTERS, GAUGES
from tocsin.sources.base_snmp_polls import Access, Moment, Patience, Result, Unanswered, poll
from tocsin.sources.snmp import Snmp

HOSTS = Schema.model_validate(read_preset("hosts")["schema"])
SNMPD = Path("/usr/sbin/snmpd")
IF, IFX = "1.3.6.1.2.1.2.2.1", "1.3.6.1.2.1.31.1.1.1"
UPTIME = "1.3.6.1.2.1.1.3.0"
OCTETS = "net_bytes_in_counter"
NAN = float("nan")

# --- an agent that says what it is told, and the bytes of SNMP that it needs ------------------------------------------


def tlv(tag: int, body: bytes) -> bytes:
    length = bytes([len(body)]) if len(body) < 128 else b"\x82" + len(body).to_bytes(2, "big")
    return bytes([tag]) + length + body


def number(value: int, tag: int = 0x02) -> bytes:
    return tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def text(value: str) -> bytes:
    return tlv(0x04, value.encode())


def identifier(name: str) -> bytes:
    first, second, *steps = map(int, name.split("."))
    body = bytes([first * 40 + second])
    for step in steps:
        sevens = [step >> shift & 127 for shift in range(28, -1, -7)]
        while len(sevens) > 1 and not sevens[0]:
            del sevens[0]
        body += bytes([*(seven | 128 for seven in sevens[:-1]), sevens[-1]])
    return tlv(0x06, body)


def parts(body: bytes) -> Iterator[tuple[int, bytes]]:
    while body:
        tag, length, start = body[0], body[1], 2
        if length & 128:
            start += length & 127
            length = int.from_bytes(body[2:start], "big")
        yield tag, body[start : start + length]
        body = body[start + length :]


def named(body: bytes) -> str:
    steps, step = [body[0] // 40, body[0] % 40], 0
    for byte in body[1:]:
        step = step << 7 | byte & 127
        if not byte & 128:
            steps.append(step)
            step = 0
    return ".".join(map(str, steps))


def answer(ask: bytes, request: int, bindings: list[tuple[str, bytes]]) -> bytes:
    body = b"".join(tlv(0x30, identifier(name) + value) for name, value in bindings)
    return tlv(0x30, number(1) + tlv(0x04, ask) + tlv(0xA2, number(request) + number(0) + number(0) + tlv(0x30, body)))


def place(name: str) -> tuple[int, ...]:
    return tuple(map(int, name.split(".")))


class Agent:
    """Speaks version 2c: the truth of `objects`, unless `speak` says otherwise."""

    def __init__(self, objects: dict[str, bytes], speak: Callable[[bytes, int], Iterator[bytes]] | None = None) -> None:
        self.objects, self.speak, self.requests = objects, speak, 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.name = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = Thread(target=self._serve)

    def __enter__(self) -> Agent:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while data := (received := self._socket.recvfrom(65_535))[0]:
            self.requests += 1
            _, message = next(parts(data))
            (_, _), (_, ask), (kind, pdu) = parts(message)
            (_, request), (_, _), (_, most), (_, bindings) = parts(pdu)
            names = [named(next(parts(binding))[1]) for _, binding in parts(bindings)]
            code = int.from_bytes(request, "big")
            found = self._bulk(names[0], most[0]) if kind == 0xA5 else self._get(names)
            for datagram in self.speak(ask, code) if self.speak else [answer(ask, code, found)]:
                self._socket.sendto(datagram, received[1])

    def _get(self, names: list[str]) -> list[tuple[str, bytes]]:
        return [(name, self.objects.get(name, tlv(0x80, b""))) for name in names]

    def _bulk(self, name: str, most: int) -> list[tuple[str, bytes]]:
        behind = sorted((other for other in self.objects if place(other) > place(name)), key=place)
        return [(other, self.objects[other]) for other in behind[:most]] or [(name, tlv(0x82, b""))]


def port(index: int, octets: int, *, name: str = "", bits: int = 32, kind: int = 6) -> dict[str, bytes]:
    """An interface that counts octets."""
    wide = {f"{IFX}.6.{index}": number(octets, 0x46)} if bits == 64 else {}
    return {
        f"{IF}.2.{index}": text(name or f"eth{index}"),
        f"{IF}.3.{index}": number(kind),
        f"{IF}.10.{index}": number(octets % 2**32, 0x41),
        **wide,
    }


def device(seconds: float, *ports: dict[str, bytes]) -> dict[str, bytes]:
    found = {UPTIME: number(round(seconds * 100), 0x43)}
    for interface in ports:
        found |= interface
    return found


def everything(source: Snmp) -> list[Batch]:
    source.open()
    batches = []
    while not source.ended:
        if (batch := source.read(1.0)) is not None:
            batches.append(batch)
            source.acknowledge(batch)
    source.close()
    return batches


def asked(agent: str, *, patience: Patience | None = None) -> Result:
    who = Access("public")
    return asyncio.run(poll(agent, who, patience or Patience(0.3, 0, 3.0), lambda: Moment(0, 0.0)))


class Clockwork:
    """A clock that moves on only while somebody sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, before: Callable[[float], None] = lambda _: None) -> None:
        self.seconds, self._before = 0.0, before
        monkeypatch.setattr(SnmpAgents, "_elapsed", lambda _: self.seconds)
        monkeypatch.setattr(SnmpAgents, "_now", lambda _: 1.7e9 + self.seconds)
        monkeypatch.setattr(SnmpAgents, "_sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self._before(self.seconds)


def rates(batches: list[Batch], column: str = OCTETS, *, reset: str = "nan") -> Vector:
    """What the feature `rate` makes of the rows."""
    feature = build("features", PartSpec("rate", {"columns": [column], "uptime": "sys_uptime_sec", "reset": reset}))
    assert isinstance(feature, Rate)
    kernel = Kernel(compile_program(HOSTS, (), [feature], Batch({})))
    state, found = kernel.start(), []
    for batch in batches:
        if batch.rows:
            valid, refused = HOSTS.split(batch)
            assert not refused
            found += kernel.run(valid, state).values[:, 0].tolist()
    return np.array(found)


# --- a real agent -----------------------------------------------------------------------------------------------------


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
                source = self.source(polls=1, timeout=0.2)
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
    intake = Intake(snmpd.source(polls=2), HOSTS)
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
    (batch,) = everything(snmpd.source(polls=1, **user, **files))
    assert batch["sys_uptime_sec"][0] > 0
    wrong = snmpd.source(**user, **{**files, "auth_file": f"{snmpd.folder}/community"})
    with pytest.raises(SourceLost, match="authentication failed"):
        wrong.open()


def test_a_recorded_walk_tells_what_a_poll_tells(
    snmpd: Snmpd, tmp_path: Path, need: Callable[[bool, str], None]
) -> None:
    need(bool(which("snmpwalk")), "Debian's snmp is not installed")
    command = ["snmpwalk", "-v2c", "-c", str(snmpd.folder), "-m", "", "-On", "-ObentU", snmpd.name, ".1.3.6.1"]
    (polled,) = everything(snmpd.source(polls=1))
    recorded = subprocess.run(command, capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"]})
    walk = tmp_path / f"{snmpd.name}.walk"
    walk.write_text(f"2026-01-05T00:00:00+00:00\n{recorded.stdout}")
    (read,) = everything(Snmp(path=str(walk)))
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
        source = snmpd.source(other.name, polls=2, timeout=0.3, community_file=None)
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
    source, batches = snmpd.source(polls=8, interval=0.5), []
    source.open()
    while not source.ended:
        if (batch := source.read(1.0)) is None:
            continue
        batches.append(batch)
        source.acknowledge(batch)
        if len(batches) == 3:
            snmpd.stop()
        if len(batches) == 5:
            snmpd.start()
    source.close()
    assert [batch.rejected[0].reason if batch.rejected else "" for batch in batches] == [
        "", "", "", "no_answer", "no_answer", "", "", "",
    ]  # fmt: skip
    got = rates(batches)
    assert np.isnan(got).tolist() == [True, False, False, True, False, False]
    assert np.nanmin(got) >= 0
    assert np.nanmax(got) * 0.5 <= loopback() - began


def loopback() -> int:
    (line,) = [line for line in Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith("lo:")]
    return int(line.split()[1])


def test_an_agent_that_stops_and_goes_on_loses_only_the_polls_between(snmpd: Snmpd) -> None:
    with Agent(device(60, port(1, 1_000))) as other:
        source, seen = snmpd.source(other.name, polls=4), []
        source.open()
        while not source.ended:
            if (batch := source.read(1.0)) is None:
                continue
            seen.append(batch)
            source.acknowledge(batch)
            if len(seen) == 2:
                snmpd.process.send_signal(signal.SIGSTOP)
            if len(seen) == 6:
                snmpd.process.send_signal(signal.SIGCONT)
        source.close()
    of_snmpd = [batch for batch in seen if (batch[FILE][0] if batch.rows else batch.rejected[0].file)[5:] == snmpd.name]
    assert [batch.rows for batch in of_snmpd] == [1, 0, 0, 1]
    assert len(seen) == 8
    assert np.isfinite(rates(of_snmpd, "net_packets_in_counter")).tolist() == [False, True]


@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__)
def test_what_holds_of_every_source_holds_while_it_polls(
    check: Callable[[type[Snmp], Path], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with Agent(device(60, port(1, 1_000))) as one, Agent(device(70, port(1, 2_000))) as other:
        live = Snmp(agents=(one.name, other.name), polls=3, interval=0.1)
        monkeypatch.setattr(Snmp, "example", classmethod(lambda *_: Snmp(**live.parameters())))
        check(Snmp, tmp_path)


# --- counters over the wire, in minutes that pass at once -------------------------------------------------------------


def totals_of(polls: list[tuple[float, list[dict[str, bytes]]]], monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """The rows of one agent that answers with these uptimes and interfaces, a minute apart."""
    with Agent(device(polls[0][0], *polls[0][1])) as agent:

        def move_on(seconds: float) -> None:
            uptime, ports = polls[round(seconds / 60)]
            agent.objects = device(uptime, *ports)

        Clockwork(monkeypatch, before=move_on)
        return everything(Snmp(agents=(agent.name,), interval=60, polls=len(polls)))


def test_a_32_bit_wrap_on_the_wire_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [2**32 - 600, 2**32 + 600, 2**32 + 1_800]
    batches = totals_of([(60.0 * (n + 5), [port(1, octets)]) for n, octets in enumerate(steps)], monkeypatch)
    assert [int(batch[OCTETS][0]) for batch in batches] == steps
    np.testing.assert_allclose(rates(batches)[1:], 20.0)


@pytest.mark.parametrize("reset", ["nan", "from_zero"])
def test_an_index_with_another_name_is_another_interface(monkeypatch: pytest.MonkeyPatch, reset: str) -> None:
    polls = [
        (300.0, [port(1, 10**6), port(2, 500)]),
        (360.0, [port(1, 10**6 + 6_000), port(2, 10**9, name="wan")]),
        (420.0, [port(1, 10**6 + 12_000), port(2, 10**9 + 60, name="wan"), port(3, 7 * 10**8)]),
        (480.0, [port(1, 10**6 + 18_000), port(3, 7 * 10**8 + 600)]),
    ]
    np.testing.assert_allclose(rates(totals_of(polls, monkeypatch), reset=reset)[1:], [100, 101, 110])


def test_where_no_counter_went_on_there_is_no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["a", "a", "b", "b"]
    polls = [(300.0 + 60 * n, [port(1, 10**6 + 600 * n, name=name)]) for n, name in enumerate(names)]
    np.testing.assert_array_equal(rates(totals_of(polls, monkeypatch)), [NAN, 10, NAN, 10])


def test_a_table_that_is_absent_for_a_while_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [[port(1, 0)], [port(1, 600)], [], [port(1, 1_800)]]
    batches = totals_of([(300.0 + 60 * n, ports) for n, ports in enumerate(steps)], monkeypatch)
    assert np.isnan(batches[2][OCTETS][0])
    np.testing.assert_array_equal(rates(batches), [NAN, 10, NAN, 10])


def test_a_device_that_was_away_and_restarted_shows_no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    polls = [(90.0, [port(1, 500)]), (150.0, [port(1, 1_100)]), (30.0, [port(1, 9_000)]), (90.0, [port(1, 9_600)])]
    np.testing.assert_array_equal(rates(totals_of(polls, monkeypatch)), [NAN, 10, NAN, 10])


def test_another_process_goes_on_behind_the_position_and_tells_no_rate_over_its_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Agent(device(300, port(1, 10**9))) as agent:
        Clockwork(monkeypatch)
        first, second = (Snmp(agents=(agent.name,), polls=polls) for polls in (1, 2))
        first.open()
        before = first.read(1.0)
        assert before is not None
        position = first.acknowledge(before)
        first.close()
        agent.objects = device(360, port(1, 10**9 + 600))
        second.open(position)
        after = second.read(1.0)
        second.close()
    assert after is not None
    assert second.ended
    assert after[ROW].tolist() == [2]
    assert (before[OCTETS][0], after[OCTETS][0]) == (1e9, 0.0)


def test_what_nobody_acknowledges_is_held_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_snmp_agents, "MAX_HELD", 2)
    Clockwork(monkeypatch)
    with Agent(device(300)) as agent:
        source = Snmp(agents=(agent.name,))
        source.open()
        assert source.read(100.0) is not None
        assert source.read(100.0) is not None
        with pytest.raises(LimitExceeded, match="2 rows unacknowledged"):
            source.read(100.0)
        source.close()


def test_where_nobody_answers_the_first_poll_the_source_is_lost() -> None:
    with Agent({}) as agent:
        pass
    with pytest.raises(SourceLost, match=r"no agent that answers: .*connection refused.*, wanted an answer to the"):
        Snmp(agents=(agent.name, "no-such-host.invalid")).open()


# --- agents that mean harm --------------------------------------------------------------------------------------------


def falling(ask: bytes, request: int) -> bytes:
    return answer(ask, request, [(f"{IF}.2.{9 - n}", number(5)) for n in range(3)])


def flood(ask: bytes, request: int) -> Iterator[bytes]:
    for _ in range(20):
        time.sleep(0.05)
        yield answer(ask, request + 1, [(UPTIME, number(1))])


@pytest.mark.parametrize(
    ("speak", "reason"),
    [
        (lambda ask, request: iter(()), "no_answer"),
        (flood, "no_answer"),
        (lambda ask, request: iter([b"\x00\xffgarbage"]), "bad_answer"),  # the library's decoder panics
        (lambda ask, request: iter([b"\x30"]), "bad_answer"),
        (lambda ask, request: iter([answer(ask, request, [(UPTIME, number(5))])[:-3]]), "bad_answer"),
        (lambda ask, request: iter([answer(ask, request, [])]), "no_values"),
        (lambda ask, request: iter([answer(ask, request, [(f"{IF}.2.1", number(5))])]), "not_increasing"),
        (lambda ask, request: iter([falling(ask, request)]), "not_increasing"),
    ],
)
def test_an_agent_that_means_harm_is_refused_with_a_reason(
    speak: Callable[[bytes, int], Iterator[bytes]], reason: str
) -> None:
    with Agent({}, speak) as agent:
        values = asked(agent.name).values
    assert isinstance(values, Unanswered)
    assert values.reason == reason


def test_a_table_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_snmp_polls, "MAX_VALUES", 100)
    with Agent(device(60, *(port(n, n) for n in range(1, 100)))) as agent:
        values = asked(agent.name).values
    assert isinstance(values, Unanswered)
    assert (values.reason, values.detail) == ("too_large", f"more than 100 values in {IF}")


def test_an_agent_that_takes_its_time_for_every_answer_is_given_up() -> None:
    def slow(ask: bytes, request: int) -> Iterator[bytes]:
        time.sleep(0.1)
        yield answer(ask, request, [(f"{IF}.2.{time.monotonic_ns() % 2**31}", number(1))])

    with Agent({}, slow) as agent:
        values = asked(agent.name, patience=Patience(0.5, 0, 0.35)).values
    assert isinstance(values, Unanswered)
    assert values.reason == "too_slow"


def test_a_request_is_sent_again() -> None:
    lost = [True, True, False]

    def speak(ask: bytes, request: int) -> Iterator[bytes]:
        if not (lost.pop(0) if lost else False):
            yield answer(ask, request, [(UPTIME, number(100))])

    with Agent({}, speak) as agent:
        values = asked(agent.name, patience=Patience(0.2, 2, 3.0)).values
    assert not isinstance(values, Unanswered)
    assert values[UPTIME] == 100
