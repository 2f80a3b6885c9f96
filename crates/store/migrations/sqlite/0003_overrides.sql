-- Domains for which an operator says what mail requires, for SQLite. Its twin for PostgreSQL has the same tables
-- and columns. Those that ran out stay until they are removed, so that the page can show them.
INSERT INTO counters (name, value) VALUES ('overrides-version', 0);

CREATE TABLE overrides (
    domain TEXT NOT NULL PRIMARY KEY,
    require TEXT NOT NULL,
    until INTEGER,
    author TEXT NOT NULL,
    set_at INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;
