"""The files of a version on a store: manifest, arrays and report, each kept under the hash of its bytes."""

from __future__ import annotations

from contextlib import suppress

from tocsin.errors import ConflictError, IntegrityError, NotStored
from tocsin.model.bundle import LIMITS, Bundle, unpack
from tocsin.model.documents import sha256
from tocsin.registry.ledger import Record
from tocsin.storage import Store

REPORT = "report.json"
MAX_REPORT_BYTES = 16 * 2**20


class Objects:
    """What lies below `objects/`.

    Parameters
    ----------
    store
        Where.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def keep(self, where: str, data: bytes) -> None:
        """Store bytes under their hash; damaged ones that stand there are replaced by what they should be."""
        try:
            self._store.put(where, data)
        except ConflictError:
            with suppress(IntegrityError):
                if self._store.get(where, len(data)) == data:
                    return
            self._store.delete(where)
            self._store.put(where, data)

    def bundle(self, record: Record) -> Bundle:
        """The model of a version; raises IntegrityError if any byte is not what was added."""
        bundle = unpack({file: self.read(record, file, limit) for file, limit in LIMITS.items()})
        if bundle.digest != record.version.digest:
            where = f"{record.version.name} version {record.version.version}"
            raise IntegrityError(where, f"a model with the digest {bundle.digest[:12]}", record.version.digest[:12])
        return bundle

    def report(self, record: Record) -> bytes:
        """The report of a version as JSON; raises as `bundle` does."""
        return self.read(record, REPORT, MAX_REPORT_BYTES)

    def read(self, record: Record, file: str, limit_bytes: int) -> bytes:
        """One file of a version; raises as `bundle` does."""
        where = f"{record.version.name} version {record.version.version} {file}"
        stored = record.objects.get(file)
        if stored is None:
            raise IntegrityError(where, "no such file", f"{', '.join(LIMITS)} and {REPORT}")
        try:
            data = self._store.get(stored.name, min(stored.size, limit_bytes))
        except NotStored as error:
            raise IntegrityError(where, "nothing stored", f"{stored.size} bytes") from error
        if sha256(data) != stored.sha256:
            raise IntegrityError(where, f"bytes with the hash {sha256(data)[:12]}", stored.sha256[:12])
        return data
