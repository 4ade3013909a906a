"""Records per CPU second of the readers, alone and with schema and deduplication, beside peers; and their memory.

CSV and Parquet hold flows in the layout of Argus_V, Zeek a real conn.log again and again under fresh uids (the folder
of real data is named by TOCSIN_DATA), EVE flow events with all their keys, syslog lines of hostapd. The peers read the
same files: Polars the CSV, its numbers parsed and its times left text, and `csv` and `orjson` record by record without
keeping any. Memory is that of a child process above what it held before it read, at two sizes of file.
"""

from __future__ import annotations

import csv
import gzip
import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, cast

import numpy as np
import orjson
from benchmarks.features import held

from tocsin.component import PartSpec, build
from tocsin.presets import read_preset
from tocsin.schema import Schema
from tocsin.sources.base import Intake, Source
from tocsin.training.limits import peak_memory_bytes

ROWS, MORE_ROWS = 200_000, 800_000
REPEATS = 3
LEAST = {"csv": 200_000, "parquet": 200_000, "zeek": 50_000, "suricata_eve": 50_000, "syslog": 50_000}
"""Records per CPU second, wanted of source and intake."""
PRESETS = {
    "csv": "flows",
    "parquet": "flows",
    "zeek": "flows/zeek",
    "suricata_eve": "flows/suricata",
    "syslog": "wifi/logs",
}
PARAMETERS: dict[str, dict[str, Any]] = {"syslog": {"year": 2026}}
SPARE_BYTES = 16 << 20
"""By how much the peak may differ from file to file and still count as flat."""
HEADER = (
    "timestamp", "src_ip", "dst_ip", "src_port", "dst_port", "protocol",
    "bytes_in", "bytes_out", "packets_in", "packets_out", "duration",
)  # fmt: skip
SAID = (
    "IEEE 802.11: authenticated",
    "IEEE 802.11: associated (aid 1)",
    "WPA: pairwise key handshake completed (RSN)",
    "IEEE 802.11: disassociated",
    "IEEE 802.11: deauthenticated due to inactivity (timer DEAUTH/REMOVE)",
)

Figures = dict[str, float]


def main(out: Path) -> None:
    """Measure, print, write the JSON."""
    measured: dict[str, dict[str, Figures]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in LEAST:
            small, large = Path(folder, f"{kind}.small"), Path(folder, f"{kind}.large")
            write(kind, small, ROWS)
            write(kind, large, MORE_ROWS)
            ways = ("source", "intake", *PEERS.get(kind, {}))
            measured[kind] = {way: best([child(kind, way, small) for _ in range(REPEATS)]) for way in ways}
            for way, figures in measured[kind].items():
                figures["peak_bytes_of_the_larger"] = child(kind, way, large)["peak_bytes"]
                print(
                    f"{kind:<14}{way:<20}{figures['rows_per_cpu_s']:>12,.0f} a CPU second, peak "
                    f"{figures['peak_bytes'] / 2**20:.0f} MiB, {figures['peak_bytes_of_the_larger'] / 2**20:.0f} of "
                    f"{MORE_ROWS // ROWS} times the rows"
                )
            small.unlink()
            large.unlink()
    results = {"rows": [ROWS, MORE_ROWS], "measured": measured, "bars": bars(measured)}
    out.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))


def bars(measured: dict[str, dict[str, Figures]]) -> dict[str, bool]:
    met = {}
    for kind, least in LEAST.items():
        for way in ("source", "intake"):
            figures = measured[kind][way]
            met[f"{kind}, {way}: >= {least:,} a CPU second"] = figures["rows_per_cpu_s"] >= least
            grown = figures["peak_bytes_of_the_larger"] - figures["peak_bytes"]
            met[f"{kind}, {way}: memory flat in file size"] = grown <= SPARE_BYTES
    return met


def best(runs: list[Figures]) -> Figures:
    return max(runs, key=lambda run: run["rows_per_cpu_s"])


def child(kind: str, way: str, path: Path) -> Figures:
    code = f"from benchmarks.readers import measure; print(measure({kind!r}, {way!r}, {str(path)!r}))"
    folder = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=folder)
    return cast("Figures", orjson.loads(done.stdout.splitlines()[-1]))


def measure(kind: str, way: str, path: str) -> str:
    """Rows per second and the peak above what was held before, of one way through one file."""
    peer = PEERS.get(kind, {}).get(way)
    source = cast("Source", build("sources", PartSpec(kind, {"path": path, **PARAMETERS.get(kind, {})})))
    schema = Schema.model_validate(read_preset(PRESETS[kind])["schema"])
    if kind in ("csv", "parquet"):
        importlib.import_module("polars")  # what is only loaded is no memory of a reader
    Path("/proc/self/clear_refs").write_text("5", "ascii")  # the peak is what is held now (proc(5))
    before, cpu, wall = held(), process_time(), perf_counter()
    rows = peer(path) if peer else through_intake(source, schema) if way == "intake" else alone(source)
    cpu, wall = process_time() - cpu, perf_counter() - wall
    figures = {
        "rows": rows,
        "rows_per_cpu_s": rows / cpu,
        "rows_per_s": rows / wall,
        "peak_bytes": peak_memory_bytes() - before,
    }
    return orjson.dumps(figures).decode()


