"""From what a config calls a place to what is there: a folder, or a bucket in the cloud by its URL."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tocsin.errors import RegistryError
from tocsin.storage.base import Store
from tocsin.storage.bucket import Bucket
from tocsin.storage.folder import FolderBucket
from tocsin.storage.local import LocalStore
from tocsin.storage.meter import Meter

_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+)://(?P<bucket>[^/]*)/?(?P<prefix>.*)", re.S)


def elsewhere(place: str) -> bool:
    """Whether a place is a URL, so no path of this machine."""
    return _URL.fullmatch(place) is not None


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
    """
    if not elsewhere(place):
        return FolderBucket(resolve(place))
    raise RegistryError(place, "a kind of place that Tocsin does not know", "a folder, s3://… or gs://…")


def open_store(place: str, resolve: Callable[[str], Path] = Path, meter: Meter | None = None) -> Store:
    """The store of a place; parameters and errors as of `open_bucket`."""
    if not elsewhere(place):
        return LocalStore(resolve(place))
    raise RegistryError(place, "a kind of place that Tocsin does not know", "a folder, s3://… or gs://…")
