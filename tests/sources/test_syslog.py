from __future__ import annotations

import gzip
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.checks.source import batches_of
from tocsin.component import PartSpec, build
from tocsin.errors import ConfigError
from tocsin.presets import read_preset
from tocsin.records import ROW, Batch
from tocsin.schema import Schema
from tocsin.sources.base import Intake
from tocsin.sources.syslog import Syslog

STATION = "02:aa:bb:cc:dd:0e"
AT = "2026-01-05T00:00:00+00:00 ap1 "


def read(folder: Path, *lines: str | bytes, year: int | None = 2026) -> Batch:
    text = b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines)
    (folder / "messages").write_bytes(text + b"\n")
    (batch,) = batches_of(Syslog(path=str(folder / "messages"), year=year))
    return batch


def parts(batch: Batch) -> tuple[object, ...]:
    """Who wrote a line, and when."""
    names = ("timestamp", "host", "program", "process_id", "facility", "severity", "message")
    return tuple(None if (value := batch[name][0]) != value else value for name in names)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (
            "<30>Jan  5 23:59:58 ap1 hostapd[412]: wlan0: AP-ENABLED",
            ("2026-01-05T23:59:58", "ap1", "hostapd", "412", "daemon", 3 * 2, "wlan0: AP-ENABLED"),
        ),
        (
            "Jan 15 23:59:58 ap1 kernel: up",
            ("2026-01-15T23:59:58", "ap1", "kernel", None, None, None, "up"),
        ),
        (
            '<165>1 2026-01-05T22:14:15.003Z ap1 app 17 ID47 [a@1 b="c\\]" d="\\""][e@1] \ufeffhello',
            ("2026-01-05T22:14:15.003Z", "ap1", "app", "17", "local4", 5, "hello"),
        ),
        ("<0>1 - - - - - -", (None, None, None, None, "kern", 0, "")),
        (
            "2026-01-05T00:00:00.123456+01:00 fe80::1 sshd[7]: a: b",
            ("2026-01-05T00:00:00.123456+01:00", "fe80::1", "sshd", "7", None, None, "a: b"),
        ),
        (
            "Jan  1 00:00:12 ap1 daemon.info hostapd: up",
            ("2026-01-01T00:00:12", "ap1", "hostapd", None, "daemon", 6, "up"),
        ),
        (
            "Sat Jul 22 08:57:36 2023 authpriv.err dropbear[9]: bad",
            ("2023-07-22T08:57:36", None, "dropbear", "9", "authpriv", 3, "bad"),
        ),
        (
            "<29>Oct 10 21:20:01 hostapd: phy0-ap0: up",
            ("2026-10-10T21:20:01", None, "hostapd", None, "daemon", 5, "phy0-ap0: up"),
        ),
        (
            "Jan  5 00:00:00.250 ap1 last message repeated 3 times",
            ("2026-01-05T00:00:00.250", "ap1", None, None, None, None, "last message repeated 3 times"),
        ),
        ("Jan  5 00:00:00 ap1 cron:", ("2026-01-05T00:00:00", "ap1", "cron", None, None, None, "")),
    ],
)
def test_every_form_of_line_gives_its_parts(tmp_path: Path, line: str, wanted: tuple[object, ...]) -> None:
    assert parts(read(tmp_path, line)) == wanted


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("\tat java.base/Thread.run(Thread.java:833)", "not_syslog"),
        ("<999>Jan  5 00:00:00 ap1 x: y", "not_syslog"),
        ("<30>1 2026-01-05T00:00:00Z ap1 app", "not_syslog"),
        ("Jan  5 00:00 ap1 x: y", "not_syslog"),
        (b"Jan  5 00:00:00 ap1 x: caf\xe9", "not_utf8"),
        (b"Jan  5 00:00:00 ap1 x: \0\0", "nul_byte"),
        ("Jan  5 00:00:00 ap1 x: " + "y" * 1_100_000, "too_long"),
    ],
)
def test_what_is_no_line_of_a_log_is_refused_alone(tmp_path: Path, line: str | bytes, reason: str) -> None:
    batch = read(tmp_path, AT + "a: 1", line, "", AT + "b: 2")
    assert batch["program"].tolist() == ["a", "b"]
    assert batch[ROW].tolist() == [1, 4]
    assert [(item.row, item.reason) for item in batch.rejected] == [(2, reason)]
    assert len(batch.rejected[0].raw) <= 8_192


def test_a_date_without_a_year_is_refused_while_none_is_given(tmp_path: Path) -> None:
    batch = read(tmp_path, "Jan  5 00:00:00 ap1 a: 1", AT + "b: 2", year=None)
    assert batch["program"].tolist() == ["b"]
    assert [(item.reason, item.detail) for item in batch.rejected] == [
        ("no_year", "a date without a year, and the source has no `year`")
    ]


