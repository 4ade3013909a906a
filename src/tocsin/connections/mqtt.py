"""One connection to an MQTT broker, from `connect` until it is lost or closed.

It never reconnects by itself: what was not acknowledged belongs to a connection that is gone, and whoever holds it has
to know. MQTT 5, QoS 1, a session that the broker keeps under a fixed name.

Source: OASIS, MQTT Version 5.0 (3.3.4 flow control, 4.3 delivery, 4.4 redelivery, 4.6 order).
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from tocsin.connections import Unreachable
from tocsin.connections.credentials import Credentials
from tocsin.connections.mqtt_address import Address
from tocsin.observe import live

KEEPALIVE_S = 8
"""A broker that has been silent for twice as long is lost."""
ANSWER_WITHIN_S = 10.0
MAX_PACKET = 1 << 24
"""Bytes of a message; a broker keeps larger ones to itself."""
MAX_WAITING = 1 << 26
"""Bytes of messages that wait to be read, but for the last of them."""
MAX_IN_FLIGHT = 10_000
NOBODY = 16
"""The broker took a message that nobody has subscribed to, and forgot it."""
EXAMPLE_SERVER = "TOCSIN_EXAMPLE_MQTT"
"""Environment variable with the url of a broker for the examples of source and sink."""
_FAREWELL_S = 1.0
_LAST_ANSWER_S = 1.0
"""For a broker to do what it was told last, before the connection ends: a service stops within 2 s."""
_QUESTION = "unsubscribe"
_NOWHERE = "tocsin/nowhere"
"""A subscription that is never made; to end it is a question that a broker has to answer."""
_HINTS = {
    "No matching subscribers": "let whoever is to read it subscribe first: the broker forgets what nobody waits for",
    "Not authorized": "check user, password_file and what the broker's acl_file allows",
    "Bad user name or password": "check user and password_file",
}


def _unreachable(got: str) -> Unreachable:
    usual = "is the broker up, its url right, and the client_id used by nobody else?"
    return Unreachable(got, next((hint for word, hint in _HINTS.items() if word in got), usual))


def example_url() -> str:
    """Where the broker is on which examples may publish and subscribe."""
    return os.environ.get(EXAMPLE_SERVER, "mqtt://127.0.0.1:1883")


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a broker delivered."""

    mid: int
    """By which it is acknowledged; 0 if it need not be."""
    topic: str
    payload: bytes
    repeated: bool
    """Whether the broker says that it gives it once more; if not, it may do so all the same."""


class _Client(Client):
    """Of paho; it is told if an error ends the thread that reads, in which nobody else would notice it."""

    died: Callable[[BaseException], None]

    def loop_forever(self, *how: Any, **more: Any) -> MQTTErrorCode:
        try:
            return super().loop_forever(*how, **more)
        except BaseException as error:
            self.died(error)
            raise


