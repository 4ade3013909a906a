"""Frames of a small site as a sampling capture keeps them, with labelled attacks.

One wired port, and one radio in monitor mode that sees 802.11 frames and, since they are encrypted, nothing above them.
Every kind of frame that attacks are made of is there on a calm day, too: connections begin, strangers knock, big
datagrams are cut up, calls are marked urgent, stations are sent away. Attacks are episodes with an actor.

Source: RFC 4594 (use of DSCP); RFC 2544 and RFC 7042 (addresses for tests and documentation).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tocsin.records import GENERATED, SECOND, Batch, Column
from tocsin.synthetic.frames_headers import (
    ACK,
    ACKNOWLEDGEMENT,
    CONTROL,
    DATA,
    FIN_ACK,
    ICMP,
    MANAGEMENT,
    POINTS,
    PSH_ACK,
    RST,
    SYN,
    SYN_ACK,
    TCP,
    UDP,
    Names,
    Packets,
    Transmissions,
    Whole,
    in_the_air,
    on_the_wire,
)
from tocsin.synthetic.plan import Plan
from tocsin.synthetic.rhythm import ALWAYS, OFFICE, RESTING, arrivals

ATTACKS = ("port_scan", "syn_flood", "fragments", "dscp_misuse", "deauth_flood")

_HOSTS = 20
_EXPEDITED, _VIDEO, _BULK = 46, 34, 8
"""Code points of DSCP."""
_MOST = 1_420
"""Payload bytes of a full packet."""
_PIECE = 1_480
"""Bytes of a fragment as a 1,500-byte link cuts it."""
_BROADCAST = "ff:ff:ff:ff:ff:ff"
_BY_DAY, _AT_ANY_TIME = (OFFICE, RESTING), (ALWAYS, 1.0)
_SHARE = {"port_scan": 120, "syn_flood": 160, "fragments": 80, "dscp_misuse": 100, "deauth_flood": 120}
"""Frames kept of an attack of middling strength."""
_PAUSE_S = {"port_scan": 1.0, "syn_flood": 0.4, "fragments": 0.8, "dscp_misuse": 5.0, "deauth_flood": 0.6}
"""Between two of them."""


@dataclass(frozen=True, slots=True)
class _Site:
    hosts: Names
    servers: Names
    web: Names
    strangers: Names
    stations: Names
    points: Names
    """Access points."""


@dataclass(frozen=True, slots=True)
class _Traffic:
    """One kind of ordinary traffic on the wire; payloads are a median and the spread of a lognormal, in bytes."""

    server: str
    protocol: int
    port: int
    per_day: float
    """Frames per host on a working day."""
    asked: tuple[float, float]
    answered: tuple[float, float]
    dscp: int = 0
    datagram: float = 0.0
    """Median bytes of answers too big for one frame; 0: they fit."""


_TRAFFIC = (
    _Traffic("web", TCP, 443, 110, (300, 0.9), (1_100, 0.5)),
    _Traffic("web", TCP, 80, 10, (350, 0.6), (1_000, 0.6)),
    _Traffic("web", UDP, 443, 40, (200, 0.9), (1_150, 0.3)),
    _Traffic("servers", UDP, 53, 30, (38, 0.3), (120, 0.6)),
    _Traffic("servers", TCP, 993, 14, (150, 0.8), (800, 0.7)),
    _Traffic("servers", TCP, 445, 24, (700, 1.0), (900, 0.8)),
    _Traffic("servers", TCP, 22, 4, (80, 0.6), (200, 0.9)),
    _Traffic("hosts", UDP, 16_384, 36, (172, 0.02), (172, 0.02), _EXPEDITED),
    _Traffic("web", UDP, 3_480, 24, (900, 0.4), (900, 0.4), _VIDEO),
    _Traffic("servers", TCP, 873, 12, (1_300, 0.3), (60, 0.5), _BULK),
    _Traffic("servers", UDP, 123, 4, (48, 0.0), (48, 0.0)),
    _Traffic("servers", ICMP, 0, 4, (56, 0.1), (56, 0.1)),
    _Traffic("servers", UDP, 2_049, 8, (120, 0.3), (120, 0.3), 0, 7_000),
    _Traffic("strangers", ICMP, 0, 1, (56, 0.3), (56, 0.3), 0, 3_000),
)
_KNOCKS_PER_DAY = 80.0
_IN_A_CONNECTION = {PSH_ACK: 0.52, ACK: 0.33, SYN: 0.05, SYN_ACK: 0.04, FIN_ACK: 0.05, RST: 0.01}


@dataclass(frozen=True, slots=True)
class _Radio:
    """One kind of ordinary 802.11 frame."""

    kind: tuple[int, int]
    """Type and subtype."""
    per_day: float
    """Of each sender."""
    body: float
    """Median bytes."""
    spread: float = 0.0
    of_points: bool = False
    """Access points send it, at every hour; else stations do, by day, or their access point answers them."""


_DEAUTHENTICATION = _Radio((MANAGEMENT, 12), 4.0, 2, of_points=True)
_RADIO = (
    _Radio((MANAGEMENT, 8), 160.0, 220, 0.15, of_points=True),  # beacon
    _Radio((MANAGEMENT, 5), 40.0, 180, 0.15, of_points=True),  # answer to a probe
    _DEAUTHENTICATION,
    _Radio((MANAGEMENT, 4), 12.0, 90, 0.2),  # probe
    _Radio((MANAGEMENT, 11), 2.0, 6),  # authentication
    _Radio((MANAGEMENT, 0), 1.0, 110, 0.1),  # association
    _Radio((MANAGEMENT, 10), 1.0, 2),  # disassociation
    _Radio(ACKNOWLEDGEMENT, 30.0, 0),
    _Radio((CONTROL, 11), 12.0, 0),  # request to send
    _Radio((DATA, 8), 60.0, 400, 0.9),
)


def frames(plan: Plan) -> Batch:
    """Frames in time order; 20 hosts unless the plan says otherwise, with about 400 frames each on a working day.

    The ordinary frames of a seed are the same whatever the rate of attacks.

    Raises
    ------
    LimitExceeded
        If there would be more than 5 million rows.
    """
    site = _site(plan.entities or _HOSTS)
    per_day = sum(kind.per_day for kind in _TRAFFIC) + sum(kind.per_day for kind in _RADIO)
    plan.check(plan.days * per_day * len(site.hosts) / (1 - plan.anomaly_rate))
    rng = plan.random(0)
    calm: list[Packets | Transmissions] = [_ordinary(rng, site, plan, kind) for kind in _TRAFFIC]
    calm += [_knocks(rng, site, plan), *(_ordinary_air(rng, site, plan, kind) for kind in _RADIO)]
    parts = [_labelled(_written(rng, sent), "normal") for sent in calm]
    exposed = sum(int((part["timestamp"] >= plan.attacked).sum()) for part in parts)
    parts += _attacks(plan.random(1), site, plan, exposed * plan.anomaly_rate / (1 - plan.anomaly_rate))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(columns["timestamp"], kind="stable")
    columns = {name: column[order] for name, column in columns.items()}
    columns["timestamp"] = columns["timestamp"].astype("datetime64[us]")
    return Batch({**columns, GENERATED: np.ones(len(order), dtype=bool)})


def _written(rng: np.random.Generator, sent: Packets | Transmissions) -> dict[str, Column]:
    return on_the_wire(rng, sent) if isinstance(sent, Packets) else in_the_air(rng, sent)


def _labelled(columns: dict[str, Column], label: str) -> dict[str, Column]:
    return {**columns, "label": np.full(len(columns["timestamp"]), label, dtype=object)}


def _site(hosts: int) -> _Site:
    return _Site(
        hosts=_names([f"10.0.{i // 200}.{10 + i % 200}" for i in range(hosts)]),
        servers=_names(["10.1.0.53", "10.1.0.25", "10.1.0.45", "10.1.0.80"]),
        web=_names([f"198.18.{i // 250}.{1 + i % 250}" for i in range(500)]),
        strangers=_names([f"198.19.0.{1 + i}" for i in range(60)]),
        stations=_names([f"02:00:5e:00:{i // 256:02x}:{i % 256:02x}" for i in range(hosts)]),
        points=_names([f"{POINTS}{i:02x}" for i in range(3)]),
    )


def _names(names: list[str]) -> Names:
    return np.array(names, dtype=object)


def _lognormal(rng: np.random.Generator, shape: tuple[float, float], rows: int) -> Whole:
    median, spread = shape
    return np.rint(median * np.exp(spread * rng.standard_normal(rows))).astype(np.int64)


def _ordinary(rng: np.random.Generator, site: _Site, plan: Plan, kind: _Traffic) -> Packets:
    """Frames of one kind of traffic, in both directions."""
    times = arrivals(rng, plan, kind.per_day * len(site.hosts), *_BY_DAY)
    rows = len(times)
    client, server = rng.choice(site.hosts, rows), rng.choice(getattr(site, kind.server), rows)
    back = rng.random(rows) < 0.55
    payload = np.where(back, _lognormal(rng, kind.answered, rows), _lognormal(rng, kind.asked, rows))
    nothing = np.zeros(rows, dtype=np.int64)
    flags = nothing
    if kind.protocol == TCP:
        flags = rng.choice(list(_IN_A_CONNECTION), rows, p=list(_IN_A_CONNECTION.values()))
        back = (back | (flags == SYN_ACK)) & (flags != SYN)
        payload = payload * ((flags == PSH_ACK) | ((flags == ACK) & (payload > 700)))
    own = rng.integers(32_768, 61_000, rows)
    packets = Packets(
        times=times,
        source=np.where(back, server, client),
        target=np.where(back, client, server),
        protocol=np.full(rows, kind.protocol),
        source_port=np.where(back, kind.port, own),
        target_port=np.where(back, own, kind.port),
        payload=np.minimum(payload, _MOST),
        flags=flags,
        dscp=np.full(rows, kind.dscp),
        offset=nothing,
        datagram=nothing,
    )
    if not kind.datagram:
        return packets
    return _cut(rng, packets, back * _lognormal(rng, (kind.datagram, 0.7), rows), np.full(rows, _PIECE))


def _cut(rng: np.random.Generator, packets: Packets, datagram: Whole, piece: Whole) -> Packets:
    """One fragment of each datagram that is bigger than its piece, a multiple of 8 bytes."""
    datagram = np.minimum(datagram, 65_000)
    cut = datagram > piece
    number = np.floor(rng.random(len(datagram)) * np.ceil(datagram / piece)).astype(np.int64)
    begin = number * piece
    header = np.where(number == 0, 8, 0)
    return replace(
        packets,
        payload=np.where(cut, np.minimum(piece, datagram - begin) - header, packets.payload),
        offset=np.where(cut, begin // 8, 0),
        datagram=np.where(cut, datagram, 0),
    )


def _knocks(rng: np.random.Generator, site: _Site, plan: Plan) -> Packets:
    """Strangers who try a port, at every hour."""
    times = arrivals(rng, plan, _KNOCKS_PER_DAY, *_AT_ANY_TIME)
    rows = len(times)
    tries = _tries(rng, times, rng.choice(site.strangers, rows), rng.choice(site.servers, rows), _ports(rng, rows))
    return _by_datagram(rng, tries, 0.25)


def _tries(rng: np.random.Generator, times: Whole, source: Names, target: Names, port: Whole) -> Packets:
    """Attempts to connect, of which some are seen as the refusal that came back."""
    rows = len(times)
    back = rng.random(rows) < 0.3
    own = rng.integers(32_768, 61_000, rows)
    nothing = np.zeros(rows, dtype=np.int64)
    return Packets(
        times=times,
        source=np.where(back, target, source),
        target=np.where(back, source, target),
        protocol=np.full(rows, TCP),
        source_port=np.where(back, port, own),
        target_port=np.where(back, own, port),
        payload=nothing,
        flags=np.where(back, RST, SYN),
        dscp=nothing,
        offset=nothing,
        datagram=nothing,
    )


def _by_datagram(rng: np.random.Generator, packets: Packets, share: float) -> Packets:
    """The same, with UDP instead of TCP for a share of the frames."""
    rows = len(packets.times)
    udp = rng.random(rows) < share
    return replace(
        packets,
        protocol=np.where(udp, UDP, packets.protocol),
        flags=packets.flags * ~udp,
        payload=np.where(udp, np.maximum(packets.payload, rng.integers(0, 90, rows)), packets.payload),
    )


def _ports(rng: np.random.Generator, rows: int) -> Whole:
    known = np.array([21, 22, 23, 25, 53, 80, 110, 123, 139, 443, 445, 873, 993, 1433, 3306, 3389, 5900, 8080])
    return np.where(rng.random(rows) < 0.6, rng.choice(known, rows), rng.integers(1, 61_000, rows))


def _ordinary_air(rng: np.random.Generator, site: _Site, plan: Plan, radio: _Radio) -> Transmissions:
    senders = site.points if radio.of_points else site.stations
    rhythm = _AT_ANY_TIME if radio.of_points else _BY_DAY
    times = arrivals(rng, plan, radio.per_day * len(senders), *rhythm)
    rows = len(times)
    source, point = rng.choice(senders, rows), rng.choice(site.points, rows)
    body = _lognormal(rng, (radio.body, radio.spread), rows).clip(0, _MOST)
    if radio.of_points:
        everyone = np.full(rows, _BROADCAST, dtype=object)
        target = everyone if radio.kind == (MANAGEMENT, 8) else rng.choice(site.stations, rows)
        return Transmissions(times, radio.kind, source, target, body)
    down = (rng.random(rows) < 0.6) & (radio.kind[0] != MANAGEMENT)
    return Transmissions(times, radio.kind, np.where(down, point, source), np.where(down, source, point), body)


def _attacks(rng: np.random.Generator, site: _Site, plan: Plan, wanted: float) -> list[dict[str, Column]]:
    """Episodes of the five kinds, as many rounds as the wanted number of frames takes, at least one."""
    if wanted < 1:
        return []
    rounds = max(1, round(wanted / sum(_SHARE.values())))
    kinds = [kind for _ in range(rounds) for kind in rng.permutation(ATTACKS).tolist()]
    sizes = np.array([_SHARE[kind] for kind in kinds]) * np.exp(rng.uniform(np.log(0.5), np.log(2.0), len(kinds)))
    rows = np.maximum(1, np.rint(sizes * wanted / sizes.sum())).astype(int)
    return [
        _labelled(_written(rng, _episode(rng, site, kind, _moments(rng, plan, kind, number))), kind)
        for kind, number in zip(kinds, rows.tolist(), strict=True)
    ]


def _moments(rng: np.random.Generator, plan: Plan, kind: str, rows: int) -> Whole:
    """Times of an episode's frames: somewhere, one after the other."""
    offsets = np.cumsum(rng.exponential(_PAUSE_S[kind] * rng.uniform(0.5, 2.0), rows)) * SECOND
    begin = max(plan.begin, plan.attacked)
    offsets *= min(1.0, 0.9 * (plan.end - begin) / offsets[-1])
    times: Whole = (rng.uniform(begin, plan.end - offsets[-1] - 1) + offsets).astype(np.int64)
    return times


