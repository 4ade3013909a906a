"""MQTT: messages of one or several topics become rows.

Source: OASIS, MQTT Version 5.0 (4.1 session state, 4.4 redelivery); see `base_messages` for what a message holds.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Self
from uuid import uuid4

from pydantic import Field

from tocsin.component import Duration, Risk
from tocsin.connections import Unreachable
from tocsin.connections.credentials import Credentials
from tocsin.connections.mqtt import EXAMPLE_SERVER, MAX_IN_FLIGHT, Delivered, MqttClient, example_url
from tocsin.connections.mqtt_address import Address, ClientId, Filter
from tocsin.connections.mqtt_risks import risks
from tocsin.errors import SourceLost
from tocsin.observe import live
from tocsin.sources.base import RowsPerBatch
from tocsin.sources.base_messages import WHOLE, Message, MessageSource, MessagesToRead

_SEEN = "seen "
"""In a position, before the number of a message that the broker may give once more: a digest of what it held."""


class Mqtt(MessageSource):
    """Follow topics of an MQTT 5 broker, in a session that it keeps while Tocsin is away.

    The broker is told that a message arrived (QoS 1) after its rows are committed. MQTT numbers no messages, so the
    position remembers a digest of each that the broker may not have forgotten yet: what it gives again at the next
    connection and was committed before, is left out and counted. A message sent as QoS 0 is read, too, but nobody keeps
    it while Tocsin is away.

    A broker that is lost is noticed within 16 s, and the source is then opened again. What it needs to lose nothing of
    its own is in `docs/brokers.md`; the defaults of mosquitto do not suffice, and `tocsin doctor` says so.

    It is no source of history: without a running service nothing is acknowledged, and the broker gives no more than
    `in_flight` messages.

    Parameters
    ----------
    url
        `mqtt://host:1883`, or `mqtts://host:8883` for TLS.
    topics
        Filters with `+` and `#`. Others need another `client_id`, too: a broker goes on with what it was once asked.
    client_id
        The session's name, for this service alone.
    user, password_file
        If the broker asks who we are; the file holds the password.
    ca_file, certificate_file, key_file
        PEM files: who signed the broker's certificate if this machine does not know, and our own with its key.
    in_flight
        Messages that the broker may give before the first of them is committed.
    keep
        How long the broker keeps the session while nobody is connected.
    messages
        Ends after so many; without it, never.
    settings_file
        The broker's own config if it lies on this machine: `tocsin doctor` then looks into it.
    rows
        Rows per batch at most.
    """

    def __init__(  # noqa: PLR0913  # each is one line of a config
        self,
        *,
        url: str = "mqtt://127.0.0.1:1883",
        topics: Annotated[tuple[Filter, ...], Field(min_length=1, max_length=100)],
        client_id: ClientId,
        user: str | None = None,
        password_file: str | None = None,
        ca_file: str | None = None,
        certificate_file: str | None = None,
        key_file: str | None = None,
        in_flight: Annotated[int, Field(ge=1, le=MAX_IN_FLIGHT)] = 500,
        keep: Duration = 7 * 86_400.0,
        messages: MessagesToRead = None,
        settings_file: str | None = None,
        rows: RowsPerBatch = 10_000,
    ) -> None:
        Address.of(url)
        super().__init__(file=f"mqtt {client_id}", rows=rows, messages=messages)
        self.url = url
        self.topics = topics
        self.client_id = client_id
        self.user = user
        self.password_file = password_file
        self.ca_file = ca_file
        self.certificate_file = certificate_file
        self.key_file = key_file
        self.in_flight = in_flight
        self.keep = keep
        self.settings_file = settings_file
        self._client = MqttClient(url, client_id, self.credentials, keep_s=round(keep), in_flight=in_flight)
        self._untold: deque[tuple[int, int]] = deque()
        """Numbers of messages that the broker waits to hear of, and what it calls them."""
        self._unmarked: deque[tuple[int, int]] = deque()
        """Numbers of those that no position tells of yet, and their digests."""
        self._asked: deque[tuple[int, int]] = deque()
        """Questions that the broker answers when it has forgotten all up to a number, and that number."""
        self._repeats: Counter[int] = Counter()
        """Digests of what the broker may give once more."""
        self._early = 0
        """Messages that came before the broker was asked for others: any of them may be given once more."""
        self._begun = 0
        """The last message that was committed before this connection."""
        self._next = 1

    @property
    def credentials(self) -> Credentials:
        """Who we are to the broker."""
        return Credentials(self.user, self.password_file, self.ca_file, self.certificate_file, self.key_file)

    def risks(self) -> tuple[Risk, ...]:
        with self._or_lost():
            return risks(self.url, self.credentials, self.settings_file)

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Five messages that wait in a session of their own, the second broken, the last one with two rows."""
        url, name = example_url(), f"example-{uuid4().hex[:12]}"
        source = cls(url=url, topics=(f"tocsin/{name}/+",), client_id=name, keep=600.0, messages=5, rows=2)
        reader = MqttClient(url, name, Credentials(), keep_s=600, in_flight=source.in_flight)
        sender = MqttClient(url, f"{name}-sender", Credentials())
        contents = [
            b'{"host": "a", "bytes": 10}',
            b'{"host": "a", "by',
            *(b'{"host": "b", "bytes": %d}' % n for n in (2, 3)),
        ]
        try:
            reader.connect()
            reader.subscribe(source.topics)
            sender.connect()
            sender.publish(f"tocsin/{name}/flows", [*contents, b"\n".join(contents[2:])])
        except Unreachable as error:
            raise SourceLost(
                "example of sources.mqtt", error.got, f"a broker at {url}", f"{EXAMPLE_SERVER} names another"
            ) from error
        finally:
            reader.close()
            sender.close()
        return source

    def _connect(self, offsets: Mapping[str, int]) -> int:
        for queue in (self._untold, self._unmarked, self._asked):
            queue.clear()
        self._begun = offsets.get(WHOLE, 0)
        self._next = self._begun + 1
        self._repeats = Counter(digest for name, digest in offsets.items() if name.startswith(_SEEN))
        with self._or_lost():
            known = self._client.connect()
            self._early = self._client.subscribe(self.topics)
        if offsets and not known:
            live.session_forgotten("mqtt")
        return self._begun

    def _take(self, most: int, timeout_s: float) -> Sequence[Message]:
        fresh, repeated = [], 0
        with self._or_lost():
            came = self._client.take(most, timeout_s)
        for item in came:
            digest = _digest(item)
            number = self._begun if self._is_repeated(item, digest) else self._next
            if item.mid:
                self._untold.append((number, item.mid))
            if number == self._begun:
                repeated += 1
                continue
            if item.mid:
                self._unmarked.append((number, digest))
            fresh.append(Message(number, item.payload))
            self._next += 1
        if repeated:
            live.messages_redelivered("mqtt", repeated)
        if len(self._untold) >= self.in_flight:  # the broker may wait to hear of them before it gives others
            self._forget(self._begun)
        return fresh

    def _is_repeated(self, item: Delivered, digest: int) -> bool:
        """Whether it was committed before."""
        self._early -= 1
        if not item.mid or not (item.repeated or self._early >= 0) or not self._repeats[digest]:
            return False
        self._repeats[digest] -= 1
        return True

    def _forget(self, number: int) -> None:
        told = [mid for place, mid in self._untold if place <= number]
        with self._or_lost():
            self._client.acknowledge(told)
            if told and self._early <= 0:  # of those that came early, some may wait to be told by their digests
                self._asked.append((self._client.ask(), number))
        while self._untold and self._untold[0][0] <= number:
            self._untold.popleft()

    def _marks(self, number: int) -> Mapping[str, int]:
        """The digests of all that is done with and that the broker has, for all we know, not forgotten."""
        while self._asked and self._client.heard(self._asked[0][0]):
            _, forgotten = self._asked.popleft()
            for name in [name for name in self._offsets if name.startswith(_SEEN)]:
                if int(name.removeprefix(_SEEN)) <= forgotten:
                    del self._offsets[name]
        marks = {}
        while self._unmarked and self._unmarked[0][0] <= self._whole:
            place, digest = self._unmarked.popleft()
            marks[f"{_SEEN}{place}"] = digest
        return marks

    def _disconnect(self) -> None:
        self._client.close()

    @contextmanager
    def _or_lost(self) -> Iterator[None]:
        try:
            yield
        except Unreachable as error:
            raise SourceLost(f"source mqtt {self.url}", error.got, "an answer", error.hint) from error


def _digest(item: Delivered) -> int:
    """63 bits of topic and content."""
    found = blake2b(item.topic.encode() + b"\0" + item.payload, digest_size=8).digest()
    return int.from_bytes(found, "big") >> 1
