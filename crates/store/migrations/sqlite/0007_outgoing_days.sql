-- How many outgoing reports there are of each day in each state, for SQLite, kept up to date with them. Its
-- twin for PostgreSQL has the same tables and columns.
CREATE TABLE outgoing_days (
    day INTEGER NOT NULL,
    state TEXT NOT NULL,
    reports INTEGER NOT NULL,
    PRIMARY KEY (day, state)
) STRICT, WITHOUT ROWID;

INSERT INTO outgoing_days (day, state, reports)
SELECT day, state, COUNT(*) FROM outgoing_reports GROUP BY day, state;

-- The reports of a day, newest first, of all states and of one.
CREATE INDEX outgoing_reports_day_number ON outgoing_reports (day, number);
CREATE INDEX outgoing_reports_day_state ON outgoing_reports (day, state, number);
