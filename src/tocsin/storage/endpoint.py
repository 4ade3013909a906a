"""Which servers credentials may be sent to: those that prove who they are, and this machine itself."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from tocsin.errors import RegistryError


def expect_trusted(url: str, variable: str) -> None:
    """Raise RegistryError unless a URL is `https`, or `http` on this machine.

    Parameters
    ----------
    url, variable
        The address of a server, without credentials, and where it was set.
    """
    try:
        parts = urlsplit(url)
        host, named = parts.hostname or "", parts.username is not None
    except ValueError:
        host, named, parts = "", False, urlsplit("")
    if not host or named:
        raise RegistryError(variable, "no plain address", "https://host:port, without credentials")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_here(host)):
        wanted = "https, or http on this machine"
        raise RegistryError(
            variable, f"{parts.scheme}://{host}", wanted, "without TLS anybody on the way reads the keys"
        )


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
