-- What mail servers told of their sessions, for SQLite. Its twin for PostgreSQL has the same tables and
-- columns.
--
-- Thought out for a million domains and a hundred million sessions a day: rows are integers, keys ascend by
-- day, and texts (names, records, policies, kinds of failure) stand once in tally_texts and are meant by
-- number. `at` is the day since 1970 times 2^40 plus the number of the domain, so that one integer finds
-- what was seen of a domain on a day.
--
-- The row of this counter is the lock that puts writers in order.
INSERT INTO counters (name, value) VALUES ('tally-texts', 0);

-- last_day: the last day on which the text was used; what is older than every tally goes.
CREATE TABLE tally_texts (
    number INTEGER NOT NULL PRIMARY KEY,
    digest BLOB NOT NULL,
    last_day INTEGER NOT NULL,
    deflated INTEGER NOT NULL,
    text BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX tally_texts_digest ON tally_texts (digest);
CREATE INDEX tally_texts_age ON tally_texts (last_day);

-- A domain on a day: the record last seen, how many policies and kinds of failure count against the caps.
CREATE TABLE tally_domains (
    at INTEGER NOT NULL PRIMARY KEY,
    domain INTEGER NOT NULL,
    record INTEGER NOT NULL,
    policies INTEGER NOT NULL,
    kinds INTEGER NOT NULL
) STRICT;

-- Those of them that no report was made of yet.
CREATE TABLE tally_open (
    at INTEGER NOT NULL PRIMARY KEY
) STRICT;

-- source: 0 told by a mail server, 1 seen by mailward itself.
CREATE TABLE tallies (
    at INTEGER NOT NULL,
    policy INTEGER NOT NULL,
    source INTEGER NOT NULL,
    successful INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    PRIMARY KEY (at, policy, source)
) STRICT, WITHOUT ROWID;

CREATE TABLE tally_failures (
    at INTEGER NOT NULL,
    policy INTEGER NOT NULL,
    source INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    sessions INTEGER NOT NULL,
    PRIMARY KEY (at, policy, source, kind)
) STRICT, WITHOUT ROWID;

-- Sums for pages, kept up to date by every writer.
CREATE TABLE tally_days (
    day INTEGER NOT NULL PRIMARY KEY,
    domains INTEGER NOT NULL
) STRICT;

CREATE TABLE tally_sums (
    day INTEGER NOT NULL,
    policy_type TEXT NOT NULL,
    source INTEGER NOT NULL,
    successful INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    PRIMARY KEY (day, policy_type, source)
) STRICT, WITHOUT ROWID;
