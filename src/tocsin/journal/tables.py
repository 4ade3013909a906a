"""The tables of the journal, in the steps in which they grew; one that was ever released is never changed."""

from __future__ import annotations

APPLICATION = 0x746F6A31
"""In the file's head: `toj1`."""

MIGRATIONS = (
    """
    CREATE TABLE progress (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        sequence INTEGER NOT NULL,
        position TEXT,
        tally TEXT NOT NULL,
        model TEXT NOT NULL,
        committed INTEGER NOT NULL
    );
    CREATE TABLE accepted (sequence INTEGER NOT NULL, part INTEGER NOT NULL, data BLOB NOT NULL,
        PRIMARY KEY (sequence, part)) WITHOUT ROWID;
    CREATE TABLE alerts (
        id TEXT PRIMARY KEY,
        sequence INTEGER NOT NULL,
        committed INTEGER NOT NULL,
        entity TEXT NOT NULL,
        severity TEXT NOT NULL,
        quiet TEXT NOT NULL,
        body TEXT NOT NULL
    );
    CREATE INDEX alerts_by_time ON alerts (committed);
    CREATE TABLE deliveries (
        alert TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
        sink TEXT NOT NULL,
        outcome TEXT NOT NULL,
        PRIMARY KEY (sink, alert)
    ) WITHOUT ROWID;
    CREATE INDEX deliveries_of_alert ON deliveries (alert);
    CREATE INDEX deliveries_waiting ON deliveries (sink) WHERE outcome = '';
    CREATE TABLE verdicts (
        committed INTEGER NOT NULL,
        time INTEGER,
        entity TEXT NOT NULL,
        origin TEXT NOT NULL,
        score REAL NOT NULL,
        p_value REAL NOT NULL,
        flagged INTEGER NOT NULL,
        state TEXT NOT NULL,
        model TEXT NOT NULL
    );
    CREATE UNIQUE INDEX verdicts_once ON verdicts (origin, coalesce(time, 0));
    CREATE INDEX verdicts_by_time ON verdicts (committed);
    CREATE TABLE letters (
        id BLOB PRIMARY KEY,
        committed INTEGER NOT NULL,
        file TEXT NOT NULL,
        row INTEGER NOT NULL,
        reason TEXT NOT NULL,
        detail TEXT NOT NULL,
        raw TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX letters_by_time ON letters (committed)
    """,
)
