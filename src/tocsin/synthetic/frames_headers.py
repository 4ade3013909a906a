"""Frames written out layer by layer, as a capture takes them apart: what the generator of frames is made of.

A layer that a frame does not have is missing. Lengths add up as they do on the wire, and a fragment has the transport
header only if it is the first.

Source: RFC 791, 792, 768, 9293 (IP, ICMP, UDP, TCP); IEEE 802.11-2020, clause 9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tocsin.records import Column, Mask

COLUMNS = (
    "timestamp", "frame_length", "ip_version", "ip_ihl", "ip_tos", "dscp", "ip_len", "ip_id", "ip_flags", "ip_frag",
    "ip_ttl", "ip_protocol", "ip_src", "ip_dst", "is_ip", "is_tcp", "is_udp", "is_icmp", "src_port", "dst_port",
    "tcp_seq", "tcp_ack", "tcp_dataofs", "tcp_reserved", "tcp_flags", "tcp_window", "tcp_chksum", "tcp_urgptr",
    "udp_len", "udp_chksum", "icmp_type", "icmp_code", "icmp_chksum", "is_wifi", "wifi_fc_type", "wifi_fc_subtype",
    "wifi_fc_to_ds", "wifi_fc_from_ds", "wifi_fc_more_frag", "wifi_fc_retry", "wifi_fc_pwr_mgt", "wifi_fc_more_data",
    "wifi_fc_protected", "wifi_fc_order", "wifi_duration_id", "wifi_addr1", "wifi_addr2", "wifi_addr3", "wifi_addr4",
    "wifi_tid", "payload_length",
)  # fmt: skip
TEXTS = ("ip_src", "ip_dst", "wifi_addr1", "wifi_addr2", "wifi_addr3", "wifi_addr4")

ICMP, TCP, UDP = 1, 6, 17
SYN, RST, SYN_ACK, ACK, FIN_ACK, PSH_ACK = 2, 4, 18, 16, 17, 24
MANAGEMENT, CONTROL, DATA = 0, 1, 2
ACKNOWLEDGEMENT = (CONTROL, 13)
POINTS = "02:00:5e:00:ff:"
"""How addresses of access points begin."""

Names = NDArray[Any]
Whole = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Packets:
    """What is on the wire before headers are written; every array has shape (n,)."""

    times: Whole
    source: Names
    target: Names
    protocol: Whole
    source_port: Whole
    target_port: Whole
    payload: Whole
    """Bytes of this frame behind its IP and transport headers."""
    flags: Whole
    """Of TCP."""
    dscp: Whole
    offset: Whole
    """Of a fragment, in units of 8 bytes."""
    datagram: Whole
    """Bytes of the whole that a fragment is a part of; 0: the frame is no fragment."""


@dataclass(frozen=True, slots=True)
class Transmissions:
    """802.11 frames of one type and subtype; every array has shape (n,)."""

    times: Whole
    kind: tuple[int, int]
    source: Names
    target: Names
    body: Whole
    """Bytes behind the header."""


def on_the_wire(rng: np.random.Generator, packets: Packets) -> dict[str, Column]:
    """IP packets in Ethernet frames."""
    rows, first = len(packets.times), packets.offset == 0
    tcp, udp, icmp = (first & (packets.protocol == protocol) for protocol in (TCP, UDP, ICMP))
    old = rng.random(rows) < 0.4  # a system that begins with 128 hops and sends no time stamps
    begins = np.isin(packets.flags, (SYN, SYN_ACK))
    words = np.where(begins, np.where(old, 8, 10), np.where(old | (packets.flags == RST), 5, 8))
    length = 20 + np.select([tcp, udp | icmp], [4 * words, np.full(rows, 8)], 0) + packets.payload
    whole = packets.datagram == 0
    more = ~whole & (8 * packets.offset + length - 20 < packets.datagram)
    outside = ~np.char.startswith(packets.source.astype(str), "10.")
    tos = 4 * packets.dscp + np.where(tcp & ~begins & (rng.random(rows) < 0.3), 2, 0)
    values: dict[str, Any] = {
        "timestamp": packets.times,
        "frame_length": np.maximum(60, 14 + length),
        "ip_version": np.full(rows, 4),
        "ip_ihl": np.full(rows, 5),
        "ip_tos": tos,
        "dscp": tos // 4,
        "ip_len": length,
        "ip_id": rng.integers(0, 65_536, rows),
        "ip_flags": np.select([more, whole & (tcp | (rng.random(rows) < 0.5))], [1, 2], 0),
        "ip_frag": packets.offset,
        "ip_ttl": np.where(old, 128, 64) - rng.integers(0, 2, rows) - outside * rng.integers(6, 20, rows),
        "ip_protocol": packets.protocol,
        "ip_src": packets.source,
        "ip_dst": packets.target,
        "is_tcp": tcp,
        "is_udp": udp,
        "is_icmp": icmp,
        "src_port": np.where(tcp | udp, packets.source_port, np.nan),
        "dst_port": np.where(tcp | udp, packets.target_port, np.nan),
        "udp_len": np.where(udp, np.where(whole, 8 + packets.payload, packets.datagram), np.nan),
        "icmp_type": np.where(icmp, rng.choice([0, 8], rows), np.nan),
        "icmp_code": np.where(icmp, 0.0, np.nan),
        "payload_length": packets.payload,
    }
    window = np.where(begins, rng.choice([64_240, 65_535, 29_200, 8_192, 1_024], rows), rng.integers(200, 65_536, rows))
    segment: dict[str, Any] = {
        "tcp_seq": rng.integers(0, 2**32, rows),
        "tcp_ack": rng.integers(0, 2**32, rows) * ((packets.flags & ACK) > 0),
        "tcp_dataofs": words,
        "tcp_reserved": np.zeros(rows),
        "tcp_flags": packets.flags,
        "tcp_window": window * (packets.flags != RST),
        "tcp_urgptr": np.zeros(rows),
    }
    sums = {f"{name}_chksum": rng.integers(1, 65_536, rows) for name in ("tcp", "udp", "icmp")}
    values |= {name: np.where(tcp, column, np.nan) for name, column in segment.items()}
    values |= {name: np.where(values[f"is_{name[:-7]}"], column, np.nan) for name, column in sums.items()}
    return _columns(values, rows)


def in_the_air(rng: np.random.Generator, sent: Transmissions) -> dict[str, Column]:
    """802.11 frames; only data has a payload, and nobody can read it."""
    rows, (number, subtype) = len(sent.times), sent.kind
    data, names_sender = number == DATA, sent.kind != ACKNOWLEDGEMENT
    # An acknowledgement and other control frames; addresses and sequence; those, QoS, cipher header and check.
    header = {MANAGEMENT: 24, CONTROL: 16 if names_sender else 10, DATA: 42}[number]
    up = np.char.startswith(sent.target.astype(str), POINTS)
    nobody = np.full(rows, "", dtype=object)
    values: dict[str, Any] = {
        "timestamp": sent.times,
        "frame_length": header + sent.body,
        "wifi_fc_type": np.full(rows, number),
        "wifi_fc_subtype": np.full(rows, subtype),
        "wifi_fc_to_ds": up & data,
        "wifi_fc_from_ds": ~up & data,
        "wifi_fc_more_frag": np.zeros(rows),
        "wifi_fc_retry": (rng.random(rows) < 0.15) & (number != CONTROL),
        "wifi_fc_pwr_mgt": up & (rng.random(rows) < 0.2),
        "wifi_fc_more_data": ~up & data & (rng.random(rows) < 0.1),
        "wifi_fc_protected": np.full(rows, data),
        "wifi_fc_order": np.zeros(rows),
        "wifi_duration_id": rng.choice([0, 44, 48, 60, 314], rows) + (number == CONTROL) * rng.integers(0, 300, rows),
        "wifi_addr1": sent.target,
        "wifi_addr2": sent.source if names_sender else nobody,
        "wifi_addr3": nobody if number == CONTROL else np.where(up, sent.target, sent.source),
        "wifi_tid": rng.choice([0, 0, 0, 5, 6], rows) if data else np.full(rows, np.nan),
        "payload_length": sent.body if data else np.zeros(rows),
    }
    return _columns(values, rows)


def _columns(values: dict[str, Any], rows: int) -> dict[str, Column]:
    """All columns of a frame in their order; what a layer would hold is missing where the layer is."""
    none: Mask = np.zeros(rows, dtype=bool)
    known = {
        "is_tcp": none,
        "is_udp": none,
        "is_icmp": none,
        **values,
        "is_ip": ~none if "ip_len" in values else none,
        "is_wifi": ~none if "wifi_fc_type" in values else none,
    }
    columns: dict[str, Column] = {}
    for name in COLUMNS:
        if name in TEXTS:
            columns[name] = known.get(name, np.full(rows, "", dtype=object))
        elif name == "timestamp":
            columns[name] = known[name]
        else:
            columns[name] = np.asarray(known.get(name, np.full(rows, np.nan)), dtype=np.float64)
    return columns
