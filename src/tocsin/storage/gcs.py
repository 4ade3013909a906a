"""Google Cloud Storage, and with it Firebase Storage, whose buckets are buckets of Google Cloud Storage.

Credentials are the application default ones: a file that GOOGLE_APPLICATION_CREDENTIALS names, what `gcloud auth
application-default login` wrote, or the machine that Google lends. STORAGE_EMULATOR_HOST asks an emulator, without any.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from google.api_core.exceptions import Conflict, GoogleAPICallError, NotFound, PreconditionFailed
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
from google.cloud.storage import Client
from google.cloud.storage.blob import Blob
from google.cloud.storage.exceptions import DataCorruption
from requests.exceptions import RequestException, SSLError

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
_TIMEOUT_S = (CONNECT_TIMEOUT_S, SILENCE_TIMEOUT_S)
_ONE_REQUEST_BYTES = 8 * 2**20
"""The library sends more than this as an upload that could be resumed: one request to begin it, one with the bytes."""
_CREDENTIALS = "set GOOGLE_APPLICATION_CREDENTIALS to the key file of a service account"


class Gcs(Wire):
    """One bucket of Google Cloud Storage; etags are its generations.

    Parameters
    ----------
    url, bucket
        What to call it in a message, and its name.
    """

    def __init__(self, url: str, bucket: str) -> None:
        self.url = url
        if emulator := os.environ.get(_EMULATOR):
            expect_trusted(emulator, _EMULATOR)
        try:
            self._client = Client(project=None)
        except (GoogleAuthError, OSError, ValueError):  # their texts may repeat the key file
            raise SourceLost(url, "no credentials", "those of a Google Cloud project", _CREDENTIALS) from None
        self._bucket = self._client.bucket(bucket)

    def page(self, prefix: str, token: str | None) -> tuple[list[Entry], str | None]:
        """One answer to a listing; see `Wire.page`."""
        with self._errors(prefix):
            blobs = self._client.list_blobs(
                self._bucket, prefix=prefix or None, page_token=token, page_size=PAGE, retry=None, timeout=_TIMEOUT_S
            )
            found = next(blobs.pages, ())
            entries = [Entry(blob.name, blob.size, blob.updated, str(blob.generation)) for blob in found]
        return entries, blobs.next_page_token

    def get(self, key: str, into: Intake, *, start: int, length: int | None, etag: str | None) -> None:
        """One GET, read piece by piece; see `Wire.get`."""
        with suppress(BehindTheEnd), self._errors(key):
            self._blob(key).download_to_file(
                into,
                start=start or None,
                end=None if length is None else start + length - 1,
                if_generation_match=None if etag is None else int(etag),
                raw_download=True,
                retry=None,
                timeout=_TIMEOUT_S,
            )

    def put(self, key: str, data: bytes, *, create: bool) -> None:
        """One upload, of generation 0 if it creates; see `Wire.put`."""
        with self._errors(key):
            self._blob(key).upload_from_string(
                data,
                content_type="application/octet-stream",
                if_generation_match=0 if create else None,
                retry=None,
                timeout=_TIMEOUT_S,
            )

    def puts(self, size: int) -> int:
        """Two requests for what is large; see `Wire.puts`."""
        return 1 if size <= _ONE_REQUEST_BYTES else 2

    def delete(self, key: str) -> None:
        """One DELETE; see `Wire.delete`."""
        with suppress(NotStored), self._errors(key):
            self._blob(key).delete(retry=None, timeout=_TIMEOUT_S)

    def _blob(self, key: str) -> Blob:
        return self._bucket.blob(key)

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        """Errors of the library as ours. What a server said is not passed on whole: it may repeat what we sent."""
        try:
            yield
        except (PreconditionFailed, Conflict):
            hint = "somebody else was first: read again, decide again"
            raise ConflictError(key, "an object that exists or has changed", "the one that was meant", hint) from None
        except GoogleAPICallError as error:
            raise self._told(key, error) from None
        except SSLError:
            hint = "TLS is always verified: is this the server that you mean?"
            wanted = "one of a known authority"
            raise SourceLost(self.url, "a certificate that cannot be trusted", wanted, hint) from None
        except DefaultCredentialsError:
            raise SourceLost(self.url, "no credentials", "those of a Google Cloud project", _CREDENTIALS) from None
        except (RequestException, TransportError, DataCorruption, OSError):
            raise Passing("the connection failed") from None
        except GoogleAuthError:
            raise SourceLost(self.url, "credentials that were refused", "valid ones", _CREDENTIALS) from None

    def _told(self, key: str, error: GoogleAPICallError) -> Exception:
        status = int(error.code or 0)
        if isinstance(error, NotFound):
            if "bucket does not exist" in str(error.message):
                hint = "create the bucket first, or correct its name"
                return SourceLost(self.url, "no such bucket", "one that exists", hint)
            return NotStored(key, "nothing stored under this key")
        if status == RANGE_NOT_SATISFIABLE:
            return BehindTheEnd()
        if status in PASSING:
            return Passing(f"status {status}")
        return SourceLost(
            self.url, f"a refusal ({status})", "an answer", "do these credentials allow it? See docs/storage.md"
        )
