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
from typing import Any

import httpx2
import orjson

from tocsin.errors import ConfigError, Problem, SourceLost

MAX_ANSWER = 1 << 24
"""Bytes of an answer, unpacked."""
MAX_SHOWN = 500
"""Characters of a foreign text in a message."""
ATTEMPTS = 5
_FIRST_WAIT_S = 1.0
_HINT = "is the server up, and `timeout` long enough?"
_PIECE = 1 << 16
_MAX_TOKEN_FILE = 1 << 16
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Status codes that may be gone at the next attempt."""
# What a bearer token may be made of; a colon is not among it.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


class TooLong(Exception):
    """An answer is longer than `MAX_ANSWER`; whoever asked may ask for less."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's last word: the status, and the JSON of the body or None if it is none."""

    status: int
    value: Any


class JsonServer:
    """One server. Asks again, after growing waits, while it is out of reach, overloaded or cuts its answers.

    Redirects are not followed: a token must not end up elsewhere. Answers must not be compressed, so that few bytes
    cannot become many.

    Parameters
    ----------
    url
        What all paths begin with.
    timeout_s
        For one attempt, from the first byte sent to the last one received.
    token_file
        Holds a bearer token, or `user:password` for basic authentication. It is read for every attempt, as such
        tokens are renewed.
    sleep
        Waits for that many seconds.
    """

    def __init__(self, url: str, timeout_s: float, token_file: str | None, sleep: Callable[[float], None]) -> None:
        self.url = url
        self._timeout_s = timeout_s
        self._sleep = sleep
        self._client = httpx2.Client(
            auth=_TokenFile(Path(token_file)) if token_file else None,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            timeout=timeout_s,
            follow_redirects=False,
        )

    def get(self, path: str, parameters: Mapping[str, str]) -> Reply:
        """The answer to one question.

        Raises
        ------
        SourceLost
            If there was none that could be read, however often it was asked.
        TooLong
            If the answer exceeds the limit.
        ConfigError
            If the token file cannot be used.
        """
        problem = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                self._sleep(_FIRST_WAIT_S * 2 ** (attempt - 1))
            try:
                reply = self._attempt(path, parameters)
            except httpx2.TransportError as error:
                problem = f"{type(error).__name__}: {str(error)[:MAX_SHOWN] or f'nothing in {self._timeout_s:g} s'}"
                continue
            if reply.status in _PASSING:
                problem = f"status {reply.status}: {shown(reply.value)}"
            elif reply.status == httpx2.codes.OK and reply.value is None:
                problem = "an answer that is no JSON, or is cut off"
            else:
                return reply
        raise SourceLost(self.url, f"{problem} ({ATTEMPTS} attempts)", "an answer", _HINT)

    def close(self) -> None:
        """Give the connections up."""
        self._client.close()

    def _attempt(self, path: str, parameters: Mapping[str, str]) -> Reply:
        deadline = time.monotonic() + self._timeout_s
        body = bytearray()
        with self._client.stream("GET", self.url + path, params=dict(parameters)) as answer:
            for piece in answer.iter_raw(_PIECE):
                body += piece
                if len(body) > MAX_ANSWER:
                    raise TooLong
                if time.monotonic() > deadline:
                    raise httpx2.ReadTimeout(f"not done after {self._timeout_s:g} s")
            return Reply(answer.status_code, json_or_none(bytes(body)))


class _TokenFile(httpx2.Auth):
    """Says who asks. What the file holds is in no message, whatever is wrong with it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        request.headers["Authorization"] = self._authorization()
        yield request

    def _authorization(self) -> str:
        try:
            with self._path.open("rb") as file:
                secret = file.read(_MAX_TOKEN_FILE).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError([Problem(str(self._path), type(error).__name__, "a readable token file")]) from None
        if ":" in secret and secret.isprintable():
            return f"Basic {b64encode(secret.encode()).decode()}"
        if _TOKEN.fullmatch(secret):
            return f"Bearer {secret}"
        raise ConfigError([Problem(str(self._path), "neither of them", "one bearer token, or user:password")])


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


def json_or_none(body: bytes) -> Any:
    """The value of a JSON text; None if it is none.

    >>> json_or_none(b'{"status": "succ')
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def shown(value: object) -> str:
    """What a server says of an error, short enough for a message.

    >>> shown({"status": "error", "error": "query timed out"})
    'query timed out'
    """
    said = value.get("error") if isinstance(value, dict) else value
    return str(said)[:MAX_SHOWN] if said else "no word of explanation"
