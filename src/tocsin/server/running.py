"""The server at work: uvicorn in a thread of its own, beside the one that scores."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Self

import orjson
import uvicorn

from tocsin.config import ServerConfig
from tocsin.errors import LimitExceeded, TocsinError
from tocsin.observe import rest
from tocsin.server.api import api
from tocsin.server.bodies import events_of, score_request
from tocsin.server.door import LOOPBACK, Answer, Door, Handler, Limits, Request
from tocsin.server.faults import Fault
from tocsin.server.keys import ApiKeys
from tocsin.server.openapi import openapi
from tocsin.server.protocol import GuardedProtocol
from tocsin.server.scoring import Scoring
from tocsin.server.site import Clocks, Site
from tocsin.sources.base_event_log import EventLog
from tocsin.sources.sqlite_wal import SqliteWal
from tocsin.system.service import Service

STOP_S = 1
"""For requests that are at work to end."""
APPEND_S = 5.0
"""For events to be kept for good."""
BACKLOG = 256


class ServerDied(TocsinError):
    """The server ended of itself: whoever started the service has to start it again."""


class Server:
    """Listens from the beginning of a block to its end.

    Parameters
    ----------
    site
        What it serves.
    settings
        Of the config.
    resolve
        Where a path of the config lies.
    clocks
        Of this machine by default.
    died
        Told, by the server's thread, that it serves no more though the block has not ended; once.

    Raises
    ------
    TocsinError
        On entering: if nobody can listen there, the certificate cannot be read, or the keys cannot.
    ServerDied
        On leaving, if it had died by then.
    """

    def __init__(
        self,
        site: Site,
        settings: ServerConfig,
        resolve: Callable[[str], Path],
        clocks: Clocks | None = None,
        died: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._resolve = resolve
        self._clocks = clocks or Clocks()
        self._scoring = Scoring(site)
        self._site = site
        self._thread: threading.Thread | None = None
        self._told_of_death = died
        self._leaving = self._died = False

    @property
    def address(self) -> str:
        """Where it listens, with the port that the system chose if the config says 0."""
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def __enter__(self) -> Self:
        tls = self._settings.tls
        self._socket = listening(self._settings.listen)
        try:
            config = uvicorn.Config(
                self._door(),
                http=GuardedProtocol,
                loop="uvloop",
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                log_level="critical",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                timeout_graceful_shutdown=STOP_S,
                ssl_certfile=str(self._resolve(tls.certificate)) if tls else None,
                ssl_keyfile=str(self._resolve(tls.key)) if tls else None,
            )
            with readable_tls():
                config.load()
            self._server = uvicorn.Server(config)
            self._thread = threading.Thread(target=self._serve, name="tocsin-rest")
            self._thread.start()
        except BaseException:
            self._socket.close()
            raise
        rest.serving(self.address, keys=self._settings.keys is not None)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._leaving = self._server.should_exit = True
        if self._thread:
            self._thread.join()
        self._scoring.close()
        self._socket.close()
        if self._died and kind is None:
            raise ServerDied("server", "its thread died, see the log", "one that serves to the end", "start it again")

    def _serve(self) -> None:
        try:
            self._server.run([self._socket])
        finally:
            if not self._leaving:
                self._died = True
                self._told_of_death()

    def _door(self) -> Door:
        settings = self._settings
        app = api(self._site)
        document = orjson.dumps(openapi(app.openapi()))

        async def described(_: Request) -> Answer:
            return Answer(document)

        async def score(request: Request) -> Answer:
            return Answer(await self._scoring.one(score_request(request.body)))

        async def score_batch(request: Request) -> Answer:
            return Answer(await self._scoring.many(request.body, request.type))

        hot: dict[str, Handler] = {
            "/openapi.json": described,
            "/v1/score": score,
            "/v1/score/batch": score_batch,
            "/v1/events": self._take_events,
        }
        keys = ApiKeys(self._resolve(settings.keys), self._clocks.now, self._clocks.elapsed) if settings.keys else None
        if keys is not None:
            keys.all()  # damaged keys are found before anybody is served
        return Door(
            hot, app, keys=keys, hosts=_hosts(settings), limits=Limits(settings.body, settings.requests_per_second),
            elapsed=self._clocks.elapsed,
        )  # fmt: skip

    async def _take_events(self, request: Request) -> Answer:
        if self._site.log is None:
            raise Fault(404, "no log of events here", "a service whose source is one", "see docs/rest.md")
        events = events_of(request.body, request.type)
        try:
            loop = asyncio.get_running_loop()
            new = await loop.run_in_executor(None, self._site.log.append, events, APPEND_S)
        except LimitExceeded as full:
            problem = full.problem
            raise Fault(429, problem.got, problem.wanted, problem.hint, headers=((b"retry-after", b"1"),)) from None
        rest.events_taken(len(events))
        return Answer(orjson.dumps({"taken": len(events), "new": new}), 202)


@contextmanager
def beside(service: Service) -> Iterator[Server]:
    """The server of a service's config, as long as the block lasts; events go into the log that the service reads.

    If the server dies the service comes to its end, with everything committed: half a service, which nobody notices,
    is worse than one that is started again.

    Raises
    ------
    TocsinError
        As `Server` does, or if the log cannot be opened.
    """
    config, source = service.project.config, service.stream.source
    settings = config.server or ServerConfig()
    log = None
    if isinstance(source, SqliteWal) and source.message == "event":
        keys = config.schema_.key
        log = EventLog(Path(source.path), key=keys[0] if len(keys) == 1 else None)
    site = Site.of(service, log)
    with (
        closing(log) if log else nullcontext(),
        Server(site, settings, config.resolve, died=service.stop) as server,
    ):
        yield server


def _hosts(settings: ServerConfig) -> frozenset[str]:
    """Names that the server goes by."""
    host = settings.listen.rpartition(":")[0].lower()
    return frozenset((*LOOPBACK, host, *(name.lower() for name in settings.behind_proxy)))


@contextmanager
def readable_tls() -> Iterator[None]:
    """What cannot be read of a certificate and its key within the block is a TocsinError."""
    try:
        yield
    except OSError as error:  # what OpenSSL refuses is one, too
        got = f"{error.filename or 'certificate and key'}: {error.strerror or error}"
        raise TocsinError("$.server.tls", got, "a certificate and its key, in PEM") from None


def listening(address: str) -> socket.socket:
    """A socket that takes connections there; raises TocsinError if it cannot be had."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, int(port)), family=family, backlog=BACKLOG)
    except OSError as error:
        raise TocsinError(
            "$.server.listen", f"{address}: {error.strerror or error}", "an address that is free"
        ) from None
