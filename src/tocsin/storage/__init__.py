"""Where bytes are kept: stores of closed names, buckets of any."""

from tocsin.storage.base import SEGMENT, Store
from tocsin.storage.local import LocalStore

__all__ = ["SEGMENT", "LocalStore", "Store"]
