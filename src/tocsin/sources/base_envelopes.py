"""The envelopes in which AMOSKYS keeps flows and device telemetry: their layout, their checks, their columns.

An old `Envelope` and a newer `UniversalEnvelope` agree in the first four fields. The next three hold signatures and a
payload in one and messages in the other, so they are bytes here until something has to be known of them. Fields that
are not listed are skipped, those of later schemas as well.

Source: AMOSKYS, messaging_schema.proto and universal_telemetry.proto (package `messaging`), whose field numbers these
are; Protocol Buffers, Encoding; RFC 7693 (BLAKE2).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from operator import attrgetter
from typing import Any

import numpy as np
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from tocsin.records import SECOND, Column, Vector
from tocsin.schema.values import parse_times
from tocsin.sources.base_files import object_column

CHECKSUM_BYTES = 32
_SIGNATURE_BYTES = (0, 64)
"""None, or an Ed25519 signature (RFC 8032)."""

_LAYOUT = {
    "FlowEvent": {
        "src_ip": (1, "string"),
        "dst_ip": (2, "string"),
        "src_port": (3, "uint32"),
        "dst_port": (4, "uint32"),
        "protocol": (5, "string"),
        "bytes_sent": (6, "uint64"),
        "bytes_recv": (7, "uint64"),
        "flags": (8, "uint32"),
        "start_time": (9, "uint64"),
        "end_time": (10, "uint64"),
        "bytes_tx": (11, "uint64"),
        "bytes_rx": (12, "uint64"),
        "proto": (13, "string"),
        "duration_ms": (14, "uint32"),
    },
    "Label": {"key": (1, "string"), "value": (2, "string")},
    "MetricData": {
        "metric_name": (1, "string"),
        "numeric_value": (3, "double"),
        "string_value": (4, "string"),
        "boolean_value": (5, "bool"),
        "binary_value": (6, "bytes"),
        "labels": (8, "repeated Label"),
    },
    "TelemetryEvent": {"metric_data": (5, "MetricData")},
    "DeviceTelemetry": {
        "device_id": (1, "string"),
        "device_type": (2, "string"),
        "events": (5, "repeated TelemetryEvent"),
        "timestamp_ns": (7, "uint64"),
        "collection_agent": (8, "string"),
    },
    "Envelope": {
        "version": (1, "string"),
        "ts_ns": (2, "uint64"),
        "idempotency_key": (3, "string"),
        "flow": (4, "FlowEvent"),
        "sig_or_process": (5, "bytes"),
        "prev_sig_or_device": (6, "bytes"),
        "payload_or_batch": (7, "bytes"),
    },
}


def _messages() -> dict[str, Any]:
    file = FileDescriptorProto(name="tocsin/envelopes.proto", package="tocsin", syntax="proto3")
    for message, fields in _LAYOUT.items():
        described = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            label, _, inner = kind.rpartition(" ")
            one = described.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
            if label:
                one.label = FieldDescriptorProto.LABEL_REPEATED
            if inner in _LAYOUT:
                one.type, one.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".tocsin.{inner}"
            else:
                one.type = FieldDescriptorProto.Type.Value(f"TYPE_{inner.upper()}")
    pool = DescriptorPool()
    pool.Add(file)
    return {message: GetMessageClass(pool.FindMessageTypeByName(f"tocsin.{message}")) for message in _LAYOUT}


_MESSAGES = _messages()
Envelope, FlowEvent, DeviceTelemetry = (_MESSAGES[name] for name in ("Envelope", "FlowEvent", "DeviceTelemetry"))

_FLOW = (
    "src_ip",
    "dst_ip",
    "src_port",
    "dst_port",
    "flags",
    "protocol",
    "proto",
    "bytes_sent",
    "bytes_tx",
    "bytes_recv",
    "bytes_rx",
    "start_time",
    "end_time",
    "duration_ms",
)
_flow_fields = attrgetter(*_FLOW)
_metric_fields = attrgetter("metric_name", "numeric_value", "labels")


class BadEnvelope(Exception):
    """An envelope that cannot be used; becomes a `Rejected`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def checksum_of(data: bytes) -> bytes:
    """BLAKE2b-256, which the event bus keeps beside each envelope."""
    return blake2b(data, digest_size=CHECKSUM_BYTES).digest()


def opened(idem: object, data: object, checksum: object) -> Any:
    """The envelope in a row of the table, once its checksum and its idempotency key are those of the row.

    Agents keep a copy of the envelope in place of its checksum; that is taken too.

    Raises
    ------
    BadEnvelope
        If they are not, or if the bytes are no envelope.
    """
    if not isinstance(data, bytes):
        raise BadEnvelope("not_an_envelope", f"{type(data).__name__} where bytes should be")
    if checksum_of(data) != checksum and data != checksum:
        raise BadEnvelope("bad_checksum", "neither BLAKE2b-256 of the envelope nor a copy of it")
    envelope = _parsed(Envelope, data)
    if envelope.idempotency_key.encode() != idem:
        raise BadEnvelope("wrong_key", f"{idem!r:.80} in the table, {envelope.idempotency_key!r:.80} in the envelope")
    return envelope


