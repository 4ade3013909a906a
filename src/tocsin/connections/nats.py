"""One connection to a NATS server, from `connect` until it is lost or closed.

It never reconnects by itself: what was delivered and not acknowledged belongs to a connection that is gone, and whoever
holds it has to know. nats-py lives in an event loop, that loop in a thread of its own; what it receives waits here.

Source: NATS, "Client Protocol" and "JetStream wire API Reference"; NATS ADR-15 (subjects of acknowledgements).
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Literal, NamedTuple, TypeVar
from urllib.parse import urlsplit

import nats.errors
import nats.js.errors
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import api

from tocsin.connections import Unreachable
from tocsin.connections.credentials import Credentials
from tocsin.connections.nats_facts import ConsumerFacts, StreamFacts, check_url
from tocsin.connections.nats_keys import UserKey

EXAMPLE_SERVER = "TOCSIN_EXAMPLE_NATS"
"""Environment variable with the url of a server on which the examples of parts may make a stream."""
ANSWER_WITHIN_S = 5.0
PING_S = 4
"""A server that leaves two pings unanswered is lost: after 12 s at the latest."""
AHEAD = 4_096
"""Messages that may wait here, or be on their way."""
AHEAD_BYTES = 1 << 24
"""Bytes of one request for messages, unless the server lets a single one have more."""
REDELIVER_S = 60.0
"""After which a server gives once more what was not acknowledged."""
AT_ONCE = 256
"""Messages that are published before the first acknowledgement is awaited."""
_FAREWELL_S = 2.0

T = TypeVar("T")


class Delivered(NamedTuple):
    """A message of a stream."""

    sequence: int
    """In its stream."""
    delivery: int
    """Of its consumer; each is one more than the one before."""
    left: int
    """How many the consumer had to deliver behind it."""
    reply: str
    """Where it is acknowledged."""
    data: bytes


class NatsClient:
    """A client of one server.

    Parameters
    ----------
    url
        `nats://host:4222`; `tls://host:4222` refuses to go on without TLS.
    credentials
        Who we are.
    credentials_file
        The same, proven by a key.
    """

    def __init__(self, url: str, credentials: Credentials, credentials_file: str | None = None) -> None:
        check_url(url)
        self._url = url
        self._credentials = credentials
        self._credentials_file = credentials_file
        self._nats = Client()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._lost = "no connection"
        """Why nothing can be sent; empty while it can."""
        self._trouble = ""
        """What nats-py told of last."""
        self._came = threading.Event()
        self._waiting: deque[Msg] = deque()
        self._asked, self._got = 0, 0
        """Messages; the first is written by whoever takes them, the second by the loop."""
        self._next = ""
        """Where more are asked for."""
        self._inbox = ""

    def connect(self) -> None:
        """Connect, and be let in.

        Raises
        ------
        Unreachable
            If there is no such server, or it refuses.
        ConfigError
            If a file of the credentials cannot be used.
        """
        self.close()
        self._nats = Client()
        options = self._options()
        self._waiting, self._lost = deque(), ""
        self._asked, self._got, self._trouble = 0, 0, ""
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="nats", daemon=True)
        self._thread.start()
        ready.wait()
        try:
            self._call(self._nats.connect(self._url, **options), ANSWER_WITHIN_S + 1)
            self._insist()
        except Unreachable:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return not self._lost

    def stream(self, name: str) -> StreamFacts:
        """What the server tells of a stream."""
        info = self._call(self._nats.jetstream().stream_info(name))
        created, version = info.created, self._nats.connected_server_version
        return StreamFacts(
            created=0 if created is None else round(created.timestamp() * 1_000_000),
            last=info.state.last_seq,
            storage=str(getattr(info.config.storage, "value", info.config.storage)),
            version=f"{version.major}.{version.minor}.{version.patch}",
        )

    def stream_of(self, subject: str) -> str:
        """The name of the stream that takes what is published to a subject."""
        try:
            return self._call(self._nats.jetstream().find_stream_name_by_subject(subject))
        except _NotFound as error:
            raise _no_stream() from error

    def make_stream(self, name: str, subjects: Sequence[str], storage: Literal["file", "memory"] = "file") -> None:
        """Begin a stream."""
        config = api.StreamConfig(name=name, subjects=list(subjects), storage=api.StorageType(storage))
        self._call(self._nats.jetstream().add_stream(config))

    def consumer(self, stream: str, name: str) -> ConsumerFacts | None:
        """What the server tells of a consumer; None if there is none."""
        try:
            return _facts(self._call(self._nats.jetstream().consumer_info(stream, name)))
        except _NotFound:
            return None

    def make_consumer(
        self, stream: str, name: str | None, subject: str | None, *, behind: int | None, in_flight: int
    ) -> ConsumerFacts:
        """Begin a consumer to pull from; one of that name is deleted before.

        Parameters
        ----------
        stream
            Whose messages it delivers.
        name
            Of a durable one, which acknowledges all up to a message. Without it, it is forgotten when nobody pulls any
            more, and acknowledges nothing.
        subject
            Only those messages; None for all.
        behind
            The sequence number behind which it begins; None for what comes from now on.
        in_flight
            Messages that may be delivered before the first of them is acknowledged.
        """
        if name is not None and self.consumer(stream, name):
            self._call(self._nats.jetstream().delete_consumer(stream, name))
        config = api.ConsumerConfig(
            durable_name=name,
            filter_subject=subject,
            deliver_policy=api.DeliverPolicy.NEW if behind is None else api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=None if behind is None else behind + 1,
            ack_policy=api.AckPolicy.NONE if name is None else api.AckPolicy.ALL,
            ack_wait=None if name is None else REDELIVER_S,
            max_ack_pending=None if name is None else in_flight,
            inactive_threshold=REDELIVER_S if name is None else None,
        )
        return _facts(self._call(self._nats.jetstream().add_consumer(stream, config)))

    def consume(self, stream: str, consumer: str) -> None:
        """Begin to ask for its messages."""
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = self._nats.new_inbox()
        self._call(self._nats.subscribe(self._inbox, cb=self._received))
        self._ask()

    def take(self, most: int, timeout_s: float) -> list[Delivered]:
        """Messages that are there, the first of them awaited for so long.

        Raises
        ------
        Unreachable
            If the connection is lost, once all that came over it is taken.
        """
        if not self._waiting:
            self._came.clear()
            if not self._waiting and not self._lost:
                self._came.wait(timeout_s)
        taken = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        if not taken and self._lost:
            raise Unreachable(self._lost)
        if self._asked - self._got + len(self._waiting) <= AHEAD // 2:
            self._ask()
        return [_delivered(message) for message in taken]

    def acknowledge(self, reply: str) -> None:
        """Tell a consumer of the kind `all` that this message and all before it are done with.

        Raises
        ------
        Unreachable
            If the server does not say that it heard it.
        """
        self._call(self._nats.request(reply, b"+ACK", ANSWER_WITHIN_S))

    def publish(self, subject: str, messages: Sequence[tuple[str, bytes]]) -> None:
        """Publish all, each with its id, and return when a stream has stored them.

        Raises
        ------
        Unreachable
            If it does not say so of each of them.
        """
        for first in range(0, len(messages), AT_ONCE):
            self._call(self._publish(subject, messages[first : first + AT_ONCE]), 2 * ANSWER_WITHIN_S)

    def close(self) -> None:
        """End the connection; may be called twice."""
        thread, self._thread = self._thread, None
        self._lose("a closed connection")
        if thread is None:
            return
        loop, stop, self._loop = self._loop, self._stop, None
        if loop is not None and stop is not None:
            with suppress(RuntimeError):  # the loop ended by itself
                loop.call_soon_threadsafe(stop.set)
        thread.join(2 * _FAREWELL_S)

    def _options(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "allow_reconnect": False,
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": 0.2,
            "connect_timeout": ANSWER_WITHIN_S,
            "ping_interval": PING_S,
            "max_outstanding_pings": 2,
            "name": "tocsin",
            "error_cb": self._noticed,
            "disconnected_cb": self._ended,
            "closed_cb": self._ended,
        }
        credentials = self._credentials
        if self._url.startswith("tls://") or credentials.ca_file or credentials.certificate_file:
            found |= {"tls": credentials.context(), "tls_hostname": urlsplit(self._url).hostname}
        password = credentials.password()
        if credentials.user is not None:
            found |= {"user": credentials.user, "password": lambda: self._insisted(password or "")}
        elif password is not None:
            found["token"] = lambda: self._insisted(password)
        if self._credentials_file is not None:
            user = UserKey.read(self._credentials_file)
            found["signature_cb"] = user.sign
            if user.claim is not None:
                claim = user.claim
                found["user_jwt_cb"] = lambda: bytearray(self._insisted(claim), "ascii")
            self._nats._public_nkey = user.public  # nats-py sets it only with a package that it does not bring
        return found

    def _insist(self) -> None:
        """Nothing is told to a server that left TLS out, if it was asked for: somebody may stand between."""
        said = self._nats._server_info  # nats-py goes on in plain text, and has no other word for it
        if "tls" in self._nats.options and not said.get("tls_required"):
            raise Unreachable("a server without TLS", "use nats:// if that is meant, or set the server's tls")

    def _insisted(self, secret: str) -> str:
        self._insist()
        return secret

    def _run(self, ready: threading.Event) -> None:
        """The loop, in its thread."""
        serving = self._serve(ready)
        try:
            asyncio.run(serving)
        except Exception as error:  # noqa: BLE001  # no descriptor is left for a loop, or whatever else ends one
            self._lose(_said(error))
        finally:
            serving.close()
            ready.set()

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        ready.set()
        await self._stop.wait()
        with suppress(Exception):
            await asyncio.wait_for(self._nats.close(), _FAREWELL_S)

    def _call(self, work: Coroutine[Any, Any, T], within_s: float = ANSWER_WITHIN_S) -> T:
        """What the loop makes of this."""
        if self._lost or self._loop is None:
            work.close()
            raise Unreachable(self._lost or "no connection")
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(within_s + 1)
        except nats.js.errors.NotFoundError as error:
            raise _NotFound(_said(error), "make it first: see docs/brokers.md") from error
        except nats.js.errors.NoStreamResponseError:
            raise _no_stream() from None
        except (TimeoutError, nats.errors.TimeoutError):
            future.cancel()
            raise Unreachable(self._lost or f"nothing in {within_s:g} s") from None
        except nats.errors.NoServersError as error:
            raise Unreachable(self._trouble or _said(error)) from error
        except (OSError, ValueError, nats.errors.Error) as error:
            raise Unreachable(self._lost or _said(error)) from error

    def _ask(self) -> None:
        """Ask for as many messages as may wait."""
        most = AHEAD - max(self._asked - self._got, 0) - len(self._waiting)
        self._asked += most
        asked = {"batch": most, "max_bytes": max(AHEAD_BYTES, 2 * self._nats.max_payload)}
        self._call(self._nats.publish(self._next, orjson.dumps(asked), self._inbox))

    async def _received(self, message: Msg) -> None:
        """One more message, or a word of the server about a request. This is the thread of the loop."""
        if message.reply:
            self._got += 1
            self._waiting.append(message)
        else:
            said = " ".join((message.headers or {}).values())
            if "MaxBytes" not in said:
                self._lose(f"{said} as the answer to a request for messages")
            self._got = self._asked
        self._came.set()

    async def _publish(self, subject: str, messages: Sequence[tuple[str, bytes]]) -> None:
        stream = self._nats.jetstream(timeout=ANSWER_WITHIN_S)
        sent = (stream.publish(subject, data, headers={"Nats-Msg-Id": id}) for id, data in messages)
        await asyncio.gather(*sent)

    async def _noticed(self, error: Exception) -> None:
        self._trouble = _said(error)
        if isinstance(error, nats.errors.SlowConsumerError):  # a message is gone
            self._lose(self._trouble)

    async def _ended(self) -> None:
        self._lose(self._trouble or "the end of the connection")

    def _lose(self, why: str) -> None:
        self._lost = self._lost or why
        self._came.set()


class _NotFound(Unreachable):
    """There is no such stream or consumer."""


def _no_stream() -> Unreachable:
    return Unreachable("no stream that takes this subject", "make one first: see docs/brokers.md")


def _facts(info: api.ConsumerInfo) -> ConsumerFacts:
    policy, delivered, floor = info.config.ack_policy, info.delivered, info.ack_floor
    return ConsumerFacts(
        name=info.name,
        acknowledges=str(getattr(policy, "value", policy)),
        subject=info.config.filter_subject or None,
        pushes=bool(info.config.deliver_subject),
        delivery=delivered.consumer_seq if delivered else 0,
        acknowledged=floor.stream_seq if floor else 0,
        in_flight=info.num_ack_pending or 0,
        left=info.num_pending or 0,
    )


def _delivered(message: Msg) -> Delivered:
    """`$JS.ACK.stream.consumer.times.sequence.delivery.time.left`, or the same with a domain and an account."""
    words = message.reply.split(".")
    first = 5 if len(words) == 9 else 7
    return Delivered(int(words[first]), int(words[first + 1]), int(words[first + 3]), message.reply, message.data)


def _said(error: Exception) -> str:
    return str(getattr(error, "description", None) or error) or type(error).__name__
