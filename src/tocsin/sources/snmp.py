"""Routers, switches and hosts that speak SNMP, polled in turns.

Source: see `base_snmp_objects.py` for the objects, `base_snmp_polls.py` for the protocol.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field

from tocsin.component import Duration, seconds
from tocsin.connections.secret_files import read_secret, refused
from tocsin.sources.base_polls import Samples, paced
from tocsin.sources.base_snmp_agents import RECORDED, SnmpAgents
from tocsin.sources.base_snmp_polls import Access, Authentication, Patience, Privacy, address

_MAX_SECRET = 1_024
_MIN_PASSWORD = 8
"""Characters, RFC 3414, section 11.2."""
_EXAMPLE = """\
.1.3.6.1.2.1.1.3.0 = 6000
.1.3.6.1.2.1.2.2.1.2.1 = STRING: "eth0"
.1.3.6.1.2.1.2.2.1.10.1 = Counter32: 1500
"""


class Snmp(SnmpAgents):
    """Poll SNMP agents, version 2c or 3: one row per device and poll, as the preset `hosts` wants it.

    Asks for IF-MIB, HOST-RESOURCES-MIB and Net-SNMP's UCD tables; what an agent does not have is missing, never 0.
    The `net_..._counter` and `disk_..._counter` are sums over interfaces and over disks that grow by what each of
    them grew since the last poll, 64 bits where there are such, otherwise with the wrap at 32 bits undone; one that
    came, went or was reset adds nothing. Left out are the loopback, virtual LANs and bundles, and partitions. Give
    `sys_uptime_sec` to the feature `rate`, and leave its `reset` at `nan`: a total does not begin at zero. Then the
    rate over a restart is missing.

    A poll that is not answered, or not properly, gives no row: it is counted and kept with device, time and reason,
    and the others go on. Rows are held until they are acknowledged, and a source that was closed before gives them
    again when it is opened.

    The next round begins when the one before is over, so an agent that is silent can delay those that follow by no more
    than it may be waited for. Walks of devices that cannot be reached from here are read by `snmp_walk`.

    Known limits: a 32-bit counter that moves by more than a quarter of its range between two polls is told too low,
    an octet counter that is at 29 Mbit/s and five minutes; one that is cleared on that last quarter, while its agent
    runs on and tells no discontinuity, looks like a wrap.

    Parameters
    ----------
    agents
        `host`, `host:port` or `[address]:port`, at most 1,024, of which 128 are asked at one time; this is the
        `device_id` as well. In the place of an agent answers, as `file:///path`, the last walk in a file: the same at
        every poll, to try a config where no agent can be reached.
    interval
        From one poll to the next, at least 0.1 s.
    samples
        Polls of each agent after which the source ends; without it, never.
    timeout
        How long to wait for an answer.
    retries
        How often a request is sent again. A poll of many requests is given up when it is still not done an interval
        later, or when all attempts at one request would have failed by then, whichever is later.
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
        If an agent comes twice, or one half of a pair without the other.
    ConfigError
        On open, if a secret cannot be read, is empty, or is shorter than the 8 characters of RFC 3414.
    SourceLost
        On open, if not one agent answers the first poll.
    """

    def __init__(  # noqa: PLR0913  # each is one line of a config
        self,
        *,
        agents: Annotated[tuple[str, ...], Field(min_length=1, max_length=1_024)],
        interval: Duration = 60.0,
        samples: Samples = None,
        timeout: Duration = 5.0,
        retries: Annotated[int, Field(ge=0, le=5)] = 1,
        community_file: str | None = None,
        user: str | None = None,
        auth: Authentication | None = None,
        auth_file: str | None = None,
        priv: Privacy | None = None,
        priv_file: str | None = None,
    ) -> None:
        self.interval = paced(interval)
        self.timeout = seconds(timeout)
        self.retries = retries
        self.community_file = community_file
        self.user = user
        self.auth = auth
        self.auth_file = auth_file
        self.priv = priv
        self.priv_file = priv_file
        patience = Patience(self.timeout, retries, max(self.interval, self.timeout * (1 + retries)))
        super().__init__(agents=agents, interval_s=self.interval, samples=samples, patience=patience)
        self._refuse_contradictions()

    @classmethod
    def example(cls, folder: Path) -> Self:
        """One agent in whose place a walk answers, and one that does not answer."""
        (folder / "router.walk").write_text(_EXAMPLE)
        agents = ((folder / "router.walk").as_uri(), (folder / "switch.walk").as_uri())
        return cls(agents=agents, interval=0.1, samples=2)

    def _refuse_contradictions(self) -> None:
        if len(set(self.agents)) < len(self.agents):
            raise ValueError("wanted every agent once")
        for agent in self.agents:
            if not agent.startswith(RECORDED):
                address(agent)
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


def _secret(parameter: str, path: str, wanted: str = "one line with the community") -> str:
    return read_secret(path, parameter=parameter, wanted=wanted, most=_MAX_SECRET)


def _password(parameter: str, path: str | None) -> bytes:
    if path is None:
        return b""
    wanted = f"one line with a password of at least {_MIN_PASSWORD} characters"
    text = _secret(parameter, path, wanted)
    if len(text) < _MIN_PASSWORD:
        raise refused(path, parameter, f"{len(text)} characters", wanted)
    return text.encode()
