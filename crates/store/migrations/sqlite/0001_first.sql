-- The first schema, for SQLite. Its twin for PostgreSQL has the same tables and columns.
--
-- Moments are microseconds since 1970 UTC, days are whole days since 1970, truth is 0 or 1, and trust
-- counts from 0 (unverified) to 3 (dkim-verified). Texts from outside have no bound that an index could
-- rely on: they are found by hash.

-- The next number of each kind is value + 1. A writer of reports locks the row 'numbers' first.
CREATE TABLE counters (
    name TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counters (name, value)
VALUES ('numbers', 0), ('domains-version', 0), ('names', 0), ('items', 0), ('reports', 0), ('problems', 0);

-- Policy domains and submitters, each text once.
CREATE TABLE names (
    number INTEGER NOT NULL PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL
) STRICT;

-- Domains held; number is that of the name.
CREATE TABLE domains (
    number INTEGER NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    mode TEXT NOT NULL,
    mx TEXT NOT NULL,
    max_age INTEGER NOT NULL,
    policy_id TEXT NOT NULL,
    policy_body TEXT NOT NULL,
    rua TEXT NOT NULL,
    added_at INTEGER NOT NULL,
    mode_since INTEGER NOT NULL
) STRICT;

-- Every policy ever served; last_served is NULL while it is.
CREATE TABLE served_policies (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    domain INTEGER NOT NULL,
    body TEXT NOT NULL,
    policy_id TEXT NOT NULL,
    mode TEXT NOT NULL,
    mx TEXT NOT NULL,
    max_age INTEGER NOT NULL,
    first_served INTEGER NOT NULL,
    last_served INTEGER
) STRICT;
CREATE INDEX served_policies_domain ON served_policies (domain, number);

-- Failures an operator marked as not ours.
CREATE TABLE excuses (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    domain INTEGER NOT NULL,
    result_type TEXT NOT NULL,
    mx TEXT,
    author TEXT NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX excuses_domain ON excuses (domain, number);

-- Items of the gate an operator passed by name; they end with the policy they were given for.
CREATE TABLE waivers (
    domain INTEGER NOT NULL,
    item INTEGER NOT NULL,
    author TEXT NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (domain, item)
) STRICT, WITHOUT ROWID;

CREATE TABLE log (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    domain TEXT,
    author TEXT NOT NULL,
    act TEXT NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX log_domain ON log (domain, number);

CREATE TABLE tokens (
    name TEXT NOT NULL PRIMARY KEY,
    sha256 BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    last_used INTEGER
) STRICT;

-- What our monitor saw last, whole (JSON, deflated) ...
CREATE TABLE latest_observations (
    domain INTEGER NOT NULL PRIMARY KEY,
    observed_at INTEGER NOT NULL,
    summary TEXT NOT NULL,
    errors INTEGER NOT NULL,
    warnings INTEGER NOT NULL,
    facts BLOB NOT NULL,
    audit BLOB NOT NULL
) STRICT;

-- ... and before, boiled down.
CREATE TABLE probe_rounds (
    domain INTEGER NOT NULL,
    observed_at INTEGER NOT NULL,
    summary TEXT NOT NULL,
    round TEXT NOT NULL,
    PRIMARY KEY (domain, observed_at)
) STRICT, WITHOUT ROWID;

CREATE TABLE tracked_findings (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    domain INTEGER NOT NULL,
    id TEXT NOT NULL,
    subject TEXT NOT NULL,
    finding TEXT NOT NULL,
    since INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    gone INTEGER
) STRICT;
CREATE INDEX tracked_findings_domain ON tracked_findings (domain, gone);

-- What arrived, once by the SHA-256 of its bytes.
CREATE TABLE items (
    number INTEGER NOT NULL PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    received_at INTEGER NOT NULL,
    source TEXT NOT NULL,
    origin TEXT NOT NULL,
    trust INTEGER NOT NULL,
    dkim TEXT,
    quarantined INTEGER NOT NULL,
    size INTEGER NOT NULL,
    findings TEXT NOT NULL
) STRICT;
CREATE INDEX items_quarantined ON items (number) WHERE quarantined = 1;

CREATE TABLE item_bytes (
    item INTEGER NOT NULL PRIMARY KEY,
    deflated INTEGER NOT NULL,
    bytes BLOB NOT NULL
) STRICT;

-- Reports as read. The long columns come last, so that lists do not touch their pages.
CREATE TABLE reports (
    number INTEGER NOT NULL PRIMARY KEY,
    item INTEGER NOT NULL REFERENCES items (number),
    received_at INTEGER NOT NULL,
    submitter INTEGER NOT NULL,
    report_id_hash INTEGER NOT NULL,
    range_start INTEGER NOT NULL,
    range_end INTEGER NOT NULL,
    successful INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    trust INTEGER NOT NULL,
    superseded INTEGER NOT NULL,
    source TEXT NOT NULL,
    organization TEXT NOT NULL,
    report_id TEXT NOT NULL,
    domains TEXT NOT NULL,
    findings TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX reports_item ON reports (item);
CREATE INDEX reports_report_id ON reports (report_id_hash);
CREATE INDEX reports_submitter ON reports (submitter, number);
CREATE INDEX reports_failed ON reports (number) WHERE failed > 0;

-- What a report says of one domain. `key` is (submitter, report-id, domain, start), `content` is
-- (submitter, domain, content); of those with one key one is current, of those with one content one counts.
-- `trust` is what the source of this part is worth, `counted` the trust at which it stands in the sums (the
-- best that came with this content), NULL when it does not.
CREATE TABLE report_parts (
    report INTEGER NOT NULL REFERENCES reports (number),
    domain INTEGER NOT NULL,
    key BLOB NOT NULL,
    content BLOB NOT NULL,
    submitter INTEGER NOT NULL,
    day INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    trust INTEGER NOT NULL,
    successful INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    current INTEGER NOT NULL,
    counted INTEGER,
    PRIMARY KEY (report, domain)
) STRICT, WITHOUT ROWID;
CREATE INDEX report_parts_key ON report_parts (key);
CREATE INDEX report_parts_content ON report_parts (content);
CREATE INDEX report_parts_domain ON report_parts (domain, report);
CREATE INDEX report_parts_failed ON report_parts (domain, report) WHERE failed > 0;

-- Failures that are the same trouble.
CREATE TABLE problems (
    number INTEGER NOT NULL PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    domain INTEGER NOT NULL,
    last_day INTEGER NOT NULL,
    result_type TEXT NOT NULL,
    mx TEXT,
    reason TEXT
) STRICT;
CREATE INDEX problems_domain ON problems (domain, last_day);
CREATE INDEX problems_last_day ON problems (last_day);

-- One row a failure detail.
CREATE TABLE failures (
    report INTEGER NOT NULL,
    domain INTEGER NOT NULL,
    position INTEGER NOT NULL,
    problem INTEGER NOT NULL,
    sessions INTEGER NOT NULL,
    policy_type TEXT NOT NULL,
    sending_ip TEXT,
    receiving_ip TEXT,
    PRIMARY KEY (report, domain, position)
) STRICT, WITHOUT ROWID;

-- Sums, for all policy domains, also those not (yet) held; kept up to date with report_parts.counted.
CREATE TABLE session_days (
    domain INTEGER NOT NULL,
    day INTEGER NOT NULL,
    submitter INTEGER NOT NULL,
    trust INTEGER NOT NULL,
    reports INTEGER NOT NULL,
    successful INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    PRIMARY KEY (domain, day, submitter, trust)
) STRICT, WITHOUT ROWID;

CREATE TABLE domain_days (
    domain INTEGER NOT NULL,
    day INTEGER NOT NULL,
    successful INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    weak_successful INTEGER NOT NULL,
    weak_failed INTEGER NOT NULL,
    PRIMARY KEY (domain, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE domain_reporters (
    domain INTEGER NOT NULL,
    submitter INTEGER NOT NULL,
    reports INTEGER NOT NULL,
    last_received INTEGER NOT NULL,
    last_day INTEGER NOT NULL,
    last_evidence_day INTEGER NOT NULL,
    trust INTEGER NOT NULL,
    organization TEXT NOT NULL,
    PRIMARY KEY (domain, submitter)
) STRICT, WITHOUT ROWID;

CREATE TABLE failure_days (
    domain INTEGER NOT NULL,
    day INTEGER NOT NULL,
    weak INTEGER NOT NULL,
    result_type TEXT NOT NULL,
    sessions INTEGER NOT NULL,
    PRIMARY KEY (domain, day, weak, result_type)
) STRICT, WITHOUT ROWID;

CREATE TABLE problem_days (
    problem INTEGER NOT NULL,
    day INTEGER NOT NULL,
    submitter INTEGER NOT NULL,
    trust INTEGER NOT NULL,
    sessions INTEGER NOT NULL,
    PRIMARY KEY (problem, day, submitter, trust)
) STRICT, WITHOUT ROWID;

CREATE TABLE problem_totals (
    problem INTEGER NOT NULL,
    day INTEGER NOT NULL,
    sessions INTEGER NOT NULL,
    weak_sessions INTEGER NOT NULL,
    PRIMARY KEY (problem, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE problem_reporters (
    problem INTEGER NOT NULL,
    submitter INTEGER NOT NULL,
    last_day INTEGER NOT NULL,
    PRIMARY KEY (problem, submitter)
) STRICT, WITHOUT ROWID;