def _parsed(kind: Any, data: bytes) -> Any:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise BadEnvelope("not_an_envelope", str(error)) from None


def flow_values(envelope: Any) -> tuple[Any, ...]:
    """What `flow_columns` needs of an envelope with a flow, also where an old agent put it as bytes.

    Raises
    ------
    BadEnvelope
        If it carries none.
    """
    flow = envelope.flow if envelope.HasField("flow") else _enclosed_flow(envelope)
    return (envelope.idempotency_key, envelope.ts_ns, *_flow_fields(flow))


def _enclosed_flow(envelope: Any) -> Any:
    if payload := envelope.payload_or_batch:
        try:
            flow = FlowEvent.FromString(payload)
        except DecodeError:
            flow = None
        # A batch of device telemetry also begins with a field that may read as text, but never has a second one.
        if flow is not None and flow.src_ip and flow.dst_ip:
            return flow
    raise _not_wanted(envelope, "flow")


def _not_wanted(envelope: Any, wanted: str) -> BadEnvelope:
    signatures = (envelope.sig_or_process, envelope.prev_sig_or_device)
    messages = envelope.HasField("flow") or envelope.payload_or_batch
    if messages or any(len(part) not in _SIGNATURE_BYTES for part in signatures):
        return BadEnvelope("other_message", f"an envelope of another kind, wanted one with a {wanted}")
    return BadEnvelope("no_payload", f"an envelope without payload, wanted one with a {wanted}")


def flow_columns(values: Sequence[tuple[Any, ...]]) -> dict[str, Column]:
    """Flows as the `flows` preset names them, each column (n,).

    A number that is not on the wire is 0, since proto3 writes no zeros. A duration that neither milliseconds nor both
    times tell is missing.
    """
    if not values:
        return {}
    given = dict(zip(("idempotency_key", "ts_ns", *_FLOW), zip(*values, strict=True), strict=True))

    def number(name: str, other: str = "") -> Column:
        column = np.array(given[name], dtype=np.uint64)
        return np.where(column > 0, column, np.array(given[other], dtype=np.uint64)) if other else column

    protocols = zip(given["protocol"], given["proto"], strict=True)
    return {
        "timestamp": number("start_time", "ts_ns"),
        "src_ip": object_column(given["src_ip"]),
        "dst_ip": object_column(given["dst_ip"]),
        "src_port": number("src_port"),
        "dst_port": number("dst_port"),
        "protocol": object_column([name or other for name, other in protocols]),
        "bytes_in": number("bytes_sent", "bytes_tx"),
        "bytes_out": number("bytes_recv", "bytes_rx"),
        "duration_s": _durations(number("start_time"), number("end_time"), number("duration_ms")),
        "flags": number("flags"),
        "idempotency_key": object_column(given["idempotency_key"]),
    }


def _durations(start: Column, end: Column, milliseconds: Column) -> Vector:
    # Writers use seconds, milliseconds or nanoseconds; the size says which.
    spanned = (parse_times(end, None)[0] - parse_times(start, None)[0]) / SECOND
    told = np.where((start > 0) & (end > 0), spanned, np.nan)
    return np.where(milliseconds > 0, milliseconds / 1_000, told)


def device_values(envelope: Any) -> dict[str, Any]:
    """The numeric metrics of one device at one moment, by name, beside `device_id` and `timestamp`.

    A metric with labels is named with them, `if_errors{port=3}`. Metrics whose value is text or bytes are left out;
    of two of the same name the later one stands.

    Raises
    ------
    BadEnvelope
        If the envelope carries no device telemetry, or one that cannot be read.
    """
    if envelope.HasField("flow") or envelope.payload_or_batch or not envelope.prev_sig_or_device:
        raise _not_wanted(envelope, "device_telemetry")
    device = _parsed(DeviceTelemetry, envelope.prev_sig_or_device)
    values: dict[str, Any] = {}
    for event in device.events:
        metric = event.metric_data
        name, number, labels = _metric_fields(metric)
        if not number:
            if metric.string_value or metric.binary_value:
                continue
            number = float(metric.boolean_value)
        if name:
            values[_named(name, labels) if labels else name] = number
    return values | {
        "timestamp": device.timestamp_ns or envelope.ts_ns,
        "device_id": device.device_id,
        "device_type": device.device_type,
        "collection_agent": device.collection_agent,
        "idempotency_key": envelope.idempotency_key,
    }


def _named(name: str, labels: Iterable[Any]) -> str:
    return f"{name}{{{','.join(sorted(f'{label.key}={label.value}' for label in labels))}}}"


def device_columns(values: Sequence[dict[str, Any]]) -> dict[str, Column]:
    """One column for every name, (n,); NaN where a device did not report it."""
    names = dict.fromkeys(name for row in values for name in row)
    return {name: _column([row.get(name, np.nan) for row in values]) for name in names}


def _column(values: list[Any]) -> Column:
    if isinstance(values[0], str):
        return object_column(values)
    return np.array(values, dtype=np.uint64 if isinstance(values[0], int) else np.float64)


READERS: dict[str, tuple[Any, Any]] = {
    "flow": (flow_values, flow_columns),
    "device": (device_values, device_columns),
}
"""By what an envelope carries: what is read of one, and the columns of several."""
