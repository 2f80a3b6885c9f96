-- Domains for which an operator says what mail requires, for PostgreSQL. Its twin for SQLite has the same tables
-- and columns. Those that ran out stay until they are removed, so that the page can show them.
INSERT INTO counters (name, value) VALUES ('overrides-version', 0);

CREATE TABLE overrides (
    domain TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    require TEXT NOT NULL,
    until BIGINT,
    author TEXT NOT NULL,
    set_at BIGINT NOT NULL,
    reason TEXT NOT NULL
);
