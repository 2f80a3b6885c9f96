-- The first schema, for PostgreSQL. Its twin for SQLite has the same tables and columns.
--
-- Moments are microseconds since 1970 UTC, days are whole days since 1970, truth is 0 or 1, and trust
-- counts from 0 (unverified) to 3 (dkim-verified). Texts from outside have no bound that an index could
-- rely on: they are found by hash.

-- The next number of each kind is value + 1. A writer of reports locks the row 'numbers' first.
CREATE TABLE counters (
    name TEXT NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value)
VALUES ('numbers', 0), ('domains-version', 0), ('names', 0), ('items', 0), ('reports', 0), ('problems', 0);

-- Policy domains and submitters, each text once.
CREATE TABLE names (
    number BIGINT NOT NULL PRIMARY KEY,
    hash BYTEA NOT NULL UNIQUE,
    name TEXT NOT NULL
);

-- Domains held; number is that of the name.
CREATE TABLE domains (
    number BIGINT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    mode TEXT NOT NULL,
    mx TEXT NOT NULL,
    max_age BIGINT NOT NULL,
    policy_id TEXT NOT NULL,
    policy_body TEXT NOT NULL,
    rua TEXT NOT NULL,
    added_at BIGINT NOT NULL,
    mode_since BIGINT NOT NULL
);

-- Every policy ever served; last_served is NULL while it is.
CREATE TABLE served_policies (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    domain BIGINT NOT NULL,
    body TEXT NOT NULL,
    policy_id TEXT NOT NULL,
    mode TEXT NOT NULL,
    mx TEXT NOT NULL,
    max_age BIGINT NOT NULL,
    first_served BIGINT NOT NULL,
    last_served BIGINT
);
CREATE INDEX served_policies_domain ON served_policies (domain, number);