def test_a_log_runs_over_new_year_and_late_lines_stay_in_the_old_one(tmp_path: Path) -> None:
    dates = ["Nov 30", "Dec 31", "Jan  1", "Dec 31", "Jan  2", "Jun 30", "Dec 31", "Jan  1"]
    batch = read(tmp_path, *(f"{date} 12:00:00 ap1 a: b" for date in dates), year=2024)
    assert [time[:10] for time in batch["timestamp"].tolist()] == [
        "2024-11-30", "2024-12-31", "2025-01-01", "2024-12-31", "2025-01-02", "2025-06-30", "2025-12-31", "2026-01-01",
    ]  # fmt: skip


def test_files_may_be_read_newest_first_and_resumed(tmp_path: Path) -> None:
    (tmp_path / "messages").write_text("Jan  1 00:00:00 ap1 a: 3\nJan  2 00:00:00 ap1 a: 4\n")
    (tmp_path / "messages.1").write_text("Dec 30 00:00:00 ap1 a: 1\nDec 31 00:00:00 ap1 a: 2\n")
    source = Syslog(path=str(tmp_path / "messages*"), year=2026, rows=1)
    whole = [time for batch in batches_of(source) for time in batch["timestamp"].tolist()]
    assert [time[:10] for time in whole] == ["2026-01-01", "2026-01-02", "2025-12-30", "2025-12-31"]
    source.open()
    for _ in range(3):
        batch = source.read(0.1)
        assert batch is not None
        position = source.acknowledge(batch)
    assert [batch["timestamp"].tolist() for batch in batches_of(source, position)] == [whole[3:]]


@settings(max_examples=50, deadline=None)
@given(
    days=st.integers(0, 65_000),
    steps=st.lists(st.integers(-86_400, 100 * 86_400), max_size=30),
)
def test_times_come_back_as_they_were_whatever_the_year(days: int, steps: list[int]) -> None:
    moments = [datetime(1972, 1, 1, tzinfo=UTC) + timedelta(days=days)]
    for step in steps:
        moments.append(moments[-1] + timedelta(seconds=step))
    with tempfile.TemporaryDirectory() as folder:
        lines = (f"{moment:%b} {moment.day:>2} {moment:%H:%M:%S} ap1 a: b" for moment in moments)
        batch = read(Path(folder), *lines, year=moments[0].year)
    assert batch["timestamp"].tolist() == [moment.isoformat()[:19] for moment in moments]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=60), st.binary(max_size=60)), max_size=5))
def test_nothing_whatever_stops_the_reader(lines: list[str | bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        whole = [item.encode("utf-8", "surrogatepass") if isinstance(item, str) else item for item in lines]
        (Path(folder) / "messages").write_bytes(b"\n".join([AT.encode() + b"a: 1", *whole, b"", AT.encode() + b"b: 2"]))
        batches = batches_of(Syslog(path=f"{folder}/messages"))
    programs = [name for batch in batches for name in batch["program"].tolist()]
    assert (programs[0], programs[-1]) == ("a", "b")


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (f"wlan0: STA {STATION} IEEE 802.11: authenticated", "authenticated"),
        (f"wlan0: STA {STATION} IEEE 802.1X: authenticated - EAP type: 25 (PEAP)", "authenticated"),
        (f"wlan0: STA {STATION} IEEE 802.11: associated (aid 1)", "associated"),
        (f"phy1-ap0: STA {STATION} IEEE 802.11: disassociated due to inactivity", "disassociated"),
        (f"wlan0: STA {STATION} IEEE 802.11: deauthenticated due to local deauth request", "deauthenticated"),
        (f"wlan0: STA {STATION} IEEE 802.11: deauthenticated due to inactivity (timer DEAUTH/REMOVE)", "inactive"),
        (f"wlan0: STA {STATION} IEEE 802.11: disconnected due to excessive missing ACKs", "disconnected"),
        (f"wlan0: STA {STATION} IEEE 802.11: did not acknowledge authentication response", "unacknowledged"),
        (f"wlan0: STA {STATION} WPA: EAPOL-Key timeout", "unacknowledged"),
        (f"wlan0: STA {STATION} WPA: pairwise key handshake completed (RSN)", "key_handshake"),
        (f"wlan0: STA {STATION} WPA: invalid MIC in msg 2/4 of 4-Way Handshake", "auth_failure"),
        (f"wlan0: AP-STA-CONNECTED {STATION}", "connected"),
        (f"wlan0: AP-STA-DISCONNECTED {STATION}", "disconnected"),
        (f"wlan0: AP-STA-POSSIBLE-PSK-MISMATCH {STATION}", "auth_failure"),
        (f"wlan0: CTRL-EVENT-EAP-FAILURE2 {STATION}", "auth_failure"),
        ("wlan0: CTRL-EVENT-EAP-FAILURE EAP authentication failed", "auth_failure"),
        ("wlan0: WPA: 4-Way Handshake failed - pre-shared key may be incorrect", "auth_failure"),
        (f"wlan0: CTRL-EVENT-CONNECTED - Connection to {STATION} completed [id=0 id_str=]", "connected"),
        (f"wlan0: CTRL-EVENT-ASSOC-REJECT bssid={STATION} status_code=17", "association_rejected"),
        ("wlan0: CTRL-EVENT-BEACON-LOSS", "beacon_lost"),
        ("wlan0: AP-ENABLED", "enabled"),
        (f"wlan0: STA {STATION} RADIUS: starting accounting session DE4AD714668AF606", None),
        ("Configuration file: /etc/hostapd.conf", None),
    ],
)
def test_lines_of_hostapd_become_events(tmp_path: Path, message: str, event: str | None) -> None:
    batch = read(tmp_path, f"{AT}hostapd[412]: {message}", f"{AT}other[412]: {message}")
    assert batch["event"].tolist() == [event, None]
    assert batch["mac"].tolist() == [STATION if STATION in message else None] * 2
    if event:
        assert batch["interface"].tolist() == [message.partition(":")[0], None]