def alone(source: Source) -> int:
    rows = 0
    source.open()
    while not source.ended:
        batch = source.read(1.0)
        rows += batch.rows if batch else 0
    source.close()
    return rows


def through_intake(source: Source, schema: Schema) -> int:
    intake = Intake(source, schema)
    rows = sum(batch.rows for batch in intake)
    if intake.tally.received != rows:
        raise AssertionError(f"not every row went through: {intake.tally}")
    return rows


def polars_csv(path: str) -> int:
    import polars as pl

    return pl.read_csv(path).height


def dict_reader(path: str) -> int:
    with Path(path).open(newline="", encoding="utf-8") as file:
        return sum(1 for _ in csv.DictReader(file))


def orjson_loop(path: str) -> int:
    with Path(path).open("rb") as file:
        return sum(bool(orjson.loads(line)) for line in file)


def polars_parquet(path: str) -> int:
    import polars as pl

    return pl.read_parquet(path).height


PEERS: dict[str, dict[str, Callable[[str], int]]] = {
    "csv": {"Polars read_csv": polars_csv, "csv.DictReader": dict_reader},
    "parquet": {"Polars read_parquet": polars_parquet},
    "suricata_eve": {"orjson, line by line": orjson_loop},
}


def write(kind: str, path: Path, rows: int) -> None:
    """A file of so many records; the same for the same number."""
    if kind == "parquet":
        write_parquet(path, rows)
        return
    lines = {"csv": csv_lines, "zeek": zeek_lines, "suricata_eve": eve_lines, "syslog": syslog_lines}[kind]
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines(rows))


def flows(rows: int) -> Iterator[tuple[str, ...]]:
    """Times a tenth of a second apart, and the other values of a flow as text."""
    random = np.random.default_rng(0)
    for start in range(0, rows, ROWS):
        count = min(ROWS, rows - start)
        stamps = np.datetime64("2026-01-05", "us") + np.arange(start, start + count) * np.timedelta64(100, "ms")
        numbers = random.integers(0, 60_000, (count, 6)).astype(str)
        hosts = random.integers(1, 255, (count, 2)).astype(str)
        seconds = random.exponential(1.0, count).round(3).astype(str)
        yield from zip(
            stamps.astype(str).tolist(), *hosts.T.tolist(), *numbers.T.tolist(), seconds.tolist(), strict=True
        )


def csv_lines(rows: int) -> Iterator[str]:
    yield ",".join(HEADER)
    for time, src, dst, sport, dport, b_in, b_out, p_in, p_out, seconds in flows(rows):
        yield f"{time},192.0.2.{src},198.51.100.{dst},{sport},{dport},TCP,{b_in},{b_out},{p_in},{p_out},{seconds}"


def write_parquet(path: Path, rows: int) -> None:
    import polars as pl

    text = path.with_suffix(".csv")
    write("csv", text, rows)
    pl.read_csv(text).write_parquet(path, row_group_size=50_000)
    text.unlink()


def zeek_lines(rows: int) -> Iterator[str]:
    log = Path(os.environ["TOCSIN_DATA"], "zeek_stratosphere", "008-zeek-mixed", "data", "conn.log.labeled.gz")
    lines = gzip.decompress(log.read_bytes()).decode().splitlines()
    yield from (line for line in lines if line.startswith("#") and not line.startswith("#close"))
    records = [line.split("\t", 2) for line in lines if not line.startswith("#")]
    for row in range(rows):
        time, uid, rest = records[row % len(records)]
        yield f"{time}\t{uid}{row // len(records)}\t{rest}"


def eve_lines(rows: int) -> Iterator[str]:
    for row, (time, src, dst, sport, dport, b_in, b_out, p_in, p_out, _) in enumerate(flows(rows)):
        yield (
            f'{{"timestamp":"{time}+0000","flow_id":{10**15 + row},"in_iface":"eth0","event_type":"flow",'
            f'"src_ip":"192.0.2.{src}","src_port":{sport},"dest_ip":"198.51.100.{dst}","dest_port":{dport},'
            f'"proto":"TCP","app_proto":"tls","flow":{{"pkts_toserver":{p_in},"pkts_toclient":{p_out},'
            f'"bytes_toserver":{b_in},"bytes_toclient":{b_out},"start":"{time}+0000","end":"{time}+0000","age":0,'
            '"state":"closed","reason":"timeout","alerted":false},"tcp":{"tcp_flags":"1b","tcp_flags_ts":"1b",'
            '"tcp_flags_tc":"1b","syn":true,"fin":true,"psh":true,"ack":true,"state":"closed"}}'
        )


def syslog_lines(rows: int) -> Iterator[str]:
    for row, (time, src, dst, *_) in enumerate(flows(rows)):
        clock = f"Jan {5 + row // 864_000:>2} {time[11:19]}"
        station = f"02:00:00:00:{int(src):02x}:{int(dst):02x}"
        yield f"<30>{clock} ap{row % 5} hostapd[412]: wlan0: STA {station} {SAID[row % 5]}"
