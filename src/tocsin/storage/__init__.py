"""Where bytes are kept: stores of closed names, buckets of any; on this machine, or elsewhere by URL."""

from tocsin.storage.base import SEGMENT, Store
from tocsin.storage.bucket import Bucket, Entry
from tocsin.storage.local import LocalStore
from tocsin.storage.meter import Meter
from tocsin.storage.opening import elsewhere, open_bucket, open_store
from tocsin.storage.upload import upload_run

__all__ = [
    "SEGMENT",
    "Bucket",
    "Entry",
    "LocalStore",
    "Meter",
    "Store",
    "elsewhere",
    "open_bucket",
    "open_store",
    "upload_run",
]
