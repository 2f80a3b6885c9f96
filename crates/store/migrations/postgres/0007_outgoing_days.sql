-- How many outgoing reports there are of each day in each state, for PostgreSQL, kept up to date with them. Its
-- twin for SQLite has the same tables and columns.
CREATE TABLE outgoing_days (
    day BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    reports BIGINT NOT NULL,
    PRIMARY KEY (day, state)
);

INSERT INTO outgoing_days (day, state, reports)
SELECT day, state, COUNT(*) FROM outgoing_reports GROUP BY day, state;

-- The reports of a day, newest first, of all states and of one.
CREATE INDEX outgoing_reports_day_number ON outgoing_reports (day, number);
CREATE INDEX outgoing_reports_day_state ON outgoing_reports (day, state, number);
