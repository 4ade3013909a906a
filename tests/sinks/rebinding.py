"""A name that means another address with every look-up, in a network of its own.

Run as root with the answers to give one after the other, each as addresses with commas between them. The receiver is
at a public address, which lies on this machine here, and the canary at the same port of 127.0.0.1. Prints what either
got.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.sinks.receivers import Listener

from tocsin.checks.sink import example_alert
from tocsin.errors import DeliveryError
from tocsin.sinks.webhook import Webhook

PUBLIC = "93.184.216.34"
RESOLVER = "127.0.0.53"
ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
_ADDRESS = 1
"""The type of a question for IPv4 addresses."""


def answered(question: bytes, answers: list[list[str]]) -> bytes:
    """A reply to one question; the last answer stays."""
    end = question.index(b"\x00", 12) + 5
    (kind,) = struct.unpack_from(">H", question, end - 4)
    addresses: list[str] = []
    if kind == _ADDRESS:
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
    head = question[:2] + struct.pack(">HHHHH", 0x8180, 1, len(addresses), 0, 0)
    found = (b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(address) for address in addresses)
    return head + question[12:end] + b"".join(found)


def resolve(answers: list[list[str]]) -> None:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((RESOLVER, 53))

    def serve() -> None:
        while True:
            question, who = server.recvfrom(512)
            server.sendto(answered(question, answers), who)

    threading.Thread(target=serve, daemon=True).start()
    with TemporaryDirectory() as folder:
        ours = Path(folder, "resolv.conf")
        ours.write_text(f"nameserver {RESOLVER}\noptions ndots:1 timeout:2\n")
        subprocess.run(["mount", "--bind", ours, "/etc/resolv.conf"], check=True)


def main() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "address", "add", f"{PUBLIC}/32", "dev", "lo"], check=True)
    resolve([answer.split(",") for answer in sys.argv[1:]])
    with Listener(ANSWER) as canary, Listener(ANSWER, at=(PUBLIC, canary.port)) as receiver:
        sink = Webhook(
            url=f"http://flips.example:{canary.port}/", secret=f"whsec_{'a' * 32}", allow_http=True, timeout=2.0
        )
        refused: list[str] = []
        for number in range(4):
            try:
                sink.open()
                sink.write([example_alert(number)])
            except DeliveryError as error:
                refused.append(error.problem.got)
    found = {"canary": len(canary.connections), "posted": receiver.received.count(b"POST"), "no": refused}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
