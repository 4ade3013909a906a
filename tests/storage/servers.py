"""S3 and Google Cloud Storage on this machine, each in a process of its own that no test leaves behind."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

import httpx2

HERE = Path(__file__).parent
PATIENCE_S = 30.0


@dataclass
class CloudServer(ABC):
    """A server, what it was asked, and the environment in which Tocsin and its peers find it."""

    url: str
    environment: dict[str, str]
    asked: list[str] = field(default_factory=list)
    """Every request that it has got, method first."""
    quiet_path: ClassVar[str] = ""

    @abstractmethod
    def bucket(self) -> str:
        """The URL of a new bucket."""

    def since(self, mark: int) -> list[str]:
        """Requests since a mark."""
        return self.asked[mark : self.mark() - 1]

    def mark(self) -> int:
        """A place among the requests: all before it are known by now."""
        sign = uuid4().hex
        httpx2.get(f"{self.url}/{self.quiet_path}?{sign}")
        patience = time.monotonic() + PATIENCE_S
        while not any(sign in line for line in self.asked[-20:]):
            assert time.monotonic() < patience, f"{self.url} has stopped"
            time.sleep(0.001)
        return next(place for place, line in enumerate(self.asked) if sign in line) + 1


class S3Server(CloudServer):
    """Buckets with the names of `s3://`."""

    quiet_path = "moto-api/"

    def bucket(self) -> str:
        """The URL of a new bucket."""
        name = f"tocsin-{uuid4().hex[:12]}"
        httpx2.put(f"{self.url}/{name}").raise_for_status()
        return f"s3://{name}"


class GcsServer(CloudServer):
    """Buckets with the names of `gs://`."""

    def bucket(self) -> str:
        """The URL of a new bucket."""
        name = f"tocsin-{uuid4().hex[:12]}"
        httpx2.post(f"{self.url}/storage/v1/b", json={"name": name}).raise_for_status()
        return f"gs://{name}"


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Amazon S3 on a free port."""
    with _serving("serve_s3.py") as (url, asked):
        environment = {
            "AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST",
            "AWS_SECRET_ACCESS_KEY": "not-a-secret-of-anybody",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": url,
        }
        yield S3Server(url, environment, asked)


@contextmanager
def gcs_server() -> Iterator[GcsServer]:
    """Google Cloud Storage on a free port."""
    with _serving("serve_gcs.py") as (url, asked):
        yield GcsServer(url, {"STORAGE_EMULATOR_HOST": url}, asked)


@contextmanager
def _serving(script: str) -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    with subprocess.Popen(
        [sys.executable, HERE / script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        port = int(process.stdout.readline())  # the port that this very process has bound
        lines = process.stdout
        reader = threading.Thread(target=lambda: asked.extend(line.rstrip() for line in lines))
        reader.start()
        try:
            yield f"http://127.0.0.1:{port}", asked
        finally:
            process.stdin.close()
            process.wait(10)
            reader.join()
