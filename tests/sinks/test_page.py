"""The page on sinks names parts and parameters that there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tocsin.component import PartSpec, build, catalogue, part_spec
from tocsin.sinks.base import Sink

PAGE = (Path(__file__).parents[2] / "docs" / "sinks.md").read_text(encoding="utf-8")
ENVIRONMENT = {
    "ALERT_URL": "https://alerts.example/tocsin",
    "ALERT_SECRET": f"whsec_{'a' * 32}",
    "ALERT_MAIL": "mailtos://user:word@mail.example",
}
LISTED: list[Any] = [
    entry
    for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    for entry in yaml.safe_load(re.sub(r"\$\{(\w+)\}", lambda name: ENVIRONMENT[name[1]], block))["sinks"]
]


@pytest.mark.parametrize("entry", LISTED, ids=lambda entry: entry["type"])
def test_what_the_page_writes_into_a_config_is_a_sink(entry: Any) -> None:
    spec = part_spec(entry)
    assert isinstance(spec, PartSpec)
    assert isinstance(build("sinks", spec), Sink)


def test_the_page_has_all_sinks_that_are_no_brokers() -> None:
    assert {entry["type"] for entry in LISTED} == set(catalogue("sinks")) - {"nats", "redis_stream", "mqtt"}
