from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sources.snmp_agent import everything

from tocsin import kernel
from tocsin.component import PartSpec, build
from tocsin.errors import ConfigError, DataError
from tocsin.sources import base_snmp_totals
from tocsin.sources.base_snmp_objects import SCALARS, TABLES, Values, reading
from tocsin.sources.base_snmp_polls import Access, address
from tocsin.sources.base_snmp_totals import TICKS, Clock, Count, Counts, Life, Totals, Uptime
from tocsin.sources.snmp import Snmp

IF, IFX, DISK, STORE = "1.3.6.1.2.1.2.2.1", "1.3.6.1.2.1.31.1.1.1", "1.3.6.1.4.1.2021.13.15.1.1", "1.3.6.1.2.1.25.2.3.1"
UPTIME = "1.3.6.1.2.1.1.3.0"
OCTETS = "net_bytes_in_counter"
INFINITE = float("inf")
TYPES = ("", "STRING: ", "Hex-STRING: ", "OID: ", "Counter32: ", "Timeticks: ")


# --- totals and uptimes -----------------------------------------------------------------------------------------------


def test_another_process_begins_with_a_total_that_fell() -> None:
    counts: dict[str, Counts] = {OCTETS: {("1",): Count(10**9, 32)}}
    assert Totals().follow(counts, "unknown") == {OCTETS: 1e9}
    assert Totals(resumed=True).follow(counts, "unknown") == {OCTETS: 0.0}


def test_where_nothing_ever_goes_on_the_total_never_stands_still() -> None:
    totals, told = Totals(resumed=True), []
    for poll in range(4):
        counts: Counts = {("1", str(poll)): Count(5, 32)}
        told.append(totals.follow({OCTETS: counts}, "ran_on")[OCTETS])
    np.testing.assert_array_equal(told, [0.0, np.nan, np.nan, np.nan])


def test_a_total_too_large_to_fall_by_one_falls_all_the_same() -> None:
    totals = Totals()
    counts: Counts = {("1",): Count(10**17, 64)}
    told = [totals.follow({OCTETS: counts}, "restarted")[OCTETS] for _ in range(3)]
    assert told[0] == 1e17
    assert (np.diff(told) < 0).all()


def test_totals_and_the_feature_rate_share_their_limits() -> None:
    # Compiled, the kernel's constants cannot be imported; its source is beside it in any case.
    tree = ast.parse(Path(kernel.__file__).with_name("rates.py").read_text(encoding="utf-8"))
    assigned = {
        ast.unparse(node.targets[0]): ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    }
    names = ("SHORT", "SLACK_S", "SLACK_SHARE")
    assert {name: getattr(base_snmp_totals, name) for name in names} == {name: assigned[name] for name in names}


LIVES = st.sampled_from(["ran_on", "ran_on", "ran_on", "unknown", "restarted"])
GROWTHS = st.dictionaries(st.integers(0, 3), st.integers(0, 2**30 - 1), max_size=4)


@given(st.lists(st.tuples(GROWTHS, LIVES, st.sampled_from([32, 64])), max_size=20), st.integers(0, 2**33))
def test_a_total_never_grows_by_more_than_the_truth(steps: list[tuple[dict[int, int], Life, int]], start: int) -> None:
    totals, raw, truth, last = Totals(), dict.fromkeys(range(4), start), 0, INFINITE
    for growths, life, bits in steps:
        raw = {index: (0 if life == "restarted" else raw[index]) + growths.get(index, 0) for index in raw}
        truth += sum(growths.values())
        counts: Counts = {(str(index), str(bits)): Count(raw[index] % 2**bits, bits) for index in growths}
        total = totals.follow({OCTETS: counts}, life)[OCTETS]
        if np.isnan(total):
            assert not counts or last == 0
            continue
        if last == INFINITE:
            assert total == sum(count.value for count in counts.values())
        elif life == "restarted" or total < last:
            assert total == last - 1
        else:
            assert total - last <= truth
        truth, last = 0, total


@given(st.lists(st.lists(st.integers(0, 2**30 - 1), min_size=2, max_size=2), min_size=1, max_size=20))
def test_a_total_of_counters_that_stay_is_the_truth(growths: list[list[int]]) -> None:
    totals, raw, began = Totals(), [2**32 - 5, 2**40], 2**32 - 5 + 2**40
    for first, second in [(0, 0), *growths]:
        raw = [raw[0] + first, raw[1] + second]
        counts: Counts = {("1",): Count(raw[0] % 2**32, 32), ("2",): Count(raw[1], 64)}
        assert totals.follow({OCTETS: counts}, "ran_on")[OCTETS] == sum(raw)
    assert sum(raw) == began + sum(map(sum, growths))


def clocks(*told: Clock, apart: float = 60.0) -> list[tuple[float, Life]]:
    uptime = Uptime()
    return [uptime.follow(clock, apart * number_) for number_, clock in enumerate(told)]