-- Failures an operator marked as not ours.
CREATE TABLE excuses (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    domain BIGINT NOT NULL,
    result_type TEXT NOT NULL,
    mx TEXT,
    author TEXT NOT NULL,
    reason TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX excuses_domain ON excuses (domain, number);

-- Items of the gate an operator passed by name; they end with the policy they were given for.
CREATE TABLE waivers (
    domain BIGINT NOT NULL,
    item BIGINT NOT NULL,
    author TEXT NOT NULL,
    reason TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (domain, item)
);

CREATE TABLE log (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at BIGINT NOT NULL,
    domain TEXT,
    author TEXT NOT NULL,
    act TEXT NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX log_domain ON log (domain, number);

CREATE TABLE tokens (
    name TEXT NOT NULL PRIMARY KEY,
    sha256 BYTEA NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    last_used BIGINT
);

-- What our monitor saw last, whole (JSON, deflated) ...
CREATE TABLE latest_observations (
    domain BIGINT NOT NULL PRIMARY KEY,
    observed_at BIGINT NOT NULL,
    summary TEXT NOT NULL,
    errors BIGINT NOT NULL,
    warnings BIGINT NOT NULL,
    facts BYTEA NOT NULL,
    audit BYTEA NOT NULL
);

-- ... and before, boiled down.
CREATE TABLE probe_rounds (
    domain BIGINT NOT NULL,
    observed_at BIGINT NOT NULL,
    summary TEXT NOT NULL,
    round TEXT NOT NULL,
    PRIMARY KEY (domain, observed_at)
);

CREATE TABLE tracked_findings (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    domain BIGINT NOT NULL,
    id TEXT NOT NULL,
    subject TEXT NOT NULL,
    finding TEXT NOT NULL,
    since BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    gone BIGINT
);
CREATE INDEX tracked_findings_domain ON tracked_findings (domain, gone);

-- What arrived, once by the SHA-256 of its bytes.
CREATE TABLE items (
    number BIGINT NOT NULL PRIMARY KEY,
    hash BYTEA NOT NULL UNIQUE,
    received_at BIGINT NOT NULL,
    source TEXT NOT NULL,
    origin TEXT NOT NULL,
    trust BIGINT NOT NULL,
    dkim TEXT,
    quarantined BIGINT NOT NULL,
    size BIGINT NOT NULL,
    findings TEXT NOT NULL
);
CREATE INDEX items_quarantined ON items (number) WHERE quarantined = 1;

CREATE TABLE item_bytes (
    item BIGINT NOT NULL PRIMARY KEY,
    deflated BIGINT NOT NULL,
    bytes BYTEA NOT NULL
);

-- Reports as read. The long columns come last, so that lists do not touch their pages.
CREATE TABLE reports (
    number BIGINT NOT NULL PRIMARY KEY,
    item BIGINT NOT NULL REFERENCES items (number),
    received_at BIGINT NOT NULL,
    submitter BIGINT NOT NULL,
    report_id_hash BIGINT NOT NULL,
    range_start BIGINT NOT NULL,
    range_end BIGINT NOT NULL,
    successful BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    trust BIGINT NOT NULL,
    superseded BIGINT NOT NULL,
    source TEXT NOT NULL,
    organization TEXT NOT NULL,
    report_id TEXT NOT NULL,
    domains TEXT NOT NULL,
    findings TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX reports_item ON reports (item);
CREATE INDEX reports_report_id ON reports (report_id_hash);
CREATE INDEX reports_submitter ON reports (submitter, number);
CREATE INDEX reports_failed ON reports (number) WHERE failed > 0;

-- What a report says of one domain. `key` is (submitter, report-id, domain, start), `content` is
-- (submitter, domain, content); of those with one key one is current, of those with one content one counts.
-- `trust` is what the source of this part is worth, `counted` the trust at which it stands in the sums (the
-- best that came with this content), NULL when it does not.
CREATE TABLE report_parts (
    report BIGINT NOT NULL REFERENCES reports (number),
    domain BIGINT NOT NULL,
    key BYTEA NOT NULL,
    content BYTEA NOT NULL,
    submitter BIGINT NOT NULL,
    day BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    trust BIGINT NOT NULL,
    successful BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    current BIGINT NOT NULL,
    counted BIGINT,
    PRIMARY KEY (report, domain)
);
CREATE INDEX report_parts_key ON report_parts (key);
CREATE INDEX report_parts_content ON report_parts (content);
CREATE INDEX report_parts_domain ON report_parts (domain, report);
CREATE INDEX report_parts_failed ON report_parts (domain, report) WHERE failed > 0;

-- Failures that are the same trouble.
CREATE TABLE problems (
    number BIGINT NOT NULL PRIMARY KEY,
    hash BYTEA NOT NULL UNIQUE,
    domain BIGINT NOT NULL,
    last_day BIGINT NOT NULL,
    result_type TEXT NOT NULL,
    mx TEXT,
    reason TEXT
);
CREATE INDEX problems_domain ON problems (domain, last_day);
CREATE INDEX problems_last_day ON problems (last_day);

-- One row a failure detail.
CREATE TABLE failures (
    report BIGINT NOT NULL,
    domain BIGINT NOT NULL,
    position BIGINT NOT NULL,
    problem BIGINT NOT NULL,
    sessions BIGINT NOT NULL,
    policy_type TEXT NOT NULL,
    sending_ip TEXT,
    receiving_ip TEXT,
    PRIMARY KEY (report, domain, position)
);

-- Sums, for all policy domains, also those not (yet) held; kept up to date with report_parts.counted.
CREATE TABLE session_days (
    domain BIGINT NOT NULL,
    day BIGINT NOT NULL,
    submitter BIGINT NOT NULL,
    trust BIGINT NOT NULL,
    reports BIGINT NOT NULL,
    successful BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    PRIMARY KEY (domain, day, submitter, trust)
);

CREATE TABLE domain_days (
    domain BIGINT NOT NULL,
    day BIGINT NOT NULL,
    successful BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    weak_successful BIGINT NOT NULL,
    weak_failed BIGINT NOT NULL,
    PRIMARY KEY (domain, day)
);

CREATE TABLE domain_reporters (
    domain BIGINT NOT NULL,
    submitter BIGINT NOT NULL,
    reports BIGINT NOT NULL,
    last_received BIGINT NOT NULL,
    last_day BIGINT NOT NULL,
    last_evidence_day BIGINT NOT NULL,
    trust BIGINT NOT NULL,
    organization TEXT NOT NULL,
    PRIMARY KEY (domain, submitter)
);

CREATE TABLE failure_days (
    domain BIGINT NOT NULL,
    day BIGINT NOT NULL,
    weak BIGINT NOT NULL,
    result_type TEXT NOT NULL,
    sessions BIGINT NOT NULL,
    PRIMARY KEY (domain, day, weak, result_type)
);

CREATE TABLE problem_days (
    problem BIGINT NOT NULL,
    day BIGINT NOT NULL,
    submitter BIGINT NOT NULL,
    trust BIGINT NOT NULL,
    sessions BIGINT NOT NULL,
    PRIMARY KEY (problem, day, submitter, trust)
);

CREATE TABLE problem_totals (
    problem BIGINT NOT NULL,
    day BIGINT NOT NULL,
    sessions BIGINT NOT NULL,
    weak_sessions BIGINT NOT NULL,
    PRIMARY KEY (problem, day)
);

CREATE TABLE problem_reporters (
    problem BIGINT NOT NULL,
    submitter BIGINT NOT NULL,
    last_day BIGINT NOT NULL,
    PRIMARY KEY (problem, submitter)
);
