"""Amazon S3, and what speaks like it (MinIO, Ceph, R2), by way of obstore.

Credentials come from the environment, from the files that AWS's own tools read, or from the machine that AWS lends.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from configparser import Error as UnreadableFile
from configparser import RawConfigParser
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, InvalidPathError, PreconditionError
from obstore.store import S3Store

from tocsin.errors import ConflictError, NotStored, RegistryError, SourceLost
from tocsin.storage.bucket import Entry
from tocsin.storage.endpoint import expect_trusted
from tocsin.storage.wire import (
    ANSWER_TIMEOUT_S,
    CONNECT_TIMEOUT_S,
    PASSING,
    RANGE_NOT_SATISFIABLE,
    SILENCE_TIMEOUT_S,
    BehindTheEnd,
    Intake,
    Passing,
    Wire,
)

if TYPE_CHECKING:  # obstore has these for type checkers alone
    from obstore import GetOptions
    from obstore.store import S3Config

PAGE = 1_000
"""Keys of one answer to a listing; S3 gives no more."""
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_LENDER = re.compile(r"//169\.254\.|:\d+/latest/(?:api/token|meta-data)")
"""Whom obstore asks for keys when it has none."""
_UNTRUSTED = re.compile(r"InvalidCertificate|invalid peer certificate")
_CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write them into ~/.aws/credentials"
_HINTS = {
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": "is AWS_SECRET_ACCESS_KEY the one of AWS_ACCESS_KEY_ID?",
    "ExpiredToken": "the session is over: log in again",
    "RequestTimeTooSkewed": "is the clock of this machine right?",
    "NoSuchBucket": "create the bucket first, or correct its name",
    "PermanentRedirect": "set AWS_REGION to the region of the bucket",
    "AuthorizationHeaderMalformed": "set AWS_REGION to the region of the bucket",
}


class S3(Wire):
    """One bucket of S3.

    Parameters
    ----------
    url, bucket
        What to call it in a message, and its name.
    silence_s
        For how long an answer may pause.
    """

    def __init__(self, url: str, bucket: str, silence_s: float = SILENCE_TIMEOUT_S) -> None:
        self.url = url
        settings = _settings(os.environ)
        endpoint = settings.get("aws_endpoint_url_s3", "")
        if endpoint:
            expect_trusted(endpoint, "AWS_ENDPOINT_URL")
        self._store = S3Store(
            bucket,
            config=settings,
            client_options={
                "allow_http": endpoint.lower().startswith("http:"),
                "allow_invalid_certificates": False,
                "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT_S),
                "read_timeout": timedelta(seconds=silence_s),
                "timeout": timedelta(seconds=ANSWER_TIMEOUT_S),
            },
            retry_config={"max_retries": 0},
        )

    def page(self, prefix: str, token: str | None) -> tuple[list[Entry], str | None]:
        """Keys behind the token; see `Wire.page`.

        obstore lists whole folders: the last segment of a prefix is where the listing of its folder begins and ends.
        """
        folder, _, begins = prefix.rpartition("/")
        after = token or (prefix[:-1] if begins else None)
        with self._errors(prefix):
            pages = obstore.list(self._store, folder or None, offset=after, chunk_size=PAGE)
            found = next(iter(pages), [])
        entries = [
            Entry(item["path"], item["size"], item["last_modified"], item["e_tag"] or "")
            for item in found
            if item["path"].startswith(prefix)
        ]
        beyond = bool(found) and found[-1]["path"] > prefix and not found[-1]["path"].startswith(prefix)
        return entries, found[-1]["path"] if len(found) >= PAGE and not beyond else None

    def get(self, key: str, into: Intake, *, start: int, length: int | None, etag: str | None) -> None:
        """One GET, read piece by piece; see `Wire.get`."""
        options: GetOptions = {"if_match": etag} if etag else {}
        if length is not None:
            options["range"] = (start, start + length)
        elif start:
            options["range"] = {"offset": start}
        with suppress(BehindTheEnd), self._errors(key):
            answer = obstore.get(self._store, key, options=options)
            begin, end = answer.range
            into.expect(end - begin)
            for piece in answer.stream(min_chunk_size=1):
                into.write(piece)

    def put(self, key: str, data: bytes, *, create: bool) -> None:
        """One PUT, with If-None-Match if it creates; see `Wire.put`."""
        with self._errors(key):
            obstore.put(self._store, key, data, mode="create" if create else "overwrite", use_multipart=False)

    def delete(self, key: str) -> None:
        """One DELETE; see `Wire.delete`."""
        with self._errors(key):
            obstore.delete(self._store, key)

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        """Errors of obstore as ours. What a server said is not passed on whole: it may repeat what we sent."""
        try:
            yield
        except (AlreadyExistsError, PreconditionError):
            hint = "somebody else was first: read again, decide again"
            raise ConflictError(key, "an object that exists or has changed", "the one that was meant", hint) from None
        except InvalidPathError:
            hint = "rename it, or ask for another prefix"
            raise SourceLost(self.url, "an object whose key has an empty segment", "plain keys", hint) from None
        except (FileNotFoundError, BaseError) as error:
            raise self._told(key, error, str(error)) from None

    def _told(self, key: str, error: Exception, text: str) -> Exception:
        status, code = (int(found[1]) if (found := _STATUS.search(text)) else 0), _CODE.search(text)
        named = code[1] if code else ""
        if isinstance(error, FileNotFoundError) and named != "NoSuchBucket":
            return NotStored(key, "nothing stored under this key")
        if not named and _LENDER.search(text):
            return SourceLost(self.url, "no credentials", "those of an AWS account", _CREDENTIALS)
        if not status and _UNTRUSTED.search(text):
            hint = "TLS is always verified: is this the server that you mean?"
            return SourceLost(self.url, "a certificate that cannot be trusted", "one of a known authority", hint)
        if not status or status in PASSING or named == "RequestTimeout":
            return Passing(f"status {status} {named}".rstrip() if status else "the connection failed")
        if status == RANGE_NOT_SATISFIABLE:
            return BehindTheEnd()
        hint = _HINTS.get(named, "do these credentials allow it? See docs/storage.md")
        return SourceLost(self.url, f"a refusal ({status} {named})".replace(" )", ")"), "an answer", hint)


def _settings(environment: Mapping[str, str]) -> S3Config:
    """What obstore does not find by itself: where the environment is silent, the files of AWS's tools speak."""
    profile = environment.get("AWS_PROFILE") or "default"
    secrets = _section(environment.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials", profile)
    named = profile if profile == "default" else f"profile {profile}"
    found = {**_section(environment.get("AWS_CONFIG_FILE") or "~/.aws/config", named), **secrets}
    settings: S3Config = {"conditional_put": "etag", "disable_bulk_delete": True}
    if not {"AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE"} & environment.keys():
        keys = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        settings |= cast("S3Config", {key: found[key] for key in keys if key in found})
    if not {"AWS_REGION", "AWS_DEFAULT_REGION"} & environment.keys() and "region" in found:
        settings["region"] = found["region"]
    variables = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    endpoint = next((environment[name] for name in variables if environment.get(name)), found.get("endpoint_url"))
    if endpoint:
        settings["aws_endpoint_url_s3"] = endpoint
    return settings


def _section(path: str, name: str) -> dict[str, str]:
    parser = RawConfigParser()
    try:
        parser.read(Path(path).expanduser(), "utf-8")
    except (UnreadableFile, UnicodeDecodeError, OSError):  # their texts repeat lines of the file
        raise RegistryError(
            path, "a file that cannot be read", "a file of AWS's tools", "see `aws configure`"
        ) from None
    return dict(parser[name]) if name in parser else {}
