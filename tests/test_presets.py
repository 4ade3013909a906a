"""Every preset is whole, and takes the files of the systems it is made for."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tocsin.config import Config, parse
from tocsin.errors import ConfigError, SchemaError
from tocsin.model.design import Design
from tocsin.presets import presets, read_preset
from tocsin.records import Batch
from tocsin.system import check

FOLDER = Path(__file__).parents[1] / "src" / "tocsin" / "presets"

TRAINING_LAYOUT = {
    "timestamp": "2026-03-02T10:00:05Z",
    "src_ip": "192.0.2.1",
    "dst_ip": "192.0.2.9",
    "src_port": "51000",
    "dst_port": "443",
    "protocol": "TCP",
    "bytes_in": "1200",
    "bytes_out": "300",
    "packets_in": "10",
    "packets_out": "4",
    "duration": "2.5",
}
"""Argus_V: what its trainer reads."""
COLLECTED_LAYOUT = {
    "timestamp": "2026-03-02T10:00:05+00:00",
    "window_start": "2026-03-02T10:00:05+00:00",
    "window_end": "2026-03-02T10:00:10+00:00",
    "duration_seconds": "2.5",
    "packet_count": "14",
    "byte_count": "1500",
    "unique_flows": "1",
    "rate_pps": "2.8",
    "rate_bps": "2400",
    "src_ip_anon": "192.0.2.1",
    "dst_ip_anon": "192.0.2.9",
    "protocol": "TCP",
    "src_port": "51000",
    "dst_port": "443",
    "src_flow_packets": "10",
    "src_flow_bytes": "1200",
    "dst_flow_packets": "4",
    "dst_flow_bytes": "300",
}
"""Argus_V: what its collector, Retina, writes."""
SERVICE_LAYOUT = {
    "event_count": "950",
    "error_rate": "0.01",
    "p50_latency_ms": "25.0",
    "p95_latency_ms": "85.0",
    "p99_latency_ms": "135.0",
    "latency_std": "9.0",
    "hour_of_day": "10",
    "timestamp": "2026-03-02T10:00:00",
    "is_anomaly": "0",
}
"""Helios: what its trainer reads and its generator writes."""


def config(preset: str, more: str = "") -> Config:
    source = "" if "source" in read_preset(preset) else "type: csv, "
    return parse(f'version: 1\nname: a\npreset: {preset}\nsource: {{{source}path: "a.csv"}}\n{more}')


def typed(preset: str, row: dict[str, str]) -> Batch:
    raw = Batch({name: np.array([value], dtype=object) for name, value in row.items()})
    valid, refused = config(preset).schema_.split(raw)
    assert refused == ()
    return valid


def test_every_file_is_a_preset() -> None:
    files = {path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.yaml")}
    assert set(presets()) == files >= {"flows", "hosts", "services", "wifi", "frames"}


@pytest.mark.parametrize("preset", presets())
def test_a_preset_parses_fits_together_and_compiles(preset: str) -> None:
    parsed = config(preset)
    check(parsed)
    design = Design.of(parsed)
    program = design.program(design.no_rows())
    assert len(program.outputs) >= (1 if preset in ("kpi", "tabular") else 5)
    assert program.time == design.schema.time


@pytest.mark.parametrize("preset", presets())
def test_a_preset_says_what_it_is_for_and_names_units(preset: str) -> None:
    text = (FOLDER / f"{preset}.yaml").read_text("utf-8")
    assert text.startswith("# ")
    fields = config(preset).schema_.fields
    unitless = [
        name
        for name, item in fields.items()
        if re.search("bytes|packets|pkts|duration|latency", name)
        and item.dtype in ("float", "integer")
        and not item.unit
    ]
    assert unitless == []


@pytest.mark.parametrize("preset", presets())
def test_addresses_are_hidden_by_every_preset(preset: str) -> None:
    fields = config(preset).schema_.fields
    assert [name for name, item in fields.items() if item.dtype == "address" and not item.identity] == []


def test_both_layouts_of_flows_become_the_same_rows() -> None:
    one, other = typed("flows", TRAINING_LAYOUT), typed("flows", COLLECTED_LAYOUT)
    assert set(one) == set(other) == set(config("flows").schema_.fields)
    for name in one:
        assert one[name].tolist() == other[name].tolist(), name
    assert one["duration_s"].tolist() == [2.5]


def test_both_layouts_lie_side_by_side_in_one_folder(tmp_path: Path) -> None:
    from tocsin.sources.base import Intake
    from tocsin.sources.csv import Csv

    for name, row in (("one.csv", TRAINING_LAYOUT), ("other.csv", COLLECTED_LAYOUT)):
        (tmp_path / name).write_text(",".join(row) + "\n" + ",".join(row.values()) + "\n", "utf-8")
    rows = Batch.concatenate(Intake(Csv(path=str(tmp_path / "*.csv")), config("flows").schema_))
    assert rows["bytes_in"].tolist() == [1_200, 1_200]


def test_a_collected_window_without_the_totals_of_each_side_still_counts() -> None:
    row = {name: value for name, value in COLLECTED_LAYOUT.items() if "_flow_" not in name}
    found = typed("flows", row)
    assert (found["bytes_in"][0], found["packets_in"][0]) == (1_500, 14)
    assert np.isnan(found["bytes_out"][0]), "what was not told is missing, and never 0"


def test_the_services_preset_takes_what_the_generator_of_services_writes() -> None:
    found = typed("services", SERVICE_LAYOUT)
    assert (found["latency_std"][0], found["event_count"][0], found["service"][0]) == (9.0, 950.0, "")
    labelled = config("services", "labels: {column: is_anomaly}\n")
    assert labelled.labels is not None
    assert "0" in labelled.labels.normal


@pytest.mark.parametrize("lost", ["timestamp", "src_ip", "protocol", "bytes_in", "duration"])
def test_a_column_that_a_preset_needs_is_missed_by_name(lost: str) -> None:
    with pytest.raises(SchemaError, match=rf"no column .*'{lost}'"):
        typed("flows", {name: value for name, value in TRAINING_LAYOUT.items() if name != lost})


def test_an_unknown_preset_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError) as refused:
        read_preset("flows/zeke")
    assert refused.value.problem.hint == 'did you mean "flows/zeek"?'
    for name in ("../config", "/etc/passwd", "", "flows.yaml"):
        with pytest.raises(ConfigError):
            read_preset(name)


def test_a_preset_is_read_afresh_each_time() -> None:
    read_preset("flows")["schema"]["fields"].clear()
    assert read_preset("flows")["schema"]["fields"]


def test_a_variant_lies_on_the_preset_that_it_names() -> None:
    below, variant = read_preset("flows"), read_preset("flows/suricata")
    assert "preset" not in variant
    assert variant["schema"]["fields"]["bytes_in"] == below["schema"]["fields"]["bytes_in"]
    assert variant["schema"]["fields"].keys() - below["schema"]["fields"].keys() == {
        "flow_id",
        "app_proto",
        "flow_state",
    }
    assert (variant["detector"], variant["source"]) == (below["detector"], {"type": "suricata_eve"})
