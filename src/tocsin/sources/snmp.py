"""Routers, switches and hosts that speak SNMP, polled in turns or read from recorded walks.

Source: see `base_snmp_objects.py` for the objects, `base_snmp_polls.py` for the protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import Field

from tocsin.component import Duration, seconds
from tocsin.errors import ConfigError, Problem
from tocsin.records import Batch, Position
from tocsin.sources.base import Source
from tocsin.sources.base_polls import SHORTEST_S
from tocsin.sources.base_snmp_agents import SnmpAgents
from tocsin.sources.base_snmp_polls import Access, Authentication, Patience, Privacy, address
from tocsin.sources.base_snmp_walks import SnmpWalks

_MAX_SECRET = 1_024
_MIN_PASSWORD = 8
"""Characters, RFC 3414, section 11.2."""
_EXAMPLE = """\
.1.3.6.1.2.1.1.3.0 = {ticks}
.1.3.6.1.2.1.2.2.1.2.1 = STRING: "eth0"
.1.3.6.1.2.1.2.2.1.3.1 = INTEGER: 6
.1.3.6.1.2.1.2.2.1.10.1 = Counter32: {octets}
.1.3.6.1.4.1.2021.10.1.5.1 = INTEGER: 42
"""


class Snmp(Source):
    """Poll SNMP agents, version 2c or 3: one row per device and poll, as the preset `hosts` wants it.

    Asks for IF-MIB, HOST-RESOURCES-MIB and Net-SNMP's UCD tables; what an agent does not have is missing, never 0.
    The `net_..._counter` and `disk_..._counter` are sums over interfaces and over disks that grow by what each of
    them grew since the last poll, 64 bits where there are such, otherwise with the wrap at 32 bits undone; one that
    came, went or was reset adds nothing. Left out are the loopback, virtual LANs and bundles, and partitions. Give
    `sys_uptime_sec` to the feature `rate`: it tells an agent that restarted, and the rate over the restart is missing.

    A poll that is not answered, or not properly, gives no row: it is counted and kept with device, time and reason,
    and the others go on. Rows are held until they are acknowledged, and a source that was closed before gives them
    again when it is opened.

    With `path` nothing is asked: the rows are those of recorded walks, one file per device and named after it. Each
    poll in it is a line that `date -Is` wrote, and behind it what `snmpwalk -On -ObentU` wrote.

    Known limits: a 32-bit counter that moves by more than a quarter of its range between two polls is told too low,
    an octet counter that is at 29 Mbit/s and five minutes; one that is cleared on that last quarter, while its agent
    runs on and tells no discontinuity, looks like a wrap.

    Parameters
    ----------
    agents
        `host`, `host:port` or `[address]:port`, at most 1,024; this is the `device_id` as well.
    path
        A file of walks or a pattern with `*`, `?`, `[...]` and `**`; then no agent is polled.
    interval
        From one poll to the next, at least 0.1 s.
    polls
        Polls of each agent after which the source ends; without it, never.
    timeout
        How long to wait for an answer.
    retries
        How often a request is sent again. A poll that is still not done an interval later is given up.
    community_file
        File that holds the community of version 2c; without it, `public`.
    user
        Name of a user of version 3, which is then spoken.
    auth, auth_file
        How the user's messages are authenticated, and the file that holds the password.
    priv, priv_file
        How they are encrypted, and the file that holds the password.

    Raises
    ------
    ValueError
        If there is neither an agent nor a path, an agent twice, or one half of a pair without the other.
    ConfigError
        On open, if a secret cannot be read, is empty, or is shorter than the 8 characters of RFC 3414.
    SourceLost
        On open, if not one agent answers the first poll.
    """

    replayable: ClassVar[bool] = False

    def __init__(  # noqa: PLR0913  # each is one line of a config
        self,
        *,
        agents: Annotated[tuple[str, ...], Field(max_length=1_024)] = (),
        path: str | None = None,
        interval: Duration = 60.0,
        polls: Annotated[int, Field(ge=1)] | None = None,
        timeout: Duration = 5.0,
        retries: Annotated[int, Field(ge=0, le=5)] = 1,
        community_file: str | None = None,
        user: str | None = None,
        auth: Authentication | None = None,
        auth_file: str | None = None,
        priv: Privacy | None = None,
        priv_file: str | None = None,
    ) -> None:
        self.agents = agents
        self.path = path
        self.interval = seconds(interval)
        self.polls = polls
        self.timeout = seconds(timeout)
        self.retries = retries
        self.community_file = community_file
        self.user = user
        self.auth = auth
        self.auth_file = auth_file
        self.priv = priv
        self.priv_file = priv_file
        self._check()
        patience = Patience(self.timeout, retries, self.interval + self.timeout * (1 + retries))
        self._source: Source = (
            SnmpWalks(path=path)
            if path is not None
            else SnmpAgents(
                agents=agents, interval_s=self.interval, polls=polls, patience=patience, access=self._who_asks
            )
        )

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Walks of two devices, a line of one of them broken, and a poll that was not answered."""
        for device in ("router", "switch"):
            polls = [_EXAMPLE.format(ticks=6_000 * (minute + 1), octets=1_500 * minute) for minute in range(3)]
            polls[1] = polls[1] + "Timeout\n" if device == "router" else ""
            text = "".join(f"2026-01-05T00:0{minute}:00+00:00\n{lines}" for minute, lines in enumerate(polls))
            (folder / f"{device}.walk").write_text(text)
        return cls(path=str(folder / "*.walk"))

    def open(self, resume: Position | None = None) -> None:
        self._source.open(resume)

    def read(self, timeout_s: float) -> Batch | None:
        return self._source.read(timeout_s)

    @property
    def ended(self) -> bool:
        return self._source.ended

    def acknowledge(self, batch: Batch) -> Position:
        return replace(self._source.acknowledge(batch), source="snmp")

    def close(self) -> None:
        self._source.close()

    @property
    def digests(self) -> Mapping[str, str]:
        return self._source.digests

    def _check(self) -> None:
        if not self.agents and self.path is None:
            raise ValueError("wanted agents to poll, or a path of recorded walks")
        if len(set(self.agents)) < len(self.agents):
            raise ValueError("wanted every agent once")
        for agent in self.agents:
            address(agent)
        if self.interval < SHORTEST_S:
            raise ValueError(f"interval is {self.interval:g} s, wanted at least {SHORTEST_S:g} s")
        if (self.auth is None) != (self.auth_file is None) or (self.priv is None) != (self.priv_file is None):
            raise ValueError("wanted auth with auth_file, and priv with priv_file")
        if (self.priv and not self.auth) or (self.auth and not self.user):
            raise ValueError("wanted priv only with auth, and auth only with a user")
        if self.user and self.community_file:
            raise ValueError("wanted a user (version 3) or a community_file (version 2c), not both")

    def _who_asks(self) -> Access:
        if self.user is None:
            return Access("public" if self.community_file is None else _secret("community_file", self.community_file))
        return Access(
            user=self.user,
            authentication=self.auth,
            authentication_key=_password("auth_file", self.auth_file),
            privacy=self.priv,
            privacy_key=_password("priv_file", self.priv_file),
        )


def _secret(name: str, path: str) -> str:
    """The one line of a file."""
    wanted = f"a file with one line of at most {_MAX_SECRET:,} characters"
    try:
        with Path(path).expanduser().open(encoding="utf-8") as file:
            text = file.read(_MAX_SECRET + 2).removesuffix("\n")
    except (OSError, UnicodeDecodeError, RuntimeError) as error:
        raise ConfigError([Problem(f"$.source.{name}", f"{path}: {type(error).__name__}", wanted)]) from error
    if not 0 < len(text) <= _MAX_SECRET or not text.isprintable():
        raise ConfigError([Problem(f"$.source.{name}", f"{path}, which is none", wanted)])
    return text


def _password(name: str, path: str | None) -> bytes:
    if path is None:
        return b""
    text = _secret(name, path)
    if len(text) < _MIN_PASSWORD:
        raise ConfigError([Problem(f"$.source.{name}", f"{path}, a shorter one", f"{_MIN_PASSWORD} characters")])
    return text.encode()
