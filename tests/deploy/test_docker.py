"""The image and the compose file, as far as they can be judged without building them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "deploy" / "docker"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))["services"]
DOCKERFILE = (DOCKER / "Dockerfile").read_text("utf-8")
SAFE = {
    "nats": ("sync_interval: always", "jetstream {"),
    "redis": ("appendonly yes", "appendfsync always", "maxmemory-policy noeviction"),
    "mosquitto": (
        "persistence true",
        "autosave_on_changes true",
        "autosave_interval 1",
        "max_queued_messages 0",
    ),
}
"""What a broker needs to keep what it acknowledged: see docs/brokers.md."""


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_shut_in(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service["user"].startswith(("0", "root"))
    assert not {"privileged", "ports", "network_mode", "pid"} & service.keys()


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - {"tocsin"}))
def test_a_broker_is_started_by_its_profile_and_seen_by_tocsin_alone(name: str) -> None:
    assert SERVICES[name]["profiles"]
    assert SERVICES[name]["networks"] == ["inside"]


def test_the_test_knows_every_broker() -> None:
    assert SERVICES.keys() - {"tocsin"} == SAFE.keys()


@pytest.mark.parametrize(
    ("broker", "setting"), [(broker, one) for broker, settings in SAFE.items() for one in settings]
)
def test_brokers_keep_what_they_acknowledge(broker: str, setting: str) -> None:
    config = DOCKER / f"{broker}.conf"
    said = config.read_text("utf-8") if config.exists() else str(SERVICES[broker]["command"]).replace("--", "")
    assert re.search(rf"(?m)^[^#]*{re.escape(setting)}", said)


def test_what_the_brokers_are_told_is_what_their_page_tells() -> None:
    page = (ROOT / "docs" / "brokers.md").read_text("utf-8")
    assert [setting for settings in SAFE.values() for setting in settings if setting not in page] == []


def test_no_password_is_written_down() -> None:
    for path in DOCKER.iterdir():
        lines = [line for line in path.read_text("utf-8").splitlines() if not line.lstrip().startswith("#")]
        values = re.findall(r"(?i)(?:password|requirepass|token)\b\"?:? +([^\s,}]+)", "\n".join(lines))
        assert [value for value in values if "$" not in value] == []


def test_the_configuration_of_nats_is_read_by_the_real_server(
    tmp_path: Path, need: Callable[[bool, str], None]
) -> None:
    server = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/usr/local/bin")
    need(server is not None, "no nats-server")
    # Debian's is older than `sync_interval`.
    text = (DOCKER / "nats.conf").read_text("utf-8").replace("  sync_interval: always\n", "")
    (tmp_path / "nats.conf").write_text(text, "utf-8")
    done = subprocess.run(
        [str(server), "-t", "-c", "nats.conf"], cwd=tmp_path, env={"NATS_PASSWORD": "given"},
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_image_holds_only_what_a_service_needs() -> None:
    _, _, last = DOCKERFILE.rpartition("\nFROM ")
    assert "COPY --from=build /opt/tocsin /opt/tocsin" in last
    assert "\nUSER 10001\n" in last
    assert not re.search(r"apt-get|pip|gcc", last)
    extras = {name for found in re.findall(r'"\.\[([a-z,]+)\]"', DOCKERFILE) for name in found.split(",")}
    known = (ROOT / "pyproject.toml").read_text("utf-8")
    assert all(re.search(rf"(?m)^{name} = \[", known) for name in extras)


@pytest.mark.parametrize("source", re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", DOCKERFILE))
def test_what_the_image_is_built_from_is_there(source: str) -> None:
    assert all((ROOT / name).exists() for name in source.split())
