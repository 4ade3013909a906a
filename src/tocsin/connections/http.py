"""Asking an HTTP server for JSON, with a limit on everything: time, size, attempts, and where it may lead.

Source: RFC 9110 (status codes), RFC 6750 (bearer tokens), RFC 7617 (basic authentication).
"""

from __future__ import annotations

import re
import time
from base64 import b64encode
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx2
import orjson

from tocsin.connections.secret_files import read_secret, refused
from tocsin.errors import DataError, LimitExceeded, SourceLost
from tocsin.storage import Meter

MAX_ANSWER = 1 << 24
"""Bytes of an answer, unpacked."""
MAX_SHOWN = 500
"""Characters of a foreign text in a message."""
ATTEMPTS = 5
_FIRST_WAIT_S = 1.0
_HINT = "is the server up, and `timeout` long enough?"
_PIECE = 1 << 16
_MAX_TOKEN = 1 << 16
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Status codes that may be gone at the next attempt."""
# What a bearer token may be made of; a colon is not among it.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


class TooLong(Exception):
    """An answer is longer than `MAX_ANSWER`; whoever asked may ask for less."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's last word."""

    status: int
    value: Any
    """The JSON of the body; None also if it is none."""
    whole: bool
    """Whether it is JSON at all."""


class Answers(Protocol):
    """Where answers come from."""

    def get(self, name: str, parameters: Mapping[str, str], wait_s: float) -> Reply | None:
        """The answer to the question of that name; None if it is to be asked again later."""

    def close(self) -> None:
        """Give up what is held."""


class JsonServer:
    """One address of a server. Asked again, it waits and waits longer while the server is out of reach or overloaded.

    Redirects are not followed: a token must not end up elsewhere. Answers must not be compressed, so that few bytes
    cannot become many.

    Parameters
    ----------
    url
        What is asked.
    timeout_s
        For one attempt: to connect, then until the answer begins, then until it ends, so three times that at worst.
    authorization
        Says who asks: what the header of that name holds. Called for every attempt, as tokens are renewed.
    elapsed
        Seconds that only grow.
    sleep
        Waits for that many seconds.
    meter
        Counts attempts and bytes, and bounds them.
    """

    def __init__(  # noqa: PLR0913  # the address, who asks, and the means
        self,
        url: str,
        timeout_s: float,
        authorization: Callable[[], str] | None,
        *,
        elapsed: Callable[[], float],
        sleep: Callable[[float], None],
        meter: Meter | None = None,
    ) -> None:
        self.url = url
        self._timeout_s = timeout_s
        self._meter = meter or Meter()
        self._elapsed = elapsed
        self._sleep = sleep
        self._failed = 0
        """Attempts in a row."""
        self._due = elapsed()
        self._client = httpx2.Client(
            auth=Authorized(authorization) if authorization else None,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            timeout=timeout_s,
            follow_redirects=False,
        )

    def get(self, name: str, parameters: Mapping[str, str], wait_s: float) -> Reply | None:
        """One attempt at an answer, if it is due within `wait_s`; None if another one is needed.

        Raises
        ------
        SourceLost
            If this was the fifth attempt in a row that gave nothing to be read; the next one is due at once.
        TooLong
            If the answer exceeds the limit.
        ConfigError
            If what authorizes cannot be used.
        LimitExceeded
            If the meter allows no more.
        """
        wait = self._due - self._elapsed()
        if wait > 0:
            self._sleep(min(wait, wait_s))
            if wait > wait_s:
                return None
        try:
            reply = self._attempt(parameters)
            problem = _passing(reply)
        except httpx2.TransportError as error:
            problem = f"{type(error).__name__}: {str(error)[:MAX_SHOWN] or f'nothing in {self._timeout_s:g} s'}"
        if not problem:
            self._failed = 0
            return reply
        self._failed += 1
        if self._failed == ATTEMPTS:
            self._failed, self._due = 0, self._elapsed()
            raise SourceLost(f"{self.url}, query {name}", f"{problem} ({ATTEMPTS} attempts)", "an answer", _HINT)
        self._due = self._elapsed() + _FIRST_WAIT_S * 2 ** (self._failed - 1)
        return None

    def close(self) -> None:
        """Give the connections up."""
        self._client.close()

    def _attempt(self, parameters: Mapping[str, str]) -> Reply:
        deadline = time.monotonic() + self._timeout_s
        body = bytearray()
        self._meter.begin(self.url, "get")
        with self._client.stream("GET", self.url, params=dict(parameters)) as answer:
            for piece in answer.iter_raw(_PIECE):
                body += piece
                self._meter.receive(self.url, len(piece))
                if len(body) > MAX_ANSWER:
                    raise TooLong
                if time.monotonic() > deadline:
                    raise httpx2.ReadTimeout(f"not done after {self._timeout_s:g} s")
            return _reply(answer.status_code, bytes(body))


