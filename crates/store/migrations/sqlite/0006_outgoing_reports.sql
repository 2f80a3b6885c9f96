-- Reports that we send, for SQLite. Its twin for PostgreSQL has the same tables and columns.
--
-- One report for a day and a domain, ever. The row of this counter is the lock that puts those who make
-- and those who claim in order.
INSERT INTO counters (name, value) VALUES ('outgoing-reports', 0);

-- outcome: 'made', or why there is none. state: that of its targets together, empty without any.
CREATE TABLE outgoing_reports (
    number INTEGER NOT NULL PRIMARY KEY,
    day INTEGER NOT NULL,
    domain TEXT NOT NULL,
    report_id TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL,
    state TEXT NOT NULL,
    successful INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    gzip BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX outgoing_reports_day ON outgoing_reports (day, domain);
CREATE INDEX outgoing_reports_domain ON outgoing_reports (domain, number);
CREATE INDEX outgoing_reports_state ON outgoing_reports (state, number);
CREATE INDEX outgoing_reports_id ON outgoing_reports (report_id);

-- lane: what is asked at most a few times at once. claim: whose the target is until claimed_until.
CREATE TABLE outgoing_targets (
    report INTEGER NOT NULL,
    place INTEGER NOT NULL,
    uri TEXT NOT NULL,
    host TEXT NOT NULL,
    lane TEXT NOT NULL,
    state TEXT NOT NULL,
    tries INTEGER NOT NULL,
    first_tried_at INTEGER,
    last_tried_at INTEGER,
    next_at INTEGER,
    claim INTEGER NOT NULL,
    claimed_until INTEGER NOT NULL,
    answer TEXT NOT NULL,
    PRIMARY KEY (report, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX outgoing_targets_next ON outgoing_targets (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX outgoing_targets_uri ON outgoing_targets (uri, report);

-- what: an address of reports as written, or a host. Those that ended stay: refusals count from then on.
CREATE TABLE outgoing_suppressions (
    what TEXT NOT NULL PRIMARY KEY,
    until INTEGER,
    reason TEXT NOT NULL,
    author TEXT NOT NULL,
    set_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
