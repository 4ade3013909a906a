"""What the message of a log line says: what happened to which Wi-Fi station, and the measures of its text.

Source: the texts of hostapd and wpa_supplicant (`hostapd_logger` lines and the events of `wpa_ctrl.h`).
"""

from __future__ import annotations

import re
from typing import NamedTuple

_PROGRAMS = ("hostapd", "wpa_supplicant")
# What happened -> how the lines begin that say so, behind the interface, the station and the module.
_EVENTS = {
    "connected": r"(?:AP-STA|CTRL-EVENT)-CONNECTED",
    "disconnected": r"(?:AP-STA|CTRL-EVENT)-DISCONNECTED|disconnected\b",
    "associated": r"associated\b|Associated with",
    "disassociated": r"disassociated\b",
    "association_rejected": r"CTRL-EVENT-ASSOC-REJECT",
    "authenticated": r"authenticated\b|CTRL-EVENT-EAP-SUCCESS",
    "inactive": r"deauthenticated due to inactivity",
    "deauthenticated": r"deauthenticated\b",
    "auth_failure": (
        r"AP-STA-POSSIBLE-PSK-MISMATCH|CTRL-EVENT-(?:EAP-(?:TIMEOUT-)?FAILURE|AUTH-REJECT)|authentication failed"
        r"|4-Way Handshake failed|invalid MIC in msg|Authentication with \S+ timed out"
    ),
    "key_handshake": r"(?:pairwise|group) key handshake completed|EAPOL-4WAY-HS-COMPLETED",
    "unacknowledged": r"did not acknowledge|EAPOL-Key timeout",
    "ssid_disabled": r"CTRL-EVENT-SSID-TEMP-DISABLED",
    "beacon_lost": r"CTRL-EVENT-BEACON-LOSS",
    "enabled": r"AP-ENABLED",
    "disabled": r"AP-DISABLED",
}
_CONNECTION = frozenset({"connected", "disconnected", "associated", "disassociated", "association_rejected"})
_AUTHENTICATION = frozenset({"authenticated", "auth_failure", "key_handshake"})
_DEAUTHENTICATION = frozenset({"deauthenticated", "inactive"})
_ERROR = frozenset({"auth_failure", "association_rejected", "unacknowledged", "beacon_lost"})
_ERROR_WORDS = ("error", "fail", "timed out", "timeout", "invalid", "denied", "refused")
_ERROR_SEVERITY = 3

_MAC = re.compile(r"(?<![0-9a-f:-])(?:[0-9a-f]{2}:){5}[0-9a-f]{2}(?![0-9a-f:-])")
_IP = re.compile(r"(?<![\d.])\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?![\d.])", re.ASCII)
_NUMBER = re.compile(r"\d+", re.ASCII)
_WIFI = re.compile(
    r"(?:([a-z][\w.@-]{0,14}): )?(?:STA \S{17} )?(?:[\w. -]{2,16}: )?(?:"
    + "|".join(f"(?P<{name}>{pattern})" for name, pattern in _EVENTS.items())
    + ")?",
    re.ASCII,
)
_SSID = re.compile(r"""\bssid[ =](?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_CODE = re.compile(r"\b(reason|status)(?:_code)?[= ](\d{1,5})\b|MLME-DE\w+\.indication\(\S+, (\d{1,5})\)", re.ASCII)
_COLONS, _DOTS = 5, 3
"""Of a MAC and an IPv4 address."""
_NOT_SPECIAL = bytes(code for code in range(128) if chr(code).isalnum() or chr(code).isspace())
_CAPITALS = bytes(range(ord("A"), ord("Z") + 1))


class Event(NamedTuple):
    """What a line says of a Wi-Fi station; all but the flags and the MAC address are None elsewhere."""

    event: str | None
    mac: str | None
    interface: str | None
    ssid: str | None
    reason_code: int | None
    status_code: int | None
    is_auth_failure: bool
    is_deauth: bool
    is_beacon: bool
    is_connection_event: bool
    is_auth_event: bool
    is_error_event: bool


class Measures(NamedTuple):
    """Numbers of a message's text."""

    mac_count: int
    ip_count: int
    message_length: int
    word_count: int
    special_char_count: int
    uppercase_ratio: float
    number_count: int
    unique_chars: int
    log_level_numeric: int | None


def understood(program: str | None, message: str, severity: int | None) -> tuple[Event, Measures]:
    """The event and the measures of a message."""
    lower = message.lower()
    macs = _MAC.findall(lower) if lower.count(":") >= _COLONS else []
    if wifi := program is not None and program.startswith(_PROGRAMS):
        match = _WIFI.match(message)
        event, interface = (match.lastgroup, match[1]) if match else (None, None)
        ssid = _ssid(message) if "ssid" in lower else None
        reason, status = _codes(message) if "=" in message or "indication" in lower else (None, None)
    else:
        event, interface, ssid, reason, status = None, None, None, None, None
    grave = severity is not None and severity <= _ERROR_SEVERITY
    found = Event(
        event,
        macs[0] if macs else None,
        interface,
        ssid,
        reason,
        status,
        event == "auth_failure",
        event in _DEAUTHENTICATION,
        wifi and "beacon" in lower,
        event in _CONNECTION,
        event in _AUTHENTICATION,
        grave or event in _ERROR or any(map(lower.__contains__, _ERROR_WORDS)),
    )
    return found, _measures(message, len(set(macs)), severity)


def _ssid(message: str) -> str | None:
    named = _SSID.search(message)
    return (named[1] or named[2]) if named else None


def _codes(message: str) -> tuple[int | None, int | None]:
    codes: dict[str, int] = {}
    for kind, code, indicated in _CODE.findall(message):
        codes.setdefault(kind or "reason", int(code or indicated))
    return codes.get("reason"), codes.get("status")


def _measures(message: str, macs: int, severity: int | None) -> Measures:
    length = len(message)
    if message.isascii():
        text = message.encode()
        special = len(text.translate(None, _NOT_SPECIAL))
        capitals = length - len(text.translate(None, _CAPITALS))
    else:
        special = sum(not (letter.isalnum() or letter.isspace()) for letter in message)
        capitals = sum(map(str.isupper, message))
    return Measures(
        macs,
        len(_IP.findall(message)) if message.count(".") >= _DOTS else 0,
        length,
        len(message.split()),
        special,
        capitals / length if length else 0.0,
        len(_NUMBER.findall(message)),
        len(set(message)),
        None if severity is None else 7 - severity,
    )
