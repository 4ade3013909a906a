"""The columns of the founding systems are there by name: those that a preset takes, and those that it computes."""

from __future__ import annotations

from typing import Any

import pytest

from tocsin.config import Config, parse
from tocsin.model.catalogue import columns
from tocsin.model.design import Design


def config(preset: str) -> Config:
    return parse(f"version: 1\nname: a\npreset: {preset}\n")


def computed(preset: str) -> list[str]:
    return [column.name for column in columns(Design.of(config(preset)))]


def taken(preset: str) -> set[str]:
    fields = config(preset).schema_.fields
    return {name for field, item in fields.items() for name in (field, *item.aliases)}


MNEMOSYNE = (
    "timestamp", "src_ip", "dst_ip", "src_port", "dst_port", "protocol", "bytes_in", "bytes_out", "packets_in",
    "packets_out", "duration",
)  # fmt: skip
RETINA = (
    "window_start", "duration_seconds", "packet_count", "byte_count", "src_ip_anon", "dst_ip_anon", "protocol",
    "src_port", "dst_port", "src_flow_packets", "src_flow_bytes", "dst_flow_packets", "dst_flow_bytes",
)  # fmt: skip
HELIOS = (
    "event_count", "error_rate", "p50_latency_ms", "p95_latency_ms", "p99_latency_ms", "latency_std", "hour_of_day",
    "p95_p50_ratio", "p99_p95_ratio", "error_count", "log_event_count", "log_error_rate",
)  # fmt: skip
ANALYZER = ("signal_strength", "connection_time", "packet_loss", "hour_of_day", "day_of_week")
LINES = (
    "hour_of_day", "day_of_week", "minute_of_hour", "time_since_midnight", "is_weekend", "is_business_hours",
    "is_connection_event", "is_auth_event", "is_error_event", "mac_count", "ip_count", "message_length", "word_count",
    "special_char_count", "uppercase_ratio", "number_count", "unique_chars", "log_level_numeric", "process_frequency",
)  # fmt: skip
WINDOWS = (
    "auth_failures", "deauth_count", "beacon_count", "unique_mac_count", "unique_ssid_count",
    *(
        f"{count}_{window}"
        for count in ("connection_count", "error_count", "process_diversity")
        for window in ("5min", "15min", "1hour")
    ),
    "unique_macs_15min", "unique_macs_1hour",
)  # fmt: skip
FRAMES = (
    "frame_length", "timestamp", "ip_version", "ip_ihl", "ip_tos", "dscp", "ip_len", "ip_id", "ip_flags", "ip_frag",
    "ip_ttl", "ip_protocol", "ip_src", "ip_dst", "is_ip", "is_tcp", "is_udp", "is_icmp", "src_port", "dst_port",
    "tcp_seq", "tcp_ack", "tcp_dataofs", "tcp_reserved", "tcp_flags", "tcp_window", "tcp_chksum", "tcp_urgptr",
    "udp_len", "udp_chksum", "icmp_type", "icmp_code", "icmp_chksum", "is_wifi", "wifi_fc_type", "wifi_fc_subtype",
    "wifi_fc_to_ds", "wifi_fc_from_ds", "wifi_fc_more_frag", "wifi_fc_retry", "wifi_fc_pwr_mgt", "wifi_fc_more_data",
    "wifi_fc_protected", "wifi_fc_order", "wifi_duration_id", "wifi_addr1", "wifi_addr2", "wifi_addr3", "wifi_addr4",
    "wifi_tid", "payload_length",
)  # fmt: skip
NOISE = ("ip_id", "tcp_seq", "tcp_ack", "tcp_chksum", "udp_chksum", "icmp_chksum")


@pytest.mark.parametrize(
    ("preset", "names"),
    [("flows", MNEMOSYNE), ("flows", RETINA), ("services", HELIOS[:6]), ("frames", FRAMES)],
    ids=["mnemosyne", "retina", "helios", "networking_tester"],
)
def test_what_a_founding_system_writes_is_taken_under_its_names(preset: str, names: tuple[str, ...]) -> None:
    assert set(names) - taken(preset) == set()


@pytest.mark.parametrize(
    ("preset", "names"),
    [("services", HELIOS), ("wifi", ANALYZER), ("wifi/logs", LINES), ("wifi/logs", WINDOWS)],
    ids=["helios", "analyzer", "analyzer_lines", "analyzer_windows"],
)
def test_what_a_founding_system_computes_is_computed_under_its_names(preset: str, names: tuple[str, ...]) -> None:
    assert set(names) - set(computed(preset)) == set()


