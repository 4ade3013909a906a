"""Network flows of a small site with labelled attacks.

Hosts work by day and sleep at night, servers answer them, visitors come from outside, backups run before dawn. As on
a real network some connections are never answered and strangers knock at every hour: no single flow is an attack by
its form alone. Attacks are episodes with an actor, a start and an end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tocsin.records import GENERATED, SECOND, Batch, Column, Times
from tocsin.synthetic.plan import Plan
from tocsin.synthetic.rhythm import ALWAYS, OFFICE, RESTING, Hours, arrivals

ATTACKS = ("scan", "flood", "exfiltration", "beaconing", "brute_force")

Addresses = NDArray[Any]
Numbers = NDArray[np.float64]

_SHARE = {"scan": 120, "flood": 200, "exfiltration": 10, "beaconing": 60, "brute_force": 80}
"""Flows of an attack of middling strength."""
_SEGMENT = 1_400
"""Payload bytes of a full packet."""
_SMALLEST = 16
"""Payload bytes of a side that says anything at all."""
_RETRIES_S = (0.0, 0.0, 1.0, 3.0)
"""How long so many attempts to connect go on."""
_FROM_INSIDE = 0.4
"""Share of the scans and of the password guessing that come from a host of the site."""

_DAYTIME = (20, 12, 8, 6, 6, 10, 20, 35, 55, 65, 70, 70, 70, 70, 70, 70, 75, 80, 85, 90, 85, 70, 50, 30)
_NIGHT = (0, 30, 40, 30, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class _Site:
    hosts: Addresses
    servers: Addresses
    web: Addresses
    """Outside, in order of popularity."""
    strangers: Addresses


@dataclass(frozen=True, slots=True)
class _Traffic:
    """One kind of ordinary traffic. Sizes and times are a median and the spread of a lognormal."""

    client: str
    server: str
    protocol: str
    port: int
    per_day: float
    """Flows per client on a working day; of all clients together where those are strangers."""
    sent_bytes: tuple[float, float]
    answered_bytes: tuple[float, float]
    seconds: tuple[float, float]
    hours: Hours = OFFICE
    weekend: float = RESTING
    answered: float = 0.98
    """Share of the flows that anybody answers."""


_ANY_PORT = -1
_TRAFFIC = (
    _Traffic("hosts", "dns", "UDP", 53, 110, (45, 0.3), (140, 0.6), (0.02, 0.8)),
    _Traffic("hosts", "web", "TCP", 443, 120, (1_800, 1.0), (22_000, 1.6), (4, 1.4)),
    _Traffic("hosts", "web", "TCP", 80, 12, (600, 0.7), (6_000, 1.6), (1, 1.2)),
    _Traffic("hosts", "mail", "TCP", 993, 25, (1_200, 0.6), (6_000, 1.2), (2, 1.0)),
    _Traffic("hosts", "mail", "TCP", 587, 4, (40_000, 1.3), (1_500, 0.5), (2, 0.8)),
    _Traffic("hosts", "files", "TCP", 445, 18, (20_000, 2.0), (60_000, 2.0), (10, 1.5)),
    _Traffic("hosts", "servers", "TCP", 22, 1.5, (4_000, 1.3), (9_000, 1.5), (90, 2.0)),
    _Traffic("hosts", "dns", "UDP", 123, 12, (48, 0.0), (48, 0.0), (0.02, 0.6), ALWAYS, 1.0),
    _Traffic("servers", "hosts", "ICMP", 0, 20, (56, 0.0), (56, 0.0), (0.01, 0.8), ALWAYS, 1.0),
    _Traffic("servers", "backup", "TCP", 873, 2, (2e8, 1.0), (40_000, 0.5), (60, 0.6), _NIGHT, 1.0),
    _Traffic("strangers", "portal", "TCP", 443, 600, (1_200, 0.9), (15_000, 1.4), (3, 1.3), _DAYTIME, 0.7),
    _Traffic("strangers", "servers", "TCP", _ANY_PORT, 80, (60, 0.4), (100, 0.6), (0.05, 1.0), ALWAYS, 1.0, 0.1),
)


@dataclass(frozen=True, slots=True)
class _Attack:
    kind: str
    rows: int
    strength: float


@dataclass(frozen=True, slots=True)
class _Draft:
    """Flows, ordinary or not, before packets are counted; every array has shape (n,)."""

    times: Times
    source: Addresses
    target: Addresses
    port: NDArray[np.int64]
    sent: Numbers
    """Payload bytes."""
    answered: Numbers
    """Payload bytes; below 1: no answer."""
    seconds: tuple[float, float]
    label: str = "normal"
    protocol: str = "TCP"


def flows(plan: Plan) -> Batch:
    """Flows in time order; `out` is what the source address sent, `in` what it got back.

    20 hosts unless the plan says otherwise, with about 300 flows each on a working day. The ordinary flows of a seed
    are the same whatever the rate of attacks.

    Raises
    ------
    LimitExceeded
        If there would be more than 5 million rows.
    """
    site = _site(plan.entities or 20)
    plan.check(plan.days * sum(kind.per_day * _clients(site, kind) for kind in _TRAFFIC) / (1 - plan.anomaly_rate))
    rng = plan.random(0)
    parts = [_columns(rng, _ordinary(rng, site, plan, kind)) for kind in _TRAFFIC]
    exposed = sum(int((part["timestamp"] >= plan.attacked).sum()) for part in parts)
    rng = plan.random(1)
    wanted = exposed * plan.anomaly_rate / (1 - plan.anomaly_rate)
    parts += [_columns(rng, _episode(rng, site, plan, attack)) for attack in _attacks(rng, wanted)]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(columns["timestamp"], kind="stable")
    columns = {name: column[order] for name, column in columns.items()}
    columns["timestamp"] = columns["timestamp"].astype("datetime64[us]")
    return Batch({**columns, GENERATED: np.ones(len(order), dtype=bool)})


def episodes(plan: Plan, kind: str, strength: float, begins: Times) -> list[Batch]:
    """The flows of one kind of attack, an episode at each of these moments; none goes on behind the plan's end.

    Parameters
    ----------
    strength
        1 is middling: more flows, quicker or larger ones.
    """
    site, rng = _site(plan.entities or 20), plan.random(2)
    found = []
    for begin in begins.tolist():
        pauses, draft = _acts(rng, site, _Attack(kind, max(1, round(_SHARE[kind] * strength)), strength))
        times = begin + np.rint((np.cumsum(pauses) - pauses[0]) * SECOND).astype(np.int64)
        columns = _columns(rng, replace(draft, times=times))
        within = times < plan.end
        columns["timestamp"] = columns["timestamp"].astype("datetime64[us]")
        found.append(Batch({**columns, GENERATED: np.ones(len(times), dtype=bool)}).take(within))
    return found


def _site(hosts: int) -> _Site:
    """Inside: private addresses. Outside: the range that RFC 2544 keeps for tests."""
    return _Site(
        hosts=_addresses([f"10.0.{i // 200}.{10 + i % 200}" for i in range(hosts)]),
        servers=_addresses(["10.1.0.53", "10.1.0.25", "10.1.0.45", "10.1.0.80", "10.1.0.87"]),
        web=_addresses([f"198.18.{i // 250}.{1 + i % 250}" for i in range(3_000)]),
        strangers=_addresses([f"198.19.{i // 250}.{1 + i % 250}" for i in range(3_000)]),
    )


def _addresses(names: list[str]) -> Addresses:
    return np.array(names, dtype=object)


def _pick(rng: np.random.Generator, site: _Site, role: str, rows: int) -> Addresses:
    """Addresses of a role: a few hosts and web servers do most of the work, others are alike."""
    single = {"dns": 0, "mail": 1, "files": 2, "portal": 3, "backup": 4}
    if role in single:
        return np.full(rows, site.servers[single[role]], dtype=object)
    pool: Addresses = getattr(site, role)
    popularity = {"hosts": 0.3, "web": 1.0}.get(role, 0.0)
    weights = 1.0 / np.arange(1, len(pool) + 1) ** popularity
    return pool[rng.choice(len(pool), rows, p=weights / weights.sum())]


def _one(rng: np.random.Generator, site: _Site, role: str, rows: int) -> Addresses:
    return np.full(rows, _pick(rng, site, role, 1)[0], dtype=object)


def _clients(site: _Site, kind: _Traffic) -> int:
    return {"hosts": len(site.hosts), "servers": len(site.servers), "strangers": 1}[kind.client]


def _ordinary(rng: np.random.Generator, site: _Site, plan: Plan, kind: _Traffic) -> _Draft:
    times = arrivals(rng, plan, kind.per_day * _clients(site, kind), kind.hours, kind.weekend)
    rows = len(times)
    return _Draft(
        times=times,
        source=_pick(rng, site, kind.client, rows),
        target=_pick(rng, site, kind.server, rows),
        port=_ports(rng, rows) if kind.port == _ANY_PORT else np.full(rows, kind.port),
        sent=_lognormal(rng, kind.sent_bytes, rows),
        answered=_lognormal(rng, kind.answered_bytes, rows) * (rng.random(rows) < kind.answered),
        seconds=kind.seconds,
        protocol=kind.protocol,
    )


def _ports(rng: np.random.Generator, rows: int) -> NDArray[np.int64]:
    known = np.array([21, 22, 23, 25, 80, 110, 139, 443, 445, 993, 1433, 3306, 3389, 5432, 5900, 6379, 8080, 8443])
    return np.where(rng.random(rows) < 0.6, rng.choice(known, rows), rng.integers(1, 10_000, rows))


def _lognormal(rng: np.random.Generator, shape: tuple[float, float], rows: int) -> Numbers:
    median, spread = shape
    return median * np.exp(spread * rng.standard_normal(rows))


def _columns(rng: np.random.Generator, draft: _Draft) -> dict[str, Column]:
    """The flows as a collector would count them."""
    rows, connected = len(draft.times), draft.protocol == "TCP"
    silent = draft.answered < 1
    answered = np.where(silent, 0.0, np.floor(np.maximum(draft.answered, _SMALLEST)))
    sent = np.where(silent & connected, 0.0, np.floor(np.maximum(draft.sent, _SMALLEST)))
    attempts = rng.integers(1, 4, rows)
    packets_out, packets_in = np.ceil(sent / _SEGMENT), np.ceil(answered / _SEGMENT)
    if connected:  # handshake, acknowledgements, close; now and then something twice
        packets_out, packets_in = (
            np.where(silent, attempts, packets_out + np.ceil(packets_in / 2) + 3 + rng.poisson(0.3, rows)),
            np.where(silent, 0, packets_in + np.ceil(packets_out / 2) + 2 + rng.poisson(0.3, rows)),
        )
    header = rng.choice([40, 52, 60], rows) if connected else np.full(rows, 28)
    line_rate = rng.uniform(2e6, 2e7, rows)
    lasting = _lognormal(rng, draft.seconds, rows) + (sent + answered) / line_rate
    waiting = _lognormal(rng, (0.002, 0.8), rows) + np.array(_RETRIES_S)[attempts]
    return {
        "timestamp": draft.times,
        "src_ip": draft.source,
        "dst_ip": draft.target,
        "src_port": rng.integers(32_768, 61_000, rows) * (draft.protocol != "ICMP"),
        "dst_port": draft.port.astype(np.int64),
        "protocol": np.full(rows, draft.protocol, dtype=object),
        "bytes_in": (answered + header * packets_in).astype(np.int64),
        "bytes_out": (sent + header * packets_out).astype(np.int64),
        "packets_in": packets_in.astype(np.int64),
        "packets_out": packets_out.astype(np.int64),
        "duration": np.round(np.where(silent, waiting, lasting), 6),
        "label": np.full(rows, draft.label, dtype=object),
    }


def _attacks(rng: np.random.Generator, wanted: float) -> list[_Attack]:
    """As many rounds of the five kinds as the wanted number of flows takes, at least one."""
    if wanted < 1:
        return []
    rounds = max(1, round(wanted / sum(_SHARE.values())))
    kinds = [kind for _ in range(rounds) for kind in rng.permutation(ATTACKS).tolist()]
    strengths = np.exp(rng.uniform(np.log(0.5), np.log(2.0), len(kinds)))
    sizes = np.array([_SHARE[kind] for kind in kinds]) * strengths
    rows = np.maximum(1, np.rint(sizes * wanted / sizes.sum())).astype(int)
    return [_Attack(*attack) for attack in zip(kinds, rows.tolist(), strengths.tolist(), strict=True)]


def _episode(rng: np.random.Generator, site: _Site, plan: Plan, attack: _Attack) -> _Draft:
    """One attack at a random moment: an actor, and pauses between its flows."""
    pauses, draft = _acts(rng, site, attack)
    offsets = np.cumsum(pauses) * SECOND
    begin = max(plan.begin, plan.attacked)
    offsets *= min(1.0, 0.9 * (plan.end - begin) / offsets[-1])
    first = rng.uniform(begin, plan.end - offsets[-1] - 1)
    return replace(draft, times=(first + offsets).astype(np.int64))


def _acts(rng: np.random.Generator, site: _Site, attack: _Attack) -> tuple[Numbers, _Draft]:
    """What an attack does: seconds before each of its flows, and the flows without their times."""
    rows, strength, kind = attack.rows, attack.strength, attack.kind
    inside, outside = _one(rng, site, "hosts", rows), _one(rng, site, "strangers", rows)
    anyone = inside if rng.random() < _FROM_INSIDE else outside
    # Nobody else goes there much, but it is a web server as any other.
    rare = np.full(rows, rng.choice(site.web[len(site.web) // 2 :]), dtype=object)

    def size(median: float, spread: float) -> Numbers:
        return _lognormal(rng, (median, spread), rows)

    ends: tuple[Addresses, Addresses, Any] = inside, rare, 443
    if kind == "scan":
        ends = anyone, rng.choice(np.concatenate([site.servers, site.hosts]), rows), _ports(rng, rows)
        sent, answered, seconds = size(60, 0.4), size(100, 0.6) * (rng.random(rows) < 0.1), 0.05
        pauses = rng.exponential(0.5 / strength, rows)
    elif kind == "flood":
        ends = outside, _one(rng, site, "portal", rows), 443
        sent, answered, seconds = size(300, 0.8), size(900, 1.0) * (rng.random(rows) < 0.5), 0.5
        pauses = rng.exponential(0.3 / strength, rows)
    elif kind == "exfiltration":
        sent, answered, seconds = size(3e7 * strength, 0.8), size(30_000, 0.8), 20.0
        pauses = rng.exponential(90.0, rows)
    elif kind == "beaconing":
        sent, answered, seconds = size(450, 0.1), size(700, 0.2), 0.3
        pauses = rng.uniform(60, 400) / strength * rng.normal(1.0, 0.05, rows).clip(0.5)
    else:
        ends = anyone, _one(rng, site, "servers", rows), rng.choice([22, 443, 993])
        sent, answered, seconds = size(1_500, 0.2), size(2_200, 0.2), 1.5
        pauses = rng.exponential(2.0 / strength, rows)
    source, target, port = ends
    never = np.empty(0, dtype=np.int64)
    return pauses, _Draft(never, source, target, np.broadcast_to(port, rows), sent, answered, (seconds, 0.8), kind)
