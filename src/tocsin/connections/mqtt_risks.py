"""What an MQTT broker may lose of what it acknowledged: tried from outside, and read in mosquitto's own config.

Source: mosquitto.conf(5).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from tocsin.component import Risk
from tocsin.connections import Unreachable
from tocsin.connections.credentials import Credentials
from tocsin.connections.mqtt import MqttClient
from tocsin.errors import ConfigError, Problem

PROBE = 1_100
"""Messages that a broker is asked to keep: more than mosquitto does by default."""
_PATIENCE_S = 2.0
_KEEP_S = 60
_MAX_SETTINGS = 1 << 20
_MAX_FILES = 100
_DEFAULTS = {
    "persistence": "false",
    "autosave_on_changes": "false",
    "autosave_interval": "1800",
    "max_queued_messages": "1000",
}
_HINT = "see MQTT in docs/brokers.md"


def risks(url: str, credentials: Credentials, settings_file: str | None) -> tuple[Risk, ...]:
    """What is wrong with a broker, as far as it can be found out.

    Parameters
    ----------
    settings_file
        mosquitto.conf, if it can be read here; without it the broker is tried, which tells less.

    Raises
    ------
    Unreachable
        If the broker does not answer.
    ConfigError
        If the file cannot be read.
    """
    if settings_file is not None:
        return tuple(_read(_settings(Path(settings_file).expanduser())))
    found = "no client can tell; by default, what was acknowledged in the last half hour goes with the process"
    hint = f"give `settings_file`, if it runs on this machine; {_HINT}"
    return (*_tried(url, credentials), Risk("autosave_on_changes", found, hint, loses=False))


def _tried(url: str, credentials: Credentials) -> Iterator[Risk]:
    """Whether the broker keeps messages for a session that is away; the session is ended in any case."""
    name = f"tocsin-doctor-{uuid4().hex[:8]}"
    topic = f"tocsin/doctor/{name}"
    session = MqttClient(url, name, credentials, keep_s=_KEEP_S, in_flight=PROBE)
    sender = MqttClient(url, f"{name}-sender", credentials)
    try:
        session.connect()
        session.subscribe([topic])
        session.close()
        sender.connect()
        try:
            sender.publish(topic, [b"."] * PROBE)
        except Unreachable as error:
            yield Risk(topic, f"cannot be tried: {error.got}", "let this user read and write it", loses=False)
            return
        yield from _kept(session)
    finally:
        sender.close()
        session.forget()


def _kept(session: MqttClient) -> Iterator[Risk]:
    if not session.connect():
        yield Risk("persistent_client_expiration", "a session was forgotten at once", _HINT)
        return
    kept = 0
    while kept < PROBE and (came := session.take(PROBE, _PATIENCE_S)):
        kept += len(came)
    if kept < PROBE:
        found = f"{PROBE - kept:,} of {PROBE:,} acknowledged messages were dropped while nobody was connected"
        yield Risk("max_queued_messages", found, f"max_queued_messages 0; {_HINT}")


def _read(settings: dict[str, str]) -> Iterator[Risk]:
    if settings["persistence"] != "true":
        yield Risk("persistence", "false: a restart forgets all messages and sessions", "persistence true")
    if settings["autosave_on_changes"] != "true":
        found = f"false: written every {settings['autosave_interval']} s, whatever was acknowledged since is lost"
        yield Risk("autosave_on_changes", found, "autosave_on_changes true, autosave_interval 1")
    elif settings["autosave_interval"] != "1":
        found = f"{settings['autosave_interval']}: so many acknowledged changes may be lost"
        yield Risk("autosave_interval", found, "autosave_interval 1")
    if settings["max_queued_messages"] != "0":
        found = f"{settings['max_queued_messages']}: more than so many are dropped while nobody is connected"
        yield Risk("max_queued_messages", found, "max_queued_messages 0")


def _settings(path: Path) -> dict[str, str]:
    """The settings that matter, as mosquitto reads them: the last word counts, and files of a folder are taken in."""
    found, waiting, read = dict(_DEFAULTS), [path], 0
    while waiting and read < _MAX_FILES:
        file, read = waiting.pop(0), read + 1
        for line in _lines(file):
            name, _, value = line.strip().partition(" ")
            if name == "include_dir":
                waiting += sorted(Path(value.strip()).glob("*.conf"))
            elif name in found:
                found[name] = value.strip()
    return found


def _lines(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_MAX_SETTINGS).splitlines()
    except OSError as error:
        got, wanted = f"{path}: {error.strerror}", "the config of mosquitto"
        raise ConfigError([Problem("$.settings_file", got, wanted)]) from None