class JsonFolder:
    """Answers saved in a folder, `error_rate.json` for the question `error_rate`.

    Parameters
    ----------
    folder
        Where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str, parameters: Mapping[str, str], wait_s: float) -> Reply:
        """The saved answer, whatever is asked for.

        Raises
        ------
        DataError
            If there is none.
        LimitExceeded
            If it is longer than a server's may be.
        """
        path = self._folder / f"{name}.json"
        try:
            with path.open("rb") as file:
                body = file.read(MAX_ANSWER + 1)
        except OSError as error:
            raise DataError(str(path), error.strerror or str(error), "a saved answer") from error
        if len(body) > MAX_ANSWER:
            raise LimitExceeded(str(path), f"more than {MAX_ANSWER:,} bytes", f"at most {MAX_ANSWER:,}")
        return _reply(httpx2.codes.OK, body)

    def close(self) -> None:
        """Nothing is held."""


class Authorized(httpx2.Auth):
    """Says who asks.

    Parameters
    ----------
    authorization
        What to say; called for every request.
    """

    def __init__(self, authorization: Callable[[], str]) -> None:
        self._authorization = authorization

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """See httpx2."""
        request.headers["Authorization"] = self._authorization()
        yield request


def by_file(path: str) -> str:
    """The authorization that a file holds: a bearer token, or `user:password` for basic authentication.

    Raises
    ------
    ConfigError
        If it holds neither.
    """
    wanted = "one bearer token, or user:password"
    secret = read_secret(path, parameter="token_file", wanted=wanted, most=_MAX_TOKEN).strip()
    if ":" in secret:
        return f"Basic {b64encode(secret.encode()).decode()}"
    if _TOKEN.fullmatch(secret):
        return f"Bearer {secret}"
    raise refused(path, "token_file", "no colon, and a character that no token has", wanted)


def _passing(reply: Reply) -> str:
    """What is wrong with an answer that another attempt may better; empty for all others."""
    if reply.status in PASSING:
        return f"status {reply.status}: {shown(reply.value)}"
    if reply.status == httpx2.codes.OK and not reply.whole:
        return "an answer that is no JSON, or is cut off"
    return ""


def base_url(text: str) -> str:
    """A URL as it was written, without a slash at its end, if paths can be put behind it.

    Raises
    ------
    ValueError
        If not. The message does not show the text: what is wrong with it may be its password.

    >>> base_url("https://monitoring.example:9090/prometheus/")
    'https://monitoring.example:9090/prometheus'
    """
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL as error:
        raise ValueError("a url that cannot be read, wanted http://host:port") from error
    if url.userinfo:
        raise ValueError("a url with a password, wanted it in a `token_file` as user:password")
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment or (url.port or 0) >= 1 << 16:
        raise ValueError("a url of another form than http://host:port or https://host:port/path")
    return text.rstrip("/")


def _reply(status: int, body: bytes) -> Reply:
    try:
        return Reply(status, orjson.loads(body), whole=True)
    except orjson.JSONDecodeError:
        return Reply(status, None, whole=False)


def shown(value: object) -> str:
    """What a server says of an error, short enough for a message.

    >>> shown({"status": "error", "error": "query timed out"})
    'query timed out'
    """
    said = value.get("error") if isinstance(value, dict) else value
    return str(said)[:MAX_SHOWN] if said else "no word of explanation"