class MqttClient:
    """A client of one broker.

    Parameters
    ----------
    url
        Where it listens.
    client_id
        The name of the session; the broker allows one connection for each.
    credentials
        Who we are.
    keep_s
        How long the broker keeps the session after the connection is gone; 0: not at all.
    in_flight
        Messages that the broker may deliver before the first of them is acknowledged.
    """

    def __init__(
        self, url: str, client_id: str, credentials: Credentials, *, keep_s: int = 0, in_flight: int = 1
    ) -> None:
        self._address = Address.of(url)
        self._id = client_id
        self._credentials = credentials
        self._keep_s = keep_s
        self._in_flight = in_flight
        self._client: Client | None = None
        self._changed = threading.Condition()
        self._lost = "no connection"
        """Why nothing can be sent; empty while it can."""
        self._waiting: deque[Delivered] = deque()
        self._bytes, self._limit = 0, inf
        """Of messages that wait. What comes before the answer to a subscription has to wait, however much it is."""
        self._answers: dict[tuple[str, int], list[ReasonCode]] = {}
        self._asked = 0
        """Questions that were not answered yet."""
        self._known = False

    def connect(self) -> bool:
        """Begin the session or go on with it; whether the broker still knew it.

        Raises
        ------
        Unreachable
            If there is no such broker or it refuses.
        ConfigError
            If a file of the credentials cannot be used.
        """
        self.close()
        client = self._made()
        self._waiting.clear()
        self._answers.clear()
        self._asked, self._bytes, self._limit, self._lost = 0, 0, inf, ""
        try:
            where = self._address.host, self._address.port, KEEPALIVE_S
            client.connect(*where, clean_start=not self._keep_s, properties=self._wishes())
        except (OSError, ValueError) as error:  # a ValueError is a name that no resolver takes
            self._lost = str(error)
            raise _unreachable(self._lost) from error
        self._client = client
        client.loop_start()
        refusal = self._awaited("connect", 0)[0]
        if refusal.is_failure:
            self.close()
            raise _unreachable(f"{refusal} as its answer")
        return self._known

    def subscribe(self, topics: Sequence[str]) -> int:
        """Ask for the messages of these topics, `+` and `#` among them; what is retained comes the first time only.

        Returns how many messages wait by now: all that the broker gave before, for which it was not asked again.

        Raises
        ------
        Unreachable
            If the broker is gone or refuses one of them.
        """
        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
        asked = self._open.subscribe([(topic, options) for topic in topics])
        for topic, answer in zip(topics, self._answered("subscribe", *asked), strict=True):
            if answer.is_failure:
                raise _unreachable(f"{answer} as its answer to a subscription of {topic}")
        with self._changed:
            self._limit = MAX_WAITING
            return len(self._waiting)

    def take(self, most: int, timeout_s: float) -> list[Delivered]:
        """The messages that are there, the first of them awaited for so long.

        Raises
        ------
        Unreachable
            If the connection is lost, once all that came over it is taken.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._lost, timeout_s)
            taken = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
            self._bytes -= sum(len(message.payload) for message in taken)
            self._changed.notify_all()
        if not taken and self._lost:
            raise _unreachable(self._lost)
        return taken

    def acknowledge(self, mids: Sequence[int]) -> None:
        """Tell the broker that it may forget these; they are in the order in which they came.

        Raises
        ------
        Unreachable
            If the connection is lost: the broker will deliver them once more.
        """
        for mid in mids:
            if self._open.ack(mid, 1) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                raise _unreachable(self._lost or "a connection that takes nothing")

    def publish(self, topic: str, payloads: Sequence[bytes]) -> None:
        """Publish all, and return when the broker has them: on its disk, if it is set to write after every change.

        mosquitto acknowledges first and writes then, before it listens again. A message that goes straight on to a
        reader is no change to it, a question is: it writes with the first one, and has done so when it answers the
        second.

        Raises
        ------
        Unreachable
            If it does not say so of each of them, or if nobody has subscribed to the topic.
        """
        for first in range(0, len(payloads), MAX_IN_FLIGHT):
            sent = [self._open.publish(topic, payload, qos=1) for payload in payloads[first : first + MAX_IN_FLIGHT]]
            for info in sent:
                answer = self._answered("publish", info.rc, info.mid)[0]
                if answer.is_failure or answer.value == NOBODY:
                    raise _unreachable(f"{answer} as its answer to a message for {topic}")
        for _ in range(2):
            self._awaited(_QUESTION, self.ask())

    def ask(self) -> int:
        """Ask something that changes nothing: when the broker answers, it has done all that it was told before.

        Returns what `heard` wants to know.

        Raises
        ------
        Unreachable
            If the connection is lost.
        """
        with self._changed:
            self._asked += 1
        code, mid = self._open.unsubscribe(_NOWHERE)
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None:
            raise _unreachable(self._lost or f"error {code} of the connection")
        return mid

    def heard(self, question: int) -> bool:
        """Whether the answer has come; told once."""
        with self._changed:
            return self._answers.pop((_QUESTION, question), None) is not None

    def forget(self) -> None:
        """Let the broker forget the session and all that it keeps for it.

        Raises
        ------
        Unreachable
            If it does not answer.
        """
        self._keep_s = 0
        self.connect()
        self.close()

    def close(self) -> None:
        """End the connection once the last question is answered; the session stays. May be called twice."""
        client, self._client = self._client, None
        if client is None:
            return
        with self._changed:  # a broker that finds the connection closed does not read what was sent before
            self._changed.wait_for(lambda: self._lost or not self._asked, _LAST_ANSWER_S)
        client.disconnect()
        with self._changed:
            self._changed.wait_for(lambda: self._lost, _FAREWELL_S)
        if (socket := client.socket()) is not None:  # the broker takes nothing any more, or the thread that reads died
            socket.close()
        self._lose("a closed connection")
        client.loop_stop()

    @property
    def _open(self) -> Client:
        if self._client is None or self._lost:
            raise _unreachable(self._lost or "no connection")
        return self._client

    def _made(self) -> Client:
        version = CallbackAPIVersion.VERSION2
        client = _Client(version, self._id, protocol=MQTTv5, reconnect_on_failure=False, manual_ack=True)
        client.died = lambda error: self._lose(f"{type(error).__name__} in the thread that reads")
        client.on_connect, client.on_message = self._connected, self._received
        client.on_disconnect = lambda _client, _data, _flags, code, _: self._lose(
            f"{code} as the end of the connection"
        )
        client.on_publish = lambda _client, _data, mid, code, _: self._hear("publish", mid, [code])
        client.on_subscribe = lambda _client, _data, mid, codes, _: self._hear("subscribe", mid, codes)
        client.on_unsubscribe = lambda _client, _data, mid, codes, _: self._hear(_QUESTION, mid, codes)
        client.connect_timeout = ANSWER_WITHIN_S
        if self._address.encrypted:
            client.tls_set_context(self._credentials.context())
        if self._credentials.user is not None:
            client.username_pw_set(self._credentials.user, self._credentials.password())
        return client

    def _wishes(self) -> Properties:
        wishes = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho gives these no types
        wishes.SessionExpiryInterval = self._keep_s
        wishes.ReceiveMaximum = self._in_flight
        wishes.MaximumPacketSize = MAX_PACKET
        return wishes

    def _answered(self, question: str, code: MQTTErrorCode, mid: int | None) -> list[ReasonCode]:
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None:
            raise _unreachable(self._lost or f"error {code} of the connection")
        return self._awaited(question, mid)

    def _awaited(self, question: str, mid: int) -> list[ReasonCode]:
        with self._changed:
            self._changed.wait_for(lambda: self._lost or (question, mid) in self._answers, ANSWER_WITHIN_S)
            answer = self._answers.pop((question, mid), None)
        if answer is None:
            raise _unreachable(self._lost or f"no answer to {question} in {ANSWER_WITHIN_S:g} s")
        return answer

    def _hear(self, question: str, mid: int, answer: list[ReasonCode]) -> None:
        with self._changed:
            self._answers[question, mid] = answer
            self._asked -= question == _QUESTION
            self._changed.notify_all()

    def _lose(self, why: str) -> None:
        with self._changed:
            self._lost = self._lost or why
            self._changed.notify_all()

    def _connected(self, _: Client, __: Any, flags: ConnectFlags, code: ReasonCode, ___: Properties | None) -> None:
        self._known = flags.session_present
        self._hear("connect", 0, [code])

    def _received(self, _: Client, __: Any, message: MQTTMessage) -> None:
        """Put it with those that wait. This is the network's thread: where there is no room, the broker has to wait."""
        try:
            found = Delivered(message.mid, message.topic, bytes(message.payload), message.dup)
        except UnicodeDecodeError:
            self._lose("a topic that is no text")
            return
        with self._changed:
            self._changed.wait_for(lambda: self._bytes < self._limit or self._lost, KEEPALIVE_S / 2)
            if self._bytes < self._limit:
                self._waiting.append(found)
                self._bytes += len(found.payload)
                self._changed.notify_all()
                return
        if found.mid:  # it comes again
            self._lose("more messages than are read")
        else:
            live.message_left_out(self._address.host)
