-- What mail servers told of their sessions, for PostgreSQL. Its twin for SQLite has the same tables and
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
    number BIGINT NOT NULL PRIMARY KEY,
    digest BYTEA NOT NULL,
    last_day BIGINT NOT NULL,
    deflated BIGINT NOT NULL,
    text BYTEA NOT NULL
);
CREATE UNIQUE INDEX tally_texts_digest ON tally_texts (digest);
CREATE INDEX tally_texts_age ON tally_texts (last_day);

-- A domain on a day: the record last seen, how many policies and kinds of failure count against the caps.
CREATE TABLE tally_domains (
    at BIGINT NOT NULL PRIMARY KEY,
    domain BIGINT NOT NULL,
    record BIGINT NOT NULL,
    policies BIGINT NOT NULL,
    kinds BIGINT NOT NULL
);

-- Those of them that no report was made of yet.
CREATE TABLE tally_open (
    at BIGINT NOT NULL PRIMARY KEY
);

-- source: 0 told by a mail server, 1 seen by mailward itself.
CREATE TABLE tallies (
    at BIGINT NOT NULL,
    policy BIGINT NOT NULL,
    source BIGINT NOT NULL,
    successful BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    PRIMARY KEY (at, policy, source)
);

CREATE TABLE tally_failures (
    at BIGINT NOT NULL,
    policy BIGINT NOT NULL,
    source BIGINT NOT NULL,
    kind BIGINT NOT NULL,
    sessions BIGINT NOT NULL,
    PRIMARY KEY (at, policy, source, kind)
);

-- Sums for pages, kept up to date by every writer.
CREATE TABLE tally_days (
    day BIGINT NOT NULL PRIMARY KEY,
    domains BIGINT NOT NULL
);

CREATE TABLE tally_sums (
    day BIGINT NOT NULL,
    policy_type TEXT COLLATE "C" NOT NULL,
    source BIGINT NOT NULL,
    successful BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    PRIMARY KEY (day, policy_type, source)
);
