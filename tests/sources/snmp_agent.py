"""An SNMP agent that says what it is told, with the bytes that it needs, and what is done with its rows."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from threading import Thread

import numpy as np

from tocsin.component import PartSpec, build
from tocsin.features.base import compile_program
from tocsin.features.rate import Rate
from tocsin.kernel.run import Kernel
from tocsin.presets import read_preset
from tocsin.records import Batch, Vector
from tocsin.schema import Schema
from tocsin.sources.base import Source

HOSTS = Schema.model_validate(read_preset("hosts")["schema"])
IF, IFX = "1.3.6.1.2.1.2.2.1", "1.3.6.1.2.1.31.1.1.1"
UPTIME = "1.3.6.1.2.1.1.3.0"
OCTETS = "net_bytes_in_counter"


def tlv(tag: int, body: bytes) -> bytes:
    length = bytes([len(body)]) if len(body) < 128 else b"\x82" + len(body).to_bytes(2, "big")
    return bytes([tag]) + length + body


def number(value: int, tag: int = 0x02) -> bytes:
    return tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def text(value: str) -> bytes:
    return tlv(0x04, value.encode())


def identifier(name: str) -> bytes:
    first, second, *steps = map(int, name.split("."))
    body = bytes([first * 40 + second])
    for step in steps:
        sevens = [step >> shift & 127 for shift in range(28, -1, -7)]
        while len(sevens) > 1 and not sevens[0]:
            del sevens[0]
        body += bytes([*(seven | 128 for seven in sevens[:-1]), sevens[-1]])
    return tlv(0x06, body)


def parts(body: bytes) -> Iterator[tuple[int, bytes]]:
    while body:
        tag, length, start = body[0], body[1], 2
        if length & 128:
            start += length & 127
            length = int.from_bytes(body[2:start], "big")
        yield tag, body[start : start + length]
        body = body[start + length :]


def named(body: bytes) -> str:
    steps, step = [body[0] // 40, body[0] % 40], 0
    for byte in body[1:]:
        step = step << 7 | byte & 127
        if not byte & 128:
            steps.append(step)
            step = 0
    return ".".join(map(str, steps))


def answer(ask: bytes, request: int, bindings: list[tuple[str, bytes]]) -> bytes:
    body = b"".join(tlv(0x30, identifier(name) + value) for name, value in bindings)
    return tlv(0x30, number(1) + tlv(0x04, ask) + tlv(0xA2, number(request) + number(0) + number(0) + tlv(0x30, body)))


def place(name: str) -> tuple[int, ...]:
    return tuple(map(int, name.split(".")))


class Agent:
    """Speaks version 2c: the truth of `objects`, unless `speak` says otherwise."""

    def __init__(self, objects: dict[str, bytes], speak: Callable[[bytes, int], Iterator[bytes]] | None = None) -> None:
        self.objects, self.speak, self.requests = objects, speak, 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.name = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = Thread(target=self._serve)

    def __enter__(self) -> Agent:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while data := (received := self._socket.recvfrom(65_535))[0]:
            self.requests += 1
            _, message = next(parts(data))
            (_, _), (_, ask), (kind, pdu) = parts(message)
            (_, request), (_, _), (_, most), (_, bindings) = parts(pdu)
            names = [named(next(parts(binding))[1]) for _, binding in parts(bindings)]
            code = int.from_bytes(request, "big")
            found = self._bulk(names[0], most[0]) if kind == 0xA5 else self._get(names)
            for datagram in self.speak(ask, code) if self.speak else [answer(ask, code, found)]:
                self._socket.sendto(datagram, received[1])

    def _get(self, names: list[str]) -> list[tuple[str, bytes]]:
        return [(name, self.objects.get(name, tlv(0x80, b""))) for name in names]

    def _bulk(self, name: str, most: int) -> list[tuple[str, bytes]]:
        behind = sorted((other for other in self.objects if place(other) > place(name)), key=place)
        return [(other, self.objects[other]) for other in behind[:most]] or [(name, tlv(0x82, b""))]


def port(index: int, octets: int, *, name: str = "", bits: int = 32, kind: int = 6) -> dict[str, bytes]:
    """An interface that counts octets."""
    wide = {f"{IFX}.6.{index}": number(octets, 0x46)} if bits == 64 else {}
    return {
        f"{IF}.2.{index}": text(name or f"eth{index}"),
        f"{IF}.3.{index}": number(kind),
        f"{IF}.10.{index}": number(octets % 2**32, 0x41),
        **wide,
    }


def device(seconds: float, *ports: dict[str, bytes]) -> dict[str, bytes]:
    found = {UPTIME: number(round(seconds * 100), 0x43)}
    for interface in ports:
        found |= interface
    return found


def everything(source: Source) -> list[Batch]:
    source.open()
    batches = []
    while not source.ended:
        if (batch := source.read(1.0)) is not None:
            batches.append(batch)
            source.acknowledge(batch)
    source.close()
    return batches


def rates(
    batches: list[Batch], column: str = OCTETS, *, reset: str = "nan", uptime: str | None = "sys_uptime_sec"
) -> Vector:
    """What the feature `rate` makes of the rows."""
    feature = build("features", PartSpec("rate", {"columns": [column], "uptime": uptime, "reset": reset}))
    assert isinstance(feature, Rate)
    kernel = Kernel(compile_program(HOSTS, (), [feature], Batch({})))
    state, found = kernel.start(), []
    for batch in batches:
        if batch.rows:
            valid, refused = HOSTS.split(batch)
            assert not refused
            found += kernel.run(valid, state).values[:, 0].tolist()
    return np.array(found)
