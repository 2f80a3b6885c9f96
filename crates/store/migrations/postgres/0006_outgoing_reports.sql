-- Reports that we send, for PostgreSQL. Its twin for SQLite has the same tables and columns.
--
-- One report for a day and a domain, ever. The row of this counter is the lock that puts those who make
-- and those who claim in order.
INSERT INTO counters (name, value) VALUES ('outgoing-reports', 0);

-- outcome: 'made', or why there is none. state: that of its targets together, empty without any.
CREATE TABLE outgoing_reports (
    number BIGINT NOT NULL PRIMARY KEY,
    day BIGINT NOT NULL,
    domain TEXT COLLATE "C" NOT NULL,
    report_id TEXT COLLATE "C" NOT NULL,
    made_at BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    successful BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    gzip BYTEA NOT NULL
);
CREATE UNIQUE INDEX outgoing_reports_day ON outgoing_reports (day, domain);
CREATE INDEX outgoing_reports_domain ON outgoing_reports (domain, number);
CREATE INDEX outgoing_reports_state ON outgoing_reports (state, number);
CREATE INDEX outgoing_reports_id ON outgoing_reports (report_id);

-- lane: what is asked at most a few times at once. claim: whose the target is until claimed_until.
CREATE TABLE outgoing_targets (
    report BIGINT NOT NULL,
    place BIGINT NOT NULL,
    uri TEXT COLLATE "C" NOT NULL,
    host TEXT COLLATE "C" NOT NULL,
    lane TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    tries BIGINT NOT NULL,
    first_tried_at BIGINT,
    last_tried_at BIGINT,
    next_at BIGINT,
    claim BIGINT NOT NULL,
    claimed_until BIGINT NOT NULL,
    answer TEXT NOT NULL,
    PRIMARY KEY (report, place)
);
CREATE INDEX outgoing_targets_next ON outgoing_targets (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX outgoing_targets_uri ON outgoing_targets (uri, report);

-- what: an address of reports as written, or a host. Those that ended stay: refusals count from then on.
CREATE TABLE outgoing_suppressions (
    what TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    until BIGINT,
    reason TEXT NOT NULL,
    author TEXT NOT NULL,
    set_at BIGINT NOT NULL
);
