"""`tocsin simulate` sends labelled rows where the config reads, and writes down the truth."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import orjson
import pytest
from tests.connections.mosquitto import mosquitto
from tests.connections.servers import NatsServer, RedisServer, documented, running

from tocsin.annotations import read_windows
from tocsin.checks.source import batches_of
from tocsin.connections.credentials import Credentials
from tocsin.connections.nats import NatsClient
from tocsin.sources.base import Source
from tocsin.sources.mqtt import Mqtt
from tocsin.sources.nats import Nats
from tocsin.sources.redis_stream import RedisStream
from tocsin.sources.sqlite_wal import SqliteWal

Tocsin = Callable[..., CompletedProcess[str]]


@pytest.fixture
def write(folder: Path) -> Callable[[str, str], Path]:
    def config(preset: str, source: str) -> Path:
        path = folder / "tocsin.yaml"
        path.write_text(f"version: 1\nname: sim\npreset: {preset}\nsource: {source}\n")
        return path

    return config


def test_rows_are_appended_to_the_file_of_the_source(tocsin: Tocsin, write: Callable[[str, str], Path]) -> None:
    write("flows", "{type: csv, path: live.csv}")
    for attack in ("scan", "flood"):
        told = tocsin("simulate", "--attack", attack, "--duration", "6h", "--rate", "8/day")
        assert told.returncode == 0, told.stderr
    with Path("live.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["tocsin_generated"] for row in rows} == {"true"}
    assert {row["label"] for row in rows} == {"normal", "scan", "flood"}
    windows = read_windows(Path("simulated.json"), None)
    assert [window.name for window in windows] == ["scan", "scan", "flood", "flood"]
    assert {window.entity for window in windows} <= {row["src_ip"] for row in rows}


def test_the_truth_labels_what_was_sent(tocsin: Tocsin, write: Callable[[str, str], Path]) -> None:
    config = write("services", "{type: csv, path: live.csv}")
    assert tocsin("simulate", "--attack", "error-storm", "--duration", "3d", "--rate", "2/day").returncode == 0
    config.write_text(config.read_text() + "labels: {windows: simulated.json}\n")
    told = tocsin("data", "validate", "--json")
    assert told.returncode == 0
    assert orjson.loads(told.stdout)["generated"]


def test_a_file_of_other_columns_and_one_of_other_things_are_left_alone(
    tocsin: Tocsin, write: Callable[[str, str], Path]
) -> None:
    write("flows", "{type: csv, path: live.csv}")
    Path("live.csv").write_text("a,b\n1,2\n")
    assert "columns a, b" in tocsin("simulate", "--attack", "scan", "--duration", "6h").stderr
    assert Path("live.csv").read_text() == "a,b\n1,2\n"
    Path("truth.json").write_text('{"precious": 1}')
    told = tocsin("simulate", "--attack", "scan", "--duration", "6h", "--to", "other.csv", "--truth", "truth.json")
    assert "wanted a JSON list of incidents" in told.stderr
    assert Path("truth.json").read_text() == '{"precious": 1}'
    assert not Path("other.csv").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--attack", "latency-spike"), "fits services"),
        (("--attack", "scan", "--rate", "1%"), "4/day"),
        (("--attack", "scan", "--duration", "soon"), "a duration"),
        (("--attack", "scan", "--to", "x.parquet"), ".csv or .jsonl"),
    ],
)
def test_what_cannot_be_done_is_said(
    tocsin: Tocsin, write: Callable[[str, str], Path], words: tuple[str, ...], said: str
) -> None:
    write("flows", "{type: csv, path: live.csv}")
    told = tocsin("simulate", *words)
    assert told.returncode != 0
    assert said in told.stderr
    assert not Path("live.csv").exists()


def test_event_time_runs_as_fast_as_it_is_told(tocsin: Tocsin, write: Callable[[str, str], Path]) -> None:
    write("flows", "{type: csv, path: live.csv}")
    begun = time.monotonic()
    words = ("--duration", "1h", "--rate", "24/day", "--speed-up", "1800", "--start", "2026-03-02T10:00:00")
    assert tocsin("simulate", "--attack", "scan", "--to", "fast.jsonl", *words).returncode == 0
    assert time.monotonic() - begun > 1.5
    first = orjson.loads(Path("fast.jsonl").read_bytes().splitlines()[0])
    assert first["timestamp"].startswith("2026-03-02T10:")


def test_mqtt_gets_envelopes_if_somebody_listens(
    tocsin: Tocsin, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    with mosquitto(tmp_path / "broker") as broker:
        write("flows", f"{{type: mqtt, url: '{broker.url}', topics: ['site/#'], client_id: site}}")
        nobody = tocsin("simulate", "--attack", "scan", "--duration", "6h")
        assert "No matching subscribers" in nobody.stderr
        source = Mqtt(url=broker.url, topics=("site/#",), client_id="site")
        source.open()
        assert sent(tocsin) == came(source)


def test_a_stream_of_nats_gets_them(tocsin: Tocsin, write: Callable[[str, str], Path], tmp_path: Path) -> None:
    with running(NatsServer(tmp_path / "broker", documented("NATS"))) as broker:
        write("flows", f"{{type: nats, url: '{broker.url}', stream: SITE, subject: 'site.>'}}")
        client = NatsClient(broker.url, Credentials())
        client.connect()
        client.make_stream("SITE", ["site.>"])
        client.close()
        rows = sent(tocsin)
        source = Nats(url=broker.url, stream="SITE", subject="site.>", consumer="test")
        source.open()
        assert rows == came(source)


@pytest.mark.parametrize("field", ["data", None])
def test_a_stream_of_redis_gets_them(
    tocsin: Tocsin, write: Callable[[str, str], Path], tmp_path: Path, field: str | None
) -> None:
    with running(RedisServer(tmp_path / "broker", documented("Redis"))) as broker:
        more = "" if field else ", field: null"
        write("flows", f"{{type: redis_stream, url: '{broker.url}', stream: site{more}}}")
        rows = sent(tocsin)
        source = RedisStream(url=broker.url, stream="site", group="test", field=field)
        source.open()
        assert rows == came(source)


def test_the_embedded_log_gets_them(tocsin: Tocsin, write: Callable[[str, str], Path]) -> None:
    write("flows", "{type: sqlite_wal, path: events.db, message: event}")
    assert sent(tocsin) == sum(batch.rows for batch in batches_of(SqliteWal(path="events.db", message="event")))


def sent(tocsin: Tocsin) -> int:
    told = tocsin("simulate", "--attack", "scan", "--duration", "6h", "--json")
    assert told.returncode == 0, told.stderr
    return int(orjson.loads(told.stdout)["rows"])


def came(source: Source) -> int:
    """Rows that a broker has for an open source, which is closed then."""
    rows = 0
    while batch := source.read(1.0):
        rows += batch.rows
        source.acknowledge(batch)
        source.confirm()
    source.close()
    return rows


def test_a_last_line_without_an_end_is_left_whole(tocsin: Tocsin, write: Callable[[str, str], Path]) -> None:
    write("flows", "{type: jsonl, path: live.jsonl}")
    Path("live.jsonl").write_bytes(b'{"whole": 1}')
    assert tocsin("simulate", "--attack", "scan", "--duration", "1h").returncode == 0
    first, second, *_ = Path("live.jsonl").read_bytes().splitlines()
    assert (orjson.loads(first), orjson.loads(second)["tocsin_generated"]) == ({"whole": 1}, True)


@pytest.mark.parametrize("header", [b"\xff\xfe,y\n", b"x" * 200_000])
def test_a_file_without_names_of_columns_is_refused(
    header: bytes, tocsin: Tocsin, write: Callable[[str, str], Path]
) -> None:
    write("flows", "{type: csv, path: live.csv}")
    Path("live.csv").write_bytes(header)
    refused = tocsin("simulate", "--attack", "scan", "--duration", "1h")
    assert (refused.returncode, "got no names of columns" in refused.stderr) == (1, True)
    assert Path("live.csv").read_bytes() == header


def test_nothing_is_sent_whose_truth_cannot_be_told(tocsin: Tocsin, write: Callable[[str, str], Path]) -> None:
    write("flows", "{type: csv, path: live.csv}")
    for words in (("--truth", "no/folder.json"), ("--start", "9999-12-31"), ("--start", "0001-01-01")):
        assert tocsin("simulate", "--attack", "scan", "--duration", "1h", *words).returncode in (1, 2)
    assert not Path("live.csv").exists()


def test_ctrl_c_tells_what_was_sent_by_then(
    tocsin: Tocsin, write: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    write("flows", "{type: csv, path: live.csv}")
    monkeypatch.setattr("tocsin.cli.simulate.time.sleep", interrupted)
    told = tocsin("simulate", "--attack", "scan", "--duration", "1h", "--speed-up", "1", "--json")
    sent = orjson.loads(told.stdout)["rows"]
    assert (told.returncode, len(Path("live.csv").read_text().splitlines())) == (1, sent + 1)
