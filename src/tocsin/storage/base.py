"""Where bytes are kept under closed names, and what survives a power cut, a full disk and a second writer.

A store can create, read, list and delete. It cannot overwrite: of two writers of one name exactly one wins, which is
all that compare-and-swap needs.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime

SEGMENT = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
"""One part of a name between slashes. It cannot climb, hide or be absolute."""
MAX_SEGMENTS = 8


class Store(ABC):
    """Immutable bytes under names of lower-case segments, `models/edge/versions/000001.json`."""

    @abstractmethod
    def get(self, name: str, limit_bytes: int) -> bytes:
        """The bytes of a name.

        Raises
        ------
        NotStored
            If there is nothing of that name.
        IntegrityError
            If there are more than `limit_bytes`, or it is no plain file.
        RegistryError
            If the name is not closed or the store cannot read.
        """

    @abstractmethod
    def put(self, name: str, data: bytes) -> None:
        """Create a name; when this returns, the bytes survive a power cut.

        Raises
        ------
        ConflictError
            If the name exists. Its bytes stay as they are and count as modified now.
        RegistryError
            If the name is not closed or the store cannot write; nothing is left behind.
        """

    @abstractmethod
    def times(self, prefix: str) -> Mapping[str, datetime]:
        """All names below a folder in order, and when each was last put, UTC.

        `""` for all there are; unknown folders are empty.
        """

    def list(self, prefix: str) -> tuple[str, ...]:
        """All names below a folder in order, as `times` tells them."""
        return tuple(self.times(prefix))

    @abstractmethod
    def delete(self, name: str) -> None:
        """Forget a name; one that does not exist is forgotten already."""

    @abstractmethod
    def modified(self, name: str) -> datetime:
        """When a name was last put, UTC; raises NotStored."""