def test_flags_follow_the_event(tmp_path: Path) -> None:
    lines = [
        f"{AT}hostapd: wlan0: AP-STA-POSSIBLE-PSK-MISMATCH {STATION}",
        f"{AT}hostapd: wlan0: STA {STATION} IEEE 802.11: deauthenticated",
        f"{AT}hostapd: wlan0: STA {STATION} IEEE 802.11: associated (aid 1)",
        f"{AT}hostapd: Failed to set beacon parameters",
        f"<27>1 2026-01-05T00:00:00+00:00 ap1 other - - - beacon {STATION} deauthenticated",
    ]
    batch = read(tmp_path, *lines)
    flags = {name: batch[name].tolist() for name in batch if name.startswith("is_")}
    assert flags == {
        "is_auth_failure": [1, 0, 0, 0, 0],
        "is_deauth": [0, 1, 0, 0, 0],
        "is_beacon": [0, 0, 0, 1, 0],
        "is_connection_event": [0, 0, 1, 0, 0],
        "is_auth_event": [1, 0, 0, 0, 0],
        "is_error_event": [1, 0, 0, 1, 1],
    }


def test_codes_and_networks_are_read_where_a_line_states_them(tmp_path: Path) -> None:
    lines = [
        f"wlan0: CTRL-EVENT-DISCONNECTED bssid={STATION} reason=3 locally_generated=1",
        f"wlan0: CTRL-EVENT-ASSOC-REJECT bssid={STATION} status_code=17",
        f"wlan0: STA {STATION} MLME: MLME-DEAUTHENTICATE.indication({STATION}, 7)",
        f"wlan0: Trying to associate with {STATION} (SSID='my net' freq=2412 MHz)",
        'wlan0: CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid="cafe=3" auth_failures=1 duration=10 reason=WRONG_KEY',
    ]
    batch = read(tmp_path, *(f"{AT}wpa_supplicant[7]: {line}" for line in lines))
    np.testing.assert_array_equal(batch["reason_code"], [3, np.nan, 7, np.nan, np.nan])
    np.testing.assert_array_equal(batch["status_code"], [np.nan, 17, np.nan, np.nan, np.nan])
    assert batch["ssid"].tolist() == [None, None, None, "my net", "cafe=3"]


def test_the_text_is_measured(tmp_path: Path) -> None:
    messages = [f"Lease 10.0.0.7 to {STATION.upper()}, {STATION} (2)", "", "Zürich-Ost é!"]
    batch = read(tmp_path, *(f"<30>1 2026-01-05T00:00:00Z ap1 dhcpd - - - {message}" for message in messages))
    got = {name: batch[name].tolist() for name in batch}
    assert (got["mac_count"], got["ip_count"]) == ([1, 0, 0], [1, 0, 0])
    assert got["message_length"] == [58, 0, 13]
    assert got["word_count"] == [6, 0, 2]
    assert got["special_char_count"] == [16, 0, 2]
    assert got["number_count"] == [9, 0, 0]
    assert got["unique_chars"] == [len(set(message)) for message in messages]
    assert got["uppercase_ratio"] == pytest.approx([10 / 58, 0, 2 / 13])
    assert got["log_level_numeric"] == [1, 1, 1]


def test_a_compressed_log_fits_the_preset_and_its_text_is_not_kept(tmp_path: Path) -> None:
    lines = [f"Mar 29 0{hour}:30:00 ap1 hostapd: wlan0: AP-STA-CONNECTED {STATION}" for hour in (1, 3)]
    (tmp_path / "log.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    schema = Schema.model_validate({**read_preset("wifi/logs")["schema"], "timezone": "Europe/Berlin"})
    rows = Batch.concatenate(Intake(Syslog(path=f"{tmp_path}/*.gz", year=2026), schema))
    assert "message" not in rows
    assert rows["mac"].tolist() == [STATION] * 2
    first = datetime(2026, 3, 29, 0, 30, tzinfo=UTC).timestamp() * 1e6
    assert rows["timestamp"].tolist() == [first, first + 3_600e6]


@pytest.mark.parametrize("year", [1970, 2200])
def test_a_year_is_one_that_a_time_may_have(year: int) -> None:
    with pytest.raises(ConfigError, match=r"\$\.year"):
        build("sources", PartSpec("syslog", {"path": "messages", "year": year}))