def test_each_service_is_judged_by_what_is_usual_at_this_hour_of_this_day() -> None:
    design = Design.of(config("services"))
    assert design.program(design.no_rows()).outputs == (
        "error_rate", "p50_latency_ms", "p95_latency_ms", "p99_latency_ms", "latency_std", "service_code",
        "hour_of_day", "day_of_week", "log_event_count",
    )  # fmt: skip


def test_links_are_told_apart_by_kind() -> None:
    fields = config("wifi").schema_.fields
    assert [fields[name].dtype for name in ("device_type", "connection_type")] == ["category", "category"]
    categories = [spec for spec in config("wifi").features.derive if spec.type == "category"]
    assert categories[0].parameters["columns"] == ["device_type", "connection_type"]


def test_numbers_that_say_nothing_of_a_frame_never_reach_the_model() -> None:
    assert set(computed("frames")) & set(NOISE) == set()


@pytest.mark.parametrize("preset", ["flows", "hosts", "services", "wifi", "frames"])
def test_a_preset_brings_whatever_a_training_needs(preset: str) -> None:
    brought = config(preset)
    assert brought.gate
    assert brought.detector.type
    numeric = [item for item in brought.schema_.fields.values() if item.dtype in ("float", "integer")]
    assert sum(item.minimum is not None for item in numeric) / len(numeric) > 0.9, "numbers have ranges"


LABELLED = " when labelled"
DECIDED: dict[str, tuple[dict[str, Any], str, dict[str, str]]] = {
    "flows": (
        {"type": "robust_zscore", "min_scale": 1.0},
        "3/day",
        {"anomaly_rate": "<= 20%", "roc_auc": f">= 0.8{LABELLED}"},
    ),
    "hosts": (
        {"type": "denoising_reconstruction"},
        "3/day",
        {"anomaly_rate": "<= 20%", "roc_auc": f">= 0.8{LABELLED}"},
    ),
    "services": (
        {
            "type": "context_residual",
            "each": "service_code",
            "context": ["hour_of_day", "day_of_week"],
            "upper": ["error_rate", "p50_latency_ms", "p95_latency_ms", "p99_latency_ms", "latency_std"],
            "recent": 12,
        },
        "3/week",
        {
            "precision": f">= 0.953{LABELLED}",
            "recall": f">= 0.871{LABELLED}",
            "false_positive_rate": f"<= 0.118{LABELLED}",
            "latency_p99": "<= 100ms",
        },
    ),
    "wifi": (
        {"type": "denoising_reconstruction"},
        "16/day",
        {
            "anomaly_rate": "<= 20%",
            "accuracy": f">= 0.8{LABELLED}",
            **dict.fromkeys(("precision", "recall", "f1"), f">= 0.7{LABELLED}"),
        },
    ),
    "frames": (
        {"type": "robust_zscore", "min_scale": 1.0},
        "10/day",
        {"anomaly_rate": "<= 20%", "macro_f1": f"> 0.75{LABELLED}"},
    ),
}
RANGES: dict[str, dict[str, tuple[float, float | None]]] = {
    "services": {"error_rate": (0, 1), "event_count": (0, None), "p99_latency_ms": (0, None)},
    "wifi": {
        "signal_strength": (-119, 20),
        "packet_loss": (0, 1),
        "retry_rate": (0, 1),
        "connection_time": (0, None),
    },
    "frames": {"frame_length": (0, 65_575), "ip_ttl": (0, 255), "dscp": (0, 63), "wifi_tid": (0, 15)},
    "flows": {"src_port": (0, 65_535), "bytes_in": (0, None), "duration_s": (0, None)},
    "hosts": {"cpu_avg_pct": (0, 100), "proc_name_diversity": (0, 1), "load_1min": (0, None)},
}


@pytest.mark.parametrize("preset", DECIDED)
def test_what_a_preset_decides_by_itself(preset: str) -> None:
    found = config(preset)
    assert (found.detector.to_json(), found.alerts.budget.text, dict(found.gate)) == DECIDED[preset]


@pytest.mark.parametrize("preset", RANGES)
def test_numbers_have_their_ranges(preset: str) -> None:
    fields = config(preset).schema_.fields
    assert {name: (fields[name].minimum, fields[name].maximum) for name in RANGES[preset]} == RANGES[preset]


@pytest.mark.parametrize("preset", RANGES)
def test_measured_numbers_have_units(preset: str) -> None:
    fields = config(preset).schema_.fields
    assert [name for name, item in fields.items() if item.dtype == "float" and not item.unit] == []
