-- What the sending side knows of other domains' policies, for SQLite. Its twin for PostgreSQL has the same
-- tables and columns.
--
-- Every write gives its rows the next numbers of the counter 'known-policies', whose row is the lock that
-- puts writers in order: who has read up to a revision has missed none below it.
INSERT INTO counters (name, value) VALUES ('known-policies', 0);

-- Without a policy, mode to record_seen_at are NULL and the body is empty; without a failure or a decision
-- by DNS, their columns are NULL. expires_at is fetched_at + max_age. The long column comes last, so that
-- lists do not touch its pages.
CREATE TABLE known_policies (
    domain TEXT NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    mode TEXT,
    policy_id TEXT,
    max_age INTEGER,
    fetched_at INTEGER,
    expires_at INTEGER,
    record_seen_at INTEGER,
    failure TEXT,
    branch TEXT,
    branch_mx TEXT,
    branch_at INTEGER,
    branch_ttl INTEGER,
    body BLOB NOT NULL
) STRICT;
-- Few indexes, since each costs a page a row when a million rows are refreshed every day.
CREATE UNIQUE INDEX known_policies_revision ON known_policies (revision);
CREATE INDEX known_policies_expiry ON known_policies (expires_at, mode) WHERE mode IS NOT NULL;
CREATE INDEX known_policies_enforced ON known_policies (domain) WHERE mode = 'enforce';
CREATE INDEX known_policies_failing ON known_policies (domain) WHERE failure IS NOT NULL;

-- How many rows there are of each sort, kept up to date with them: policies by mode (word) and the hour
-- since 1970 in which they expire, failures, decisions by DNS by their word, and all. A page that counts a
-- million domains reads these instead.
CREATE TABLE known_policy_counts (
    sort TEXT NOT NULL,
    word TEXT NOT NULL,
    hour INTEGER NOT NULL,
    domains INTEGER NOT NULL,
    PRIMARY KEY (sort, word, hour)
) STRICT, WITHOUT ROWID;