def test_a_clock_that_wraps_after_497_days_runs_on_where_a_second_one_says_so() -> None:
    before, behind = TICKS - 3_000, 3_000
    ran_on = [(before / 100, "unknown"), ((TICKS + behind) / 100, "ran_on")]
    assert clocks(Clock(before, engine_s=100), Clock(behind, engine_s=160)) == ran_on
    assert clocks(Clock(before, host_ticks=5), Clock(behind, host_ticks=6_005)) == ran_on
    alone = [(before / 100, "unknown"), (behind / 100, "restarted")]
    assert clocks(Clock(before), Clock(behind)) == alone
    assert clocks(Clock(before, boots=1, engine_s=9), Clock(behind, boots=2, engine_s=30))[1] == alone[1]


def test_the_engine_tells_how_often_a_clock_has_wrapped_before() -> None:
    assert clocks(Clock(500, engine_s=2 * TICKS // 100 + 5)) == [((2 * TICKS + 500) / 100, "unknown")]
    assert clocks(Clock(500, engine_s=1_000_000)) == [(5.0, "unknown")]


@pytest.mark.parametrize(
    ("before", "now", "life"),
    [
        (Clock(60_000), Clock(66_000), "ran_on"),
        (Clock(60_000), Clock(59_999), "restarted"),
        (Clock(100), Clock(3_000), "restarted"),  # up for 30 s, 60 s later
        (Clock(60_000, boots=3), Clock(66_000, boots=4), "restarted"),
        (Clock(60_000, engine_s=600), Clock(66_000, engine_s=5), "restarted"),
        (Clock(60_000), Clock(None), "unknown"),
    ],
)
def test_a_restart_is_told_by_whichever_clock_fell(before: Clock, now: Clock, life: Life) -> None:
    assert clocks(before, now)[1][1] == life


@given(st.integers(0, 2**33), st.integers(0, 10**8))
def test_a_clock_that_runs_on_makes_an_uptime_that_runs_on(start: int, step: int) -> None:
    one, other = start, start + step
    told = clocks(
        Clock(one % TICKS, engine_s=one // 100), Clock(other % TICKS, engine_s=other // 100), apart=step / 100
    )
    assert told == [(one / 100, "unknown"), (other / 100, "ran_on")]


# --- what the objects mean --------------------------------------------------------------------------------------------


def test_what_an_agent_does_not_have_is_missing_and_never_0() -> None:
    told = reading({UPTIME: 100})
    assert all(np.isnan(value) for value in told.gauges.values())
    assert not any(told.counts.values())


def test_loops_bundles_and_partitions_are_left_out() -> None:
    kinds = {1: 24, 2: 6, 3: 161, 4: 135}
    ports: Values = {f"{IF}.{column}.{n}": value for n, kind in kinds.items() for column, value in ((3, kind), (10, n))}
    names = ["sda", "sda1", "nvme0n1", "nvme0n1p2", "dm-0", "loop3", "sr0"]
    disks: Values = {f"{DISK}.{c}.{n}": v for n, name in enumerate(names) for c, v in ((2, name), (5, 10**n), (6, 0))}
    told = reading({**ports, **disks})
    assert [count.value for count in told.counts[OCTETS].values()] == [2]
    assert sum(count.value for count in told.counts["disk_reads_counter"].values()) == 1_000_101


def test_a_number_with_a_fraction_is_a_gauge_and_no_counter() -> None:
    told = reading({"1.3.6.1.2.1.25.1.6.0": 1.5, f"{IF}.10.1": 1.5})
    assert told.gauges["proc_count"] == 1.5
    assert told.counts[OCTETS] == {}


def test_64_bits_are_taken_where_there_are_such() -> None:
    told = reading({f"{IF}.10.1": 5, f"{IFX}.6.1": 2**40, f"{IF}.10.2": 7})
    assert sorted(told.counts[OCTETS].values()) == [(7, 32), (2**40, 64)]


def test_memory_is_told_by_the_storage_table_where_there_is_nothing_better() -> None:
    ram: Values = {
        f"{STORE}.2.1": "1.3.6.1.2.1.25.2.1.2",
        f"{STORE}.4.1": 4_096,
        f"{STORE}.5.1": 1_000,
        f"{STORE}.6.1": 250,
    }
    gauges = reading(ram).gauges
    assert [gauges[f"memory_{name}"] for name in ("total_kb", "used_kb", "free_kb", "used_pct")] == [
        4_000,
        1_000,
        3_000,
        25,
    ]
    assert np.isnan(gauges["swap_used_kb"])


def test_cores_are_taken_in_their_order() -> None:
    loads: Values = {f"1.3.6.1.2.1.25.3.3.1.2.{index}": load for index, load in ((10, 40), (9, 20), (196_608, 90))}
    gauges = reading(loads).gauges
    assert [gauges[f"cpu_core{core}_pct"] for core in range(3)] == [20, 40, 90]
    assert [gauges["cpu_avg_pct"], gauges["cpu_max_pct"]] == [50, 90]
    assert reading({"1.3.6.1.4.1.2021.11.11.0": 30}).gauges["cpu_avg_pct"] == 70


def test_any_values_make_a_reading() -> None:
    odd: list[int | str | bytes | float | None] = [-1, 2**64, "", "x", b"\xff", 0.5, None]
    for value in odd:
        names = [*SCALARS, *(f"{table}.{column}.1" for table in TABLES for column in range(1, 20))]
        told = reading(dict.fromkeys(names, value))
        assert all(count.value >= 0 for counts in told.counts.values() for count in counts.values())


# --- parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({}, "agents"),
        ({"agents": []}, "at least 1"),
        ({"agents": ["a"], "path": "walks/*.walk"}, "path"),
        ({"agents": ["a", "a"]}, "every agent once"),
        ({"agents": ["a:b"]}, "host or host:port, got 'a:b'"),
        ({"agents": ["a"], "interval": "50ms"}, "interval is 0.05 s, wanted at least 0.1 s"),
        ({"agents": ["a"], "user": "ann", "auth": "sha256"}, "auth with auth_file"),
        ({"agents": ["a"], "user": "ann", "priv": "aes128", "priv_file": "p"}, "priv only with auth"),
        ({"agents": ["a"], "auth": "md5", "auth_file": "p"}, "auth only with a user"),
        ({"agents": ["a"], "user": "ann", "community_file": "c"}, "not both"),
        ({"agents": ["a"], "user": "ann", "auth": "crc32", "auth_file": "p"}, "'crc32'"),
        ({"agents": ["a"] * 1_025}, "at most 1024"),
    ],
)
def test_parameters_that_do_not_fit_together_are_refused(parameters: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        build("sources", PartSpec("snmp", parameters))


@pytest.mark.parametrize(
    ("agent", "found"),
    [
        ("router", ("router", 161)),
        ("router:1161", ("router", 1161)),
        ("2001:db8::1", ("2001:db8::1", 161)),
        ("[2001:db8::1]:1161", ("2001:db8::1", 1161)),
    ],
)
def test_an_agent_is_a_host_with_or_without_a_port(agent: str, found: tuple[str, int]) -> None:
    assert address(agent) == found


@pytest.mark.parametrize("agent", ["", ":161", "a:0", "a:70000", "a b", "a:-1", "\x1b[2J"])
def test_what_is_no_host_is_no_agent(agent: str) -> None:
    with pytest.raises(ValueError, match="wanted agents as host or host:port"):
        address(agent)


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "nothing"),
        (b"\n", "nothing"),
        (b"sesame", "6 characters"),
        (b"\xff" * 9, "bytes that are not UTF-8"),
        (b"two\nlines of it", "2 lines"),
        (b"open\x1bsesame", "characters that cannot be printed"),
        (b"x" * 2_000, "more than 1,024 characters"),
        (None, "No such file or directory"),
    ],
)
def test_a_secret_that_is_none_is_told_by_its_file_alone(tmp_path: Path, content: bytes | None, got: str) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    source = Snmp(agents=("localhost",), user="ann", auth="md5", auth_file=str(path))
    with pytest.raises(ConfigError, match=r"\$\.source\.auth_file") as caught:
        source.open()
    assert f"secret: {got}, wanted one line with a password of at least 8 characters" in str(caught.value)
    assert "sesame" not in str(caught.value)