def _episode(rng: np.random.Generator, site: _Site, kind: str, times: Whole) -> Packets | Transmissions:
    """What the actor of one attack sends."""
    rows = len(times)
    if kind == "deauth_flood":
        victims = rng.choice(site.stations, min(len(site.stations), int(rng.integers(1, 6))), replace=False)
        point = np.full(rows, rng.choice(site.points), dtype=object)
        return Transmissions(times, _DEAUTHENTICATION.kind, point, rng.choice(victims, rows), np.full(rows, 2))
    inside = rng.random() < 0.5
    actor = np.full(rows, rng.choice(site.hosts if inside else site.strangers), dtype=object)
    server = np.full(rows, rng.choice(site.servers), dtype=object)
    if kind == "port_scan":
        reached = np.concatenate([site.servers, site.hosts]) if inside else site.servers
        tries = _tries(rng, times, actor, rng.choice(reached, rows), _ports(rng, rows))
        return _by_datagram(rng, tries, rng.choice([0.0, 0.3, 1.0]))
    if kind == "syn_flood":
        spread = rng.choice(np.concatenate([site.web[:100], site.strangers]), rows)
        port = np.full(rows, rng.choice([22, 443, 445, 993]))
        return _tries(rng, times, spread if rng.random() < 0.5 else actor, server, port)
    stream = replace(_tries(rng, times, actor, server, np.full(rows, 443)), flags=np.full(rows, ACK))
    if kind == "dscp_misuse":  # bulk that claims to be a call
        marked = np.full(rows, rng.choice([_EXPEDITED, _VIDEO]))
        bulk = replace(stream, dscp=marked, payload=_lognormal(rng, (1_000, 0.35), rows).clip(0, _MOST))
        return _by_datagram(rng, bulk, rng.choice([0.0, 1.0]))
    cut = replace(stream, protocol=np.full(rows, rng.choice([UDP, ICMP])))
    piece = 8 * rng.choice([3, 6, 100, 185, 185], rows)
    return _cut(rng, cut, _lognormal(rng, (9_000, 0.8), rows).clip(1_600), piece)
