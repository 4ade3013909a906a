"""Google Cloud Storage, and with it Firebase Storage, whose buckets are buckets of Google Cloud Storage.

Credentials are the application default ones: a file that GOOGLE_APPLICATION_CREDENTIALS names, what `gcloud auth
application-default login` wrote, or the machine that Google lends. STORAGE_EMULATOR_HOST asks an emulator, without any.

The requests are made here, with sessions of google-auth: Google's own library asks for more than it is asked for, on
threads of its own, and could not be counted.

Source: Cloud Storage JSON API v1, objects: list, get, insert, delete.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any
from urllib.parse import quote

import google.auth
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import GoogleAuthError, TransportError
from google.auth.transport.requests import AuthorizedSession
from requests import Response
from requests.exceptions import RequestException, SSLError
from urllib3.exceptions import HTTPError

from tocsin.errors import ConflictError, NotStored, SourceLost
from tocsin.storage.bucket import Entry
from tocsin.storage.endpoint import expect_trusted
from tocsin.storage.wire import (
    CONNECT_TIMEOUT_S,
    PASSING,
    RANGE_NOT_SATISFIABLE,
    SILENCE_TIMEOUT_S,
    BehindTheEnd,
    Intake,
    Passing,
    Wire,
)

PAGE = 1_000
"""Keys of one answer to a listing; Google gives no more."""
_EMULATOR = "STORAGE_EMULATOR_HOST"
_HOST = "https://storage.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_LISTED = "nextPageToken,items(name,size,updated,generation)"
_CREDENTIALS = "set GOOGLE_APPLICATION_CREDENTIALS to the key file of a service account"
_PIECE_BYTES = 2**16
_PARTIAL, _NOT_FOUND, _CONFLICTS = 206, 404, frozenset({409, 412})


class Gcs(Wire):
    """One bucket of Google Cloud Storage; etags are its generations.

    Parameters
    ----------
    url, bucket
        What to call it in a message, and its name.
    silence_s
        For how long an answer may pause.
    """

    def __init__(self, url: str, bucket: str, silence_s: float = SILENCE_TIMEOUT_S) -> None:
        self.url = url
        emulator = os.environ.get(_EMULATOR)
        if emulator:
            expect_trusted(emulator, _EMULATOR)
        host = (emulator or _HOST).rstrip("/")
        self._timeout = (CONNECT_TIMEOUT_S, silence_s)
        self._objects = f"{host}/storage/v1/b/{bucket}/o"
        self._uploads = f"{host}/upload/storage/v1/b/{bucket}/o"
        # a refused token is refused: trying again with another one would be a request that nobody counts
        self._session = AuthorizedSession(self._credentials(anonymous=bool(emulator)), refresh_status_codes=())

    def page(self, prefix: str, token: str | None) -> tuple[list[Entry], str | None]:
        """One answer to a listing; see `Wire.page`."""
        query = {"prefix": prefix, "maxResults": str(PAGE), "fields": _LISTED}
        with self._asked(
            "GET", self._objects, prefix, params=query | ({"pageToken": token} if token else {})
        ) as answer:
            found = answer.json()
        entries = [
            Entry(item["name"], int(item["size"]), datetime.fromisoformat(item["updated"]), item["generation"])
            for item in found.get("items", ())
        ]
        return entries, found.get("nextPageToken")

    def get(self, key: str, into: Intake, *, start: int, length: int | None, etag: str | None) -> None:
        """One GET, read piece by piece; see `Wire.get`."""
        query = {"alt": "media"} | ({"ifGenerationMatch": etag} if etag else {})
        headers = {
            "Accept-Encoding": "gzip"
        }  # what was stored compressed stays so, and its ranges are those of the object
        if start or length is not None:
            headers["Range"] = f"bytes={start}-" + ("" if length is None else str(start + length - 1))
        with (
            suppress(BehindTheEnd),
            self._asked("GET", self._named(key), key, params=query, headers=headers, stream=True) as answer,
        ):
            if "Range" in headers and answer.status_code != _PARTIAL:
                raise SourceLost(self.url, "a whole object", "the range that was asked for", "is a proxy on the way?")
            into.expect(int(answer.headers.get("Content-Length", 0)))
            for piece in answer.raw.stream(_PIECE_BYTES, decode_content=False):
                into.write(piece)

    def put(self, key: str, data: bytes, *, create: bool) -> None:
        """One upload, over generation 0 if it creates; see `Wire.put`."""
        query = {"uploadType": "media", "name": key} | ({"ifGenerationMatch": "0"} if create else {})
        headers = {"Content-Type": "application/octet-stream"}
        with self._asked("POST", self._uploads, key, params=query, headers=headers, data=data):
            pass

    def delete(self, key: str) -> None:
        """One DELETE; see `Wire.delete`."""
        with suppress(NotStored), self._asked("DELETE", self._named(key), key):
            pass

    def _named(self, key: str) -> str:
        return f"{self._objects}/{quote(key, safe='')}"

    def _credentials(self, *, anonymous: bool) -> Credentials:
        if anonymous:
            return AnonymousCredentials()
        try:
            return google.auth.default(scopes=[_SCOPE])[0]
        except (GoogleAuthError, OSError, ValueError):  # their texts may repeat the key file
            raise SourceLost(self.url, "no credentials", "those of a Google Cloud project", _CREDENTIALS) from None

    @contextmanager
    def _asked(self, method: str, url: str, key: str, **how: Any) -> Iterator[Response]:
        """An answer, read within the block. What a server said is not passed on: it may repeat what we sent."""
        try:
            with self._session.request(method, url, timeout=self._timeout, allow_redirects=False, **how) as answer:
                self._expect_well(answer, key)
                yield answer
        except SSLError:
            hint = "TLS is always verified: is this the server that you mean?"
            wanted = "one of a known authority"
            raise SourceLost(self.url, "a certificate that cannot be trusted", wanted, hint) from None
        except (RequestException, HTTPError, TransportError):
            raise Passing("the connection failed") from None
        except GoogleAuthError:
            raise SourceLost(self.url, "credentials that were refused", "valid ones", _CREDENTIALS) from None

    def _expect_well(self, answer: Response, key: str) -> None:
        status = answer.status_code
        if answer.ok and not answer.is_redirect:
            return
        if status in _CONFLICTS:
            hint = "somebody else was first: read again, decide again"
            raise ConflictError(key, "an object that exists or has changed", "the one that was meant", hint)
        if status == _NOT_FOUND:
            if "bucket does not exist" in answer.text:
                hint = "create the bucket first, or correct its name"
                raise SourceLost(self.url, "no such bucket", "one that exists", hint)
            raise NotStored(key, "nothing stored under this key")
        if status == RANGE_NOT_SATISFIABLE:
            raise BehindTheEnd
        if status in PASSING:
            raise Passing(f"status {status}")
        hint = "do these credentials allow it? See docs/storage.md"
        raise SourceLost(self.url, f"a refusal ({status})", "an answer", hint)
