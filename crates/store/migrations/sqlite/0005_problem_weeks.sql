-- Sums of problems by week instead of by day, for SQLite. Its twin for PostgreSQL has the same tables and
-- columns.
--
-- A page sums weeks of every problem there is: it reads one row where it read seven, and of the week in
-- which its window begins only the days inside. Weeks begin on Mondays and are counted from that of 1970-01-01,
-- which was a Thursday. `sessions` and `weak_sessions` are what the days add up to.
CREATE TABLE problem_weeks (
    problem INTEGER NOT NULL,
    week INTEGER NOT NULL,
    sessions INTEGER NOT NULL,
    weak_sessions INTEGER NOT NULL,
    monday INTEGER NOT NULL,
    tuesday INTEGER NOT NULL,
    wednesday INTEGER NOT NULL,
    thursday INTEGER NOT NULL,
    friday INTEGER NOT NULL,
    saturday INTEGER NOT NULL,
    sunday INTEGER NOT NULL,
    weak_monday INTEGER NOT NULL,
    weak_tuesday INTEGER NOT NULL,
    weak_wednesday INTEGER NOT NULL,
    weak_thursday INTEGER NOT NULL,
    weak_friday INTEGER NOT NULL,
    weak_saturday INTEGER NOT NULL,
    weak_sunday INTEGER NOT NULL,
    PRIMARY KEY (problem, week)
) STRICT, WITHOUT ROWID;

INSERT INTO problem_weeks
SELECT problem, week, SUM(sessions), SUM(weak_sessions),
    SUM(CASE weekday WHEN 0 THEN sessions ELSE 0 END),
    SUM(CASE weekday WHEN 1 THEN sessions ELSE 0 END),
    SUM(CASE weekday WHEN 2 THEN sessions ELSE 0 END),
    SUM(CASE weekday WHEN 3 THEN sessions ELSE 0 END),
    SUM(CASE weekday WHEN 4 THEN sessions ELSE 0 END),
    SUM(CASE weekday WHEN 5 THEN sessions ELSE 0 END),
    SUM(CASE weekday WHEN 6 THEN sessions ELSE 0 END),
    SUM(CASE weekday WHEN 0 THEN weak_sessions ELSE 0 END),
    SUM(CASE weekday WHEN 1 THEN weak_sessions ELSE 0 END),
    SUM(CASE weekday WHEN 2 THEN weak_sessions ELSE 0 END),
    SUM(CASE weekday WHEN 3 THEN weak_sessions ELSE 0 END),
    SUM(CASE weekday WHEN 4 THEN weak_sessions ELSE 0 END),
    SUM(CASE weekday WHEN 5 THEN weak_sessions ELSE 0 END),
    SUM(CASE weekday WHEN 6 THEN weak_sessions ELSE 0 END)
FROM (
    SELECT problem, weekday, (day + 3 - weekday) / 7 AS week, sessions, weak_sessions
    -- The remainder of a day before 1970 is negative.
    FROM (SELECT problem, day, ((day + 3) % 7 + 7) % 7 AS weekday, sessions, weak_sessions FROM problem_totals) d
) w
GROUP BY problem, week;

DROP TABLE problem_totals;
