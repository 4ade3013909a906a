"""From what a config calls a place to what is there: a folder, or a bucket in the cloud by its URL."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tocsin.errors import MissingExtraError, RegistryError
from tocsin.storage.base import Store
from tocsin.storage.bucket import Bucket
from tocsin.storage.bucket_store import BucketStore
from tocsin.storage.folder import FolderBucket
from tocsin.storage.local import LocalStore
from tocsin.storage.meter import Meter
from tocsin.storage.remote import RemoteBucket

_SCHEMES = {"s3": "s3://bucket/prefix", "gs": "gs://bucket/prefix"}
_PACKAGES = frozenset({"obstore", "google", "requests"})
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.I)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_PREFIX = re.compile(r"(?:[\w-][\w.=+-]*/)*[\w-][\w.=+-]*", re.A)


def elsewhere(place: str) -> bool:
    """Whether a place is a URL, so no path of this machine."""
    return _URL.match(place) is not None


def open_bucket(place: str, resolve: Callable[[str], Path] = Path, meter: Meter | None = None) -> Bucket:
    """The bucket of a place; nothing is asked of it yet.

    Parameters
    ----------
    place
        A folder, `s3://bucket/prefix` or `gs://bucket/prefix`.
    resolve
        What a path means: a config's `resolve`.
    meter
        Counts and bounds what is asked of buckets elsewhere.

    Raises
    ------
    RegistryError
        If there is no such kind of place.
    MissingExtraError
        If the package that it needs is not installed.
    SourceLost
        If there are no credentials for it.
    """
    if not elsewhere(place):
        return FolderBucket(resolve(place))
    url, bucket, prefix = _parts(place)
    meter = meter or Meter()
    try:
        if url.startswith("s3:"):
            from tocsin.storage.s3 import S3

            return RemoteBucket(S3(url, bucket), prefix, meter)
        from tocsin.storage.gcs import Gcs

        return RemoteBucket(Gcs(url, bucket), prefix, meter)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _PACKAGES:
            raise
        raise MissingExtraError(url, package, "cloud") from error


def open_store(place: str, resolve: Callable[[str], Path] = Path, meter: Meter | None = None) -> Store:
    """The store of a place; parameters and errors as of `open_bucket`."""
    if not elsewhere(place):
        return LocalStore(resolve(place))
    return BucketStore(open_bucket(place, resolve, meter))


def _parts(place: str) -> tuple[str, str, str]:
    """A URL without its last slash, the bucket, and the prefix with a slash at its end."""
    scheme, _, rest = place.partition("://")
    bucket, _, path = rest.partition("/")
    path = path.rstrip("/")
    if scheme not in _SCHEMES:
        raise RegistryError(f"{scheme}://", "no such kind of place", f"a folder, {' or '.join(_SCHEMES.values())}")
    if not _BUCKET.fullmatch(bucket) or (path and not _PREFIX.fullmatch(path)):
        hint = "credentials do not belong into a URL: see docs/storage.md"
        raise RegistryError(f"{scheme}://", "no name of a bucket and plain prefix", _SCHEMES[scheme], hint)
    return f"{scheme}://{bucket}" + (f"/{path}" if path else ""), bucket, path and path + "/"
