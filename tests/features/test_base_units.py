"""The unit of a computed column follows from those of what it was computed from."""

from __future__ import annotations

from tocsin.config import parse
from tocsin.features.base_units import _RULES, units
from tocsin.kernel.plan import _KINDS
from tocsin.model.design import Design

CONFIG = """\
version: 1
name: units
schema:
  time: time
  entity: host
  fields:
    time: {dtype: time}
    host: {dtype: address, identity: true}
    octets: {dtype: integer, unit: bytes, kind: counter, minimum: 0}
    frames: {dtype: integer, unit: packets, kind: counter, minimum: 0}
    load: {unit: pct, minimum: 0}
    failures: {unit: ratio, minimum: 0}
    port: {dtype: integer}
features:
  derive:
    - {type: rate, columns: [octets, frames, load]}
    - {type: ratio, numerator: octets_per_s, denominator: frames_per_s, name: size}
    - {type: ratio, numerator: load, denominator: frames, name: odd}
    - {type: rolling, columns: [load], statistics: [mean, count], windows: [1m]}
    - {type: rolling, statistics: [count], windows: [1m]}
    - {type: product, left: frames, right: failures, name: failed}
    - {type: linear, column: load, name: part, factor: 0.01, unit: ratio}
    - {type: log_scale, columns: [load]}
    - {type: rolling, columns: [log_load], statistics: [mean, max, std, sum], windows: [1m]}
    - {type: zscore, columns: [load]}
    - {type: calendar, parts: [hour, is_weekend]}
    - {type: fan_out, columns: [port], windows: [1m]}
"""


def test_units_follow_from_units() -> None:
    design = Design.of(parse(CONFIG))
    known = units(design.schema, design.program(design.no_rows()))
    wanted = {
        "octets_per_s": "bytes/s", "load_per_s": "pct/s", "size": "bytes/packets", "odd": "pct/packets",
        "load_mean_1m": "pct", "load_count_1m": "values", "count_1m": "rows", "failed": "packets", "part": "ratio",
        "log_load": "log pct", "log_load_mean_1m": "log pct", "log_load_max_1m": "log pct", "log_load_std_1m": "",
        "log_load_sum_1m": "", "load_zscore_30m": "deviations", "hour": "hour", "is_weekend": "flag",
        "port_distinct_1m": "values",
    }  # fmt: skip
    assert {name: known[name] for name in wanted} == wanted


def test_every_operation_of_the_kernel_has_a_rule() -> None:
    assert _RULES.keys() == _KINDS.keys()
