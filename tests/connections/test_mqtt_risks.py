"""`tocsin doctor` before a mosquitto: what it finds out from outside, and what it reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import orjson
import pytest
from tests.connections.mosquitto import documented, mosquitto

from tocsin.connections.credentials import Credentials
from tocsin.connections.mqtt_risks import risks
from tocsin.errors import ConfigError

Tocsin = Callable[..., CompletedProcess[str]]
CONFIG = """\
version: 1
name: site
preset: flows
source: {{type: mqtt, url: "{url}", topics: [flows], client_id: site, settings_file: "{file}"}}
sinks: []
"""
DEBIAN = "persistence true\n"


@pytest.mark.parametrize(
    ("settings", "code", "named"),
    [(documented(), 0, set()), (DEBIAN, 1, {"autosave_on_changes", "max_queued_messages"})],
    ids=["documented", "as Debian has it"],
)
def test_doctor_names_the_settings_that_lose(
    tmp_path: Path, tocsin: Tocsin, settings: str, code: int, named: set[str]
) -> None:
    with mosquitto(tmp_path, settings) as broker:
        config = tmp_path / "tocsin.yaml"
        config.write_text(CONFIG.format(url=broker.url, file=broker.config))
        told = tocsin("-c", config, "doctor", "--json")
    findings = orjson.loads(told.stdout)["findings"]
    broken = [finding for finding in findings if finding["verdict"] == "broken"]
    assert told.returncode == code, broken
    assert {finding["found"].partition(":")[0] for finding in broken} == named


def test_what_a_client_cannot_know_is_said(tmp_path: Path) -> None:
    with mosquitto(tmp_path, DEBIAN) as broker:
        found = risks(broker.url, Credentials(), None)
    assert [(risk.setting, risk.loses) for risk in found] == [
        ("max_queued_messages", True),
        ("autosave_on_changes", False),
    ]


def test_settings_of_included_files_count(tmp_path: Path) -> None:
    more = tmp_path / "conf.d"
    more.mkdir()
    (more / "local.conf").write_text(documented())
    settings = tmp_path / "mosquitto.conf"
    settings.write_text(f"persistence false\ninclude_dir {more}\n")
    assert risks("mqtt://127.0.0.1", Credentials(), str(settings)) == ()
    with pytest.raises(ConfigError, match="No such file"):
        risks("mqtt://127.0.0.1", Credentials(), str(tmp_path / "absent.conf"))
