"""TCP connections to hosts that a config names, held to where they really end.

What a name resolves to may change between a check and a connection (DNS rebinding), and an address has many spellings.
So nothing is read from the text: the name is resolved once, each address is judged as a number before anything is sent
to it, and the connected socket is asked again where it ends.

Sources: RFC 6890 and the IANA registries of special-purpose addresses; RFC 4291, RFC 3056 and RFC 6052 (addresses of
IPv4 inside IPv6).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from tocsin.observe import live

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_ADDRESSES = 8
"""Of one name; more are not tried."""
EVERYWHERE: tuple[Network, ...] = (ip_network("0.0.0.0/0"), ip_network("::/0"))
"""Allows any address: for protocols of which nothing on the other end can be made to act."""
_UNICAST = IPv6Network("2000::/3")
"""All that is assigned of IPv6; whatever lies outside is local, multicast or reserved."""
_SPECIAL: tuple[Network, ...] = (
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv6Network("3fff::/20"),
)
"""Of special purpose too, which not every Python knows."""
_TRANSLATED = IPv6Network("64:ff9b::/96")
"""Leads to the IPv4 address in its last 32 bits."""


class PeerRefused(OSError):
    """A connection would end, or ended, where none may; nothing was sent."""


def networks(allow: Sequence[str]) -> tuple[Network, ...]:
    """Networks as a config writes them.

    Raises
    ------
    ValueError
        If one is none, or has bits set behind its prefix.

    >>> networks(["10.0.0.0/8", "fd00::/8"])
    (IPv4Network('10.0.0.0/8'), IPv6Network('fd00::/8'))
    """
    return tuple(ip_network(text) for text in allow)


def is_permitted(address: Address, allow: Sequence[Network] = ()) -> bool:
    """Whether a connection may end there: on the public internet, or in a network that the operator allows.

    >>> is_permitted(ip_address("::ffff:127.0.0.1")), is_permitted(ip_address("2606:4700::1"))
    (False, True)
    """
    inner = _reached(address)
    if any(inner in network for network in allow):
        return True
    if isinstance(inner, IPv6Address) and inner not in _UNICAST:
        return False
    return inner.is_global and not inner.is_multicast and not any(inner in network for network in _SPECIAL)


def connect(host: str, port: int, *, allow: Sequence[Network], within_s: float) -> socket.socket:
    """A connected socket whose end was checked.

    Parameters
    ----------
    host
        A name or an address, without brackets.
    allow
        Networks that are permitted beside the public internet.
    within_s
        For all attempts to connect together; a name is looked up for as long as the system does that.

    Raises
    ------
    PeerRefused
        If no address of the host is permitted.
    OSError
        If the name is unknown, or no permitted address takes the connection.
    """
    deadline = time.monotonic() + within_s
    failure: OSError = PeerRefused("an address that is neither public nor in `allow`")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[:MAX_ADDRESSES]
    except UnicodeError:
        raise OSError("a host name that cannot be looked up") from None
    for family, kind, protocol, _, place in found:
        if not is_permitted(ip_address(place[0]), allow):
            continue
        peer = socket.socket(family, kind, protocol)
        try:
            peer.settimeout(max(deadline - time.monotonic(), 0.001))
            peer.connect(place)
            if is_permitted(ip_address(peer.getpeername()[0]), allow):
                return peer
        except OSError as error:
            failure = error
        peer.close()
    if isinstance(failure, PeerRefused):
        live.peer_refused(host)
    raise failure


def _reached(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, or the address itself."""
    if isinstance(address, IPv6Address):
        if address in _TRANSLATED:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address
