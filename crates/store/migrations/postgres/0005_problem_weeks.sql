-- Sums of problems by week instead of by day, for PostgreSQL. Its twin for SQLite has the same tables and
-- columns.
--
-- A page sums weeks of every problem there is: it reads one row where it read seven, and of the week in
-- which its window begins only the days inside. Weeks begin on Mondays and are counted from that of 1970-01-01,
-- which was a Thursday. `sessions` and `weak_sessions` are what the days add up to.
CREATE TABLE problem_weeks (
    problem BIGINT NOT NULL,
    week BIGINT NOT NULL,
    sessions BIGINT NOT NULL,
    weak_sessions BIGINT NOT NULL,
    monday BIGINT NOT NULL,
    tuesday BIGINT NOT NULL,
    wednesday BIGINT NOT NULL,
    thursday BIGINT NOT NULL,
    friday BIGINT NOT NULL,
    saturday BIGINT NOT NULL,
    sunday BIGINT NOT NULL,
    weak_monday BIGINT NOT NULL,
    weak_tuesday BIGINT NOT NULL,
    weak_wednesday BIGINT NOT NULL,
    weak_thursday BIGINT NOT NULL,
    weak_friday BIGINT NOT NULL,
    weak_saturday BIGINT NOT NULL,
    weak_sunday BIGINT NOT NULL,
    PRIMARY KEY (problem, week)
);

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
