"""Whether the REST server of a config could begin: certificate, keys and address are tried, and nobody is served."""

from __future__ import annotations

import ssl

from tocsin.config import Config, ServerConfig
from tocsin.errors import Problem
from tocsin.model.design import problems_in
from tocsin.server.keys import ApiKeys
from tocsin.server.running import listening, readable_tls
from tocsin.server.site import Clocks
from tocsin.system.connections import Answer


def look(config: Config) -> Answer:
    """What was found of `server`; an address that is taken, maybe by the service itself, leaves it of some use."""
    settings = config.server or ServerConfig()
    broken = [*problems_in(lambda: _read_tls(config, settings)), *problems_in(lambda: _holding(config, settings))]
    problems = [*broken, *problems_in(lambda: listening(settings.listen).close())]
    if broken:
        return Answer("cannot begin", problems)
    holding = _holding(config, settings)
    if settings.keys and not holding:
        problems.append(Problem("$.server.keys", "no key that holds", "one at least", "tocsin keys api new"))
    who = f"{holding} keys hold" if settings.keys else "without keys"
    return Answer(f"{settings.listen}, {who}", problems, of_use=True)


def _read_tls(config: Config, settings: ServerConfig) -> None:
    if (tls := settings.tls) is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        with readable_tls():
            context.load_cert_chain(config.resolve(tls.certificate), config.resolve(tls.key))


def _holding(config: Config, settings: ServerConfig) -> int:
    """How many keys let somebody in now."""
    if settings.keys is None:
        return 0
    clocks = Clocks()
    keys = ApiKeys(config.resolve(settings.keys), clocks.now, clocks.elapsed).all()
    return sum(clocks.now() < key.expires for key in keys)