def test_a_walk_answers_in_the_place_of_an_agent(tmp_path: Path) -> None:
    texts = {
        "old and new": f"2026-01-05T00:00:00Z\n.{UPTIME} = 5\n2026-01-05T00:01:00Z\n.{UPTIME} = 700\n",
        "none": ".1.3.6.1.2.1.99.1 = 5\n",
        "broken": f".{UPTIME} = 5\nTimeout\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    source = Snmp(agents=tuple((tmp_path / name).as_uri() for name in (*texts, "absent")), samples=1)
    batches = everything(source)
    assert [batch["sys_uptime_sec"].tolist() for batch in batches if batch.rows] == [[7.0]]
    assert [(item.reason, item.detail[27:]) for batch in batches for item in batch.rejected] == [
        ("no_values", "an answer without any of the objects that were asked for"),
        ("no_answer", "line 2 is neither a time nor `.1.3... = value`"),
        ("no_answer", f"[Errno 2] No such file or directory: '{tmp_path / 'absent'}'"),
    ]


def test_secrets_are_in_no_repr() -> None:
    assert "sesame" not in repr(Access("sesame", "ann", "md5", b"sesame", "des", b"sesame"))


def test_a_closed_source_is_not_read() -> None:
    with pytest.raises(DataError, match="read of a closed source"):
        Snmp(agents=("localhost",)).read(0.0)
