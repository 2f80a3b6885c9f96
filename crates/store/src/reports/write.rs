//! Carries a plan out: new rows first, then changes of old ones, then the sums.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem::take;

use super::lookup::stored_shares;
use super::plan::{ItemChange, Plan};
use super::prepare::{PreparedItem, PreparedReport};
use super::sums::Sums;
use super::tally::{Counted, Shares, Trouble, shares};
use crate::Result;
use crate::columns::{hash_number, hash16};
use crate::engine::{Value, Write, statements, values};
use crate::names::{Numbers, next};

statements! {
    ADD_ITEMS = "INSERT INTO items
        (number, hash, received_at, source, origin, trust, dkim, quarantined, size, findings) VALUES {rows}";
    ADD_BYTES = "INSERT INTO item_bytes (item, deflated, bytes) VALUES {rows}";
    UPDATE_ITEM = "UPDATE items SET trust = $2, dkim = $3, quarantined = $4, findings = $5 WHERE number = $1";
    ADD_REPORTS = "INSERT INTO reports (number, item, received_at, submitter, report_id_hash, range_start, range_end,
        successful, failed, trust, superseded, source, organization, report_id, domains, findings, body)
        VALUES {rows}";
    ADD_PARTS = "INSERT INTO report_parts (report, domain, key, content, submitter, day, received_at, trust,
        successful, failed, current, counted) VALUES {rows}";
    UPDATE_PART = "UPDATE report_parts SET current = $3, counted = $4, trust = $5 WHERE report = $1 AND domain = $2";
    RAISE = "UPDATE reports SET trust = $2, item = $3 WHERE number = $1";
    SUPERSEDE = "UPDATE reports SET superseded = CASE WHEN EXISTS
        (SELECT 1 FROM report_parts WHERE report = $1 AND current = 1) THEN 0 ELSE 1 END WHERE number = $1";
    DROP_FAILURES = "DELETE FROM failures WHERE report = $1";
    DROP_PARTS = "DELETE FROM report_parts WHERE report = $1";
    DROP_REPORT = "DELETE FROM reports WHERE number = $1";
    FIND_PROBLEMS = "SELECT hash, number, last_day FROM problems WHERE hash IN ({list})";
    ADD_PROBLEMS = "INSERT INTO problems (number, hash, domain, last_day, result_type, mx, reason) VALUES {rows}";
    TOUCH_PROBLEM = "UPDATE problems SET last_day = $2 WHERE number = $1";
    ADD_FAILURES = "INSERT INTO failures
        (report, domain, position, problem, sessions, policy_type, sending_ip, receiving_ip) VALUES {rows}";
    SESSION_DAYS = "INSERT INTO session_days (domain, day, submitter, trust, reports, successful, failed)
        VALUES {rows} ON CONFLICT (domain, day, submitter, trust) DO UPDATE SET
        reports = session_days.reports + excluded.reports,
        successful = session_days.successful + excluded.successful,
        failed = session_days.failed + excluded.failed";
    DOMAIN_DAYS = "INSERT INTO domain_days (domain, day, successful, failed, weak_successful, weak_failed)
        VALUES {rows} ON CONFLICT (domain, day) DO UPDATE SET
        successful = domain_days.successful + excluded.successful,
        failed = domain_days.failed + excluded.failed,
        weak_successful = domain_days.weak_successful + excluded.weak_successful,
        weak_failed = domain_days.weak_failed + excluded.weak_failed";
    DOMAIN_REPORTERS = "INSERT INTO domain_reporters
        (domain, submitter, reports, last_received, last_day, last_evidence_day, trust, organization)
        VALUES {rows} ON CONFLICT (domain, submitter) DO UPDATE SET
        reports = domain_reporters.reports + excluded.reports,
        organization = CASE WHEN excluded.last_received >= domain_reporters.last_received
            THEN excluded.organization ELSE domain_reporters.organization END,
        trust = CASE WHEN excluded.last_received > domain_reporters.last_received
            OR (excluded.last_received = domain_reporters.last_received AND excluded.trust > domain_reporters.trust)
            THEN excluded.trust ELSE domain_reporters.trust END,
        last_received = CASE WHEN excluded.last_received > domain_reporters.last_received
            THEN excluded.last_received ELSE domain_reporters.last_received END,
        last_day = CASE WHEN excluded.last_day > domain_reporters.last_day
            THEN excluded.last_day ELSE domain_reporters.last_day END,
        last_evidence_day = CASE WHEN excluded.last_evidence_day > domain_reporters.last_evidence_day
            THEN excluded.last_evidence_day ELSE domain_reporters.last_evidence_day END";
    FAILURE_DAYS = "INSERT INTO failure_days (domain, day, weak, result_type, sessions)
        VALUES {rows} ON CONFLICT (domain, day, weak, result_type) DO UPDATE SET
        sessions = failure_days.sessions + excluded.sessions";
    PROBLEM_DAYS = "INSERT INTO problem_days (problem, day, submitter, trust, sessions)
        VALUES {rows} ON CONFLICT (problem, day, submitter, trust) DO UPDATE SET
        sessions = problem_days.sessions + excluded.sessions";
    PROBLEM_WEEKS = "INSERT INTO problem_weeks (problem, week, sessions, weak_sessions,
        monday, tuesday, wednesday, thursday, friday, saturday, sunday, weak_monday, weak_tuesday,
        weak_wednesday, weak_thursday, weak_friday, weak_saturday, weak_sunday)
        VALUES {rows} ON CONFLICT (problem, week) DO UPDATE SET
        sessions = problem_weeks.sessions + excluded.sessions,
        weak_sessions = problem_weeks.weak_sessions + excluded.weak_sessions,
        monday = problem_weeks.monday + excluded.monday,
        tuesday = problem_weeks.tuesday + excluded.tuesday,
        wednesday = problem_weeks.wednesday + excluded.wednesday,
        thursday = problem_weeks.thursday + excluded.thursday,
        friday = problem_weeks.friday + excluded.friday,
        saturday = problem_weeks.saturday + excluded.saturday,
        sunday = problem_weeks.sunday + excluded.sunday,
        weak_monday = problem_weeks.weak_monday + excluded.weak_monday,
        weak_tuesday = problem_weeks.weak_tuesday + excluded.weak_tuesday,
        weak_wednesday = problem_weeks.weak_wednesday + excluded.weak_wednesday,
        weak_thursday = problem_weeks.weak_thursday + excluded.weak_thursday,
        weak_friday = problem_weeks.weak_friday + excluded.weak_friday,
        weak_saturday = problem_weeks.weak_saturday + excluded.weak_saturday,
        weak_sunday = problem_weeks.weak_sunday + excluded.weak_sunday";
    PROBLEM_REPORTERS = "INSERT INTO problem_reporters (problem, submitter, last_day)
        VALUES {rows} ON CONFLICT (problem, submitter) DO UPDATE SET
        last_day = CASE WHEN excluded.last_day > problem_reporters.last_day
            THEN excluded.last_day ELSE problem_reporters.last_day END";
    FORGET_PROBLEM_REPORTER = "DELETE FROM problem_reporters WHERE problem = $1 AND submitter = $2";
    REMEMBER_PROBLEM_REPORTER = "INSERT INTO problem_reporters (problem, submitter, last_day)
        SELECT problem, submitter, MAX(day) FROM problem_days
        WHERE problem = $1 AND submitter = $2 AND sessions > 0 GROUP BY problem, submitter";
}

pub(crate) async fn carry_out(
    write: &mut Write,
    plan: &Plan,
    prepared: &mut [PreparedItem],
    numbers: &mut Numbers,
) -> Result<()> {
    write_items(write, plan, prepared).await?;
    write_reports(write, plan, prepared).await?;
    let problems = write_problems(write, plan, prepared, numbers).await?;
    let new_shares = write_failures(write, plan, prepared, &problems).await?;
    update_stored(write, plan).await?;
    let mut sums = Sums::default();
    for part in &plan.parts {
        if part.before.is_none_or(|before| before.trust != part.now.trust) {
            sums.hear(part);
        }
        let (before, now) = (part.before.and_then(|before| before.counted), part.now.counted);
        if before == now {
            continue;
        }
        let loaded;
        let shares = match new_shares.get(&(part.report, part.domain)) {
            Some(shares) => shares,
            None => {
                loaded = stored_shares(write, part.report, part.domain).await?;
                &loaded
            }
        };
        if let Some(trust) = before {
            sums.add(part, trust, shares, -1);
        }
        if let Some(trust) = now {
            sums.add(part, trust, shares, 1);
        }
    }
    for report in &plan.withdrawn {
        for sql in [DROP_FAILURES, DROP_PARTS, DROP_REPORT] {
            write.run(sql, values![*report]).await?;
        }
    }
    write_sums(write, sums).await
}

/// Long columns are moved out of what was prepared, not copied.
async fn write_items(write: &mut Write, plan: &Plan, prepared: &mut [PreparedItem]) -> Result<()> {
    let (mut items, mut bytes) = (Vec::new(), Vec::new());
    for (item, (number, change)) in prepared.iter_mut().zip(&plan.items) {
        if *change == ItemChange::Insert {
            items.push([
                (*number).into(),
                item.hash.as_slice().into(),
                item.received_at.into(),
                item.source.as_str().into(),
                take(&mut item.origin).into(),
                item.trust.into(),
                item.dkim.take().into(),
                i64::from(item.quarantined).into(),
                item.size.into(),
                take(&mut item.findings).into(),
            ]);
            bytes.push([(*number).into(), item.deflated.into(), take(&mut item.bytes).into()]);
        }
    }
    write.run_rows(ADD_ITEMS, items).await?;
    write.run_rows(ADD_BYTES, bytes).await?;
    for (item, (number, change)) in prepared.iter().zip(&plan.items) {
        if *change == ItemChange::Update {
            let values = values![
                *number,
                item.trust,
                item.dkim.as_deref(),
                i64::from(item.quarantined),
                item.findings.as_str()
            ];
            write.run(UPDATE_ITEM, values).await?;
        }
    }
    Ok(())
}

async fn write_reports(write: &mut Write, plan: &Plan, prepared: &mut [PreparedItem]) -> Result<()> {
    let new: BTreeSet<i64> = plan.reports.iter().map(|report| report.number).collect();
    let mut current: BTreeSet<i64> = BTreeSet::new();
    let mut submitters: HashMap<i64, i64> = HashMap::new();
    let mut parts: Vec<[Value; 12]> = Vec::new();
    for part in plan.parts.iter().filter(|part| part.before.is_none()) {
        if part.now.current {
            current.insert(part.report);
        }
        submitters.insert(part.report, part.submitter);
        parts.push([
            part.report.into(),
            part.domain.into(),
            part.key.as_slice().into(),
            part.content.as_slice().into(),
            part.submitter.into(),
            part.day.into(),
            part.received_at.into(),
            part.now.trust.into(),
            part.successful.into(),
            part.failed.into(),
            i64::from(part.now.current).into(),
            part.now.counted.into(),
        ]);
    }
    let mut reports = Vec::new();
    for new in &plan.reports {
        let item = &mut prepared[new.item_at];
        let report = &mut item.reports[new.report_at];
        let (trust, item_number) =
            plan.raised.get(&new.number).copied().unwrap_or((item.trust, plan.items[new.item_at].0));
        reports.push([
            new.number.into(),
            item_number.into(),
            item.received_at.into(),
            submitters.get(&new.number).copied().unwrap_or_default().into(),
            hash_number(&report.report_id).into(),
            report.start.into(),
            report.end.into(),
            report.successful.into(),
            report.failed.into(),
            trust.into(),
            i64::from(!current.contains(&new.number)).into(),
            item.source.as_str().into(),
            take(&mut report.organization).into(),
            take(&mut report.report_id).into(),
            take(&mut report.domains).into(),
            take(&mut report.findings).into(),
            take(&mut report.body).into(),
        ]);
    }
    write.run_rows(ADD_REPORTS, reports).await?;
    write.run_rows(ADD_PARTS, parts).await?;
    for (report, (trust, item)) in plan.raised.iter().filter(|(report, _)| !new.contains(report)) {
        write.run(RAISE, values![*report, *trust, *item]).await?;
    }
    Ok(())
}

async fn update_stored(write: &mut Write, plan: &Plan) -> Result<()> {
    let mut changed = BTreeSet::new();
    for part in &plan.parts {
        let Some(before) = part.before.filter(|before| *before != part.now) else { continue };
        let (current, counted) = (i64::from(part.now.current), part.now.counted);
        let values = values![part.report, part.domain, current, counted, part.now.trust];
        write.run(UPDATE_PART, values).await?;
        if before.current != part.now.current {
            changed.insert(part.report);
        }
    }
    for report in changed {
        write.run(SUPERSEDE, values![report]).await?;
    }
    Ok(())
}

/// The new reports with their parts' domain numbers.
fn new_parts<'a>(
    plan: &'a Plan,
    prepared: &'a [PreparedItem],
) -> impl Iterator<Item = (i64, i64, &'a super::tally::Part)> {
    let reports: HashMap<i64, &PreparedReport> =
        plan.reports.iter().map(|new| (new.number, &prepared[new.item_at].reports[new.report_at])).collect();
    plan.parts.iter().filter(|part| part.before.is_none()).filter_map(move |planned| {
        let report = reports.get(&planned.report)?;
        let part = report.parts.iter().find(|part| part.key == planned.key)?;
        Some((planned.report, planned.domain, &part.part))
    })
}

type Problems<'a> = HashMap<(i64, &'a Trouble), i64>;

/// The numbers of all problems in new reports; new ones get theirs.
async fn write_problems<'a>(
    write: &mut Write,
    plan: &'a Plan,
    prepared: &'a [PreparedItem],
    numbers: &mut Numbers,
) -> Result<Problems<'a>> {
    let days: HashMap<i64, i64> = plan.parts.iter().map(|part| (part.report, part.day)).collect();
    let mut last: BTreeMap<(i64, &Trouble), i64> = BTreeMap::new();
    for (report, domain, part) in new_parts(plan, prepared) {
        let day = days.get(&report).copied().unwrap_or(i64::MIN);
        for failure in &part.failures {
            let known = last.entry((domain, &failure.trouble)).or_insert(day);
            *known = day.max(*known);
        }
    }
    let hashes: Vec<[u8; 16]> = last.keys().map(|(domain, trouble)| problem_hash(*domain, trouble)).collect();
    let list = hashes.iter().map(|hash| hash.as_slice().into()).collect();
    let found: Vec<(Vec<u8>, i64, i64)> = write.all_of_list(FIND_PROBLEMS, list).await?;
    let found: HashMap<Vec<u8>, (i64, i64)> = found.into_iter().map(|(h, n, d)| (h, (n, d))).collect();
    let (mut problems, mut new) = (Problems::new(), Vec::new());
    for (((domain, trouble), day), hash) in last.into_iter().zip(hashes) {
        let number = match found.get(hash.as_slice()) {
            Some((number, last_day)) => {
                if *last_day < day {
                    write.run(TOUCH_PROBLEM, values![*number, day]).await?;
                }
                *number
            }
            None => {
                let number = next(&mut numbers.problems);
                new.push([
                    number.into(),
                    hash.as_slice().into(),
                    domain.into(),
                    day.into(),
                    trouble.result_type.as_str().into(),
                    trouble.mx.as_deref().into(),
                    trouble.reason.as_deref().into(),
                ]);
                number
            }
        };
        problems.insert((domain, trouble), number);
    }
    write.run_rows(ADD_PROBLEMS, new).await?;
    Ok(problems)
}

fn problem_hash(domain: i64, trouble: &Trouble) -> [u8; 16] {
    // Absent and empty differ; a trouble has no empty text.
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    hash16(&[
        &domain.to_be_bytes(),
        trouble.result_type.as_bytes(),
        text(&trouble.mx).as_bytes(),
        text(&trouble.reason).as_bytes(),
    ])
}

async fn write_failures(
    write: &mut Write,
    plan: &Plan,
    prepared: &[PreparedItem],
    problems: &Problems<'_>,
) -> Result<HashMap<(i64, i64), Shares>> {
    let (mut rows, mut all_shares) = (Vec::new(), HashMap::new());
    for (report, domain, part) in new_parts(plan, prepared) {
        let number = |trouble| problems.get(&(domain, trouble)).copied().unwrap_or_default();
        for (failure, position) in part.failures.iter().zip(1i64..) {
            rows.push([
                report.into(),
                domain.into(),
                position.into(),
                number(&failure.trouble).into(),
                failure.sessions.into(),
                failure.policy_type.as_str().into(),
                failure.sending_ip.as_deref().into(),
                failure.receiving_ip.as_deref().into(),
            ]);
        }
        let shares = shares(part.failures.iter().map(|failure| Counted {
            policy_type: &failure.policy_type,
            problem: number(&failure.trouble),
            result_type: &failure.trouble.result_type,
            sessions: failure.sessions,
        }));
        all_shares.insert((report, domain), shares);
    }
    write.run_rows(ADD_FAILURES, rows).await?;
    Ok(all_shares)
}

async fn write_sums(write: &mut Write, sums: Sums) -> Result<()> {
    let rows = sums.session_days.into_iter().filter(|(_, sums)| *sums != [0; 3]);
    let rows = rows.map(|((domain, day, submitter, trust), [reports, successful, failed])| {
        [domain, day, submitter, trust, reports, successful, failed].map(Value::from)
    });
    write.run_rows(SESSION_DAYS, rows.collect()).await?;

    let rows = sums.domain_days.into_iter().filter(|(_, sums)| *sums != [0; 4]);
    let rows = rows.map(|((domain, day), [a, b, c, d])| [domain, day, a, b, c, d].map(Value::from));
    write.run_rows(DOMAIN_DAYS, rows.collect()).await?;

    let rows = sums.domain_reporters.into_iter().map(|((domain, submitter), heard)| {
        [
            domain.into(),
            submitter.into(),
            heard.reports.into(),
            heard.last_received.into(),
            heard.last_day.into(),
            heard.last_evidence_day.into(),
            heard.trust.into(),
            heard.organization.into(),
        ]
    });
    write.run_rows(DOMAIN_REPORTERS, rows.collect()).await?;

    let rows = sums.failure_days.into_iter().filter(|(_, sessions)| *sessions != 0);
    let rows = rows.map(|((domain, day, weak, result_type), sessions)| {
        [domain.into(), day.into(), weak.into(), result_type.into(), sessions.into()]
    });
    write.run_rows(FAILURE_DAYS, rows.collect()).await?;

    let rows = sums.problem_days.into_iter().filter(|(_, sessions)| *sessions != 0);
    let rows = rows.map(|((problem, day, submitter, trust), sessions)| {
        [problem, day, submitter, trust, sessions].map(Value::from)
    });
    write.run_rows(PROBLEM_DAYS, rows.collect()).await?;

    let rows = sums.problem_weeks.into_iter().filter(|(_, sums)| *sums != [[0; 7]; 2]);
    let rows = rows.map(|((problem, week), [days, weak])| {
        let mut row = [0; 18];
        row[..4].copy_from_slice(&[problem, week, days.iter().sum(), weak.iter().sum()]);
        row[4..11].copy_from_slice(&days);
        row[11..].copy_from_slice(&weak);
        row.map(Value::from)
    });
    write.run_rows(PROBLEM_WEEKS, rows.collect()).await?;

    let mut rows = Vec::new();
    for ((problem, submitter), last_day) in sums.problem_reporters {
        match last_day {
            Some(last_day) => rows.push([problem, submitter, last_day].map(Value::from)),
            None => {
                write.run(FORGET_PROBLEM_REPORTER, values![problem, submitter]).await?;
                write.run(REMEMBER_PROBLEM_REPORTER, values![problem, submitter]).await?;
            }
        }
    }
    write.run_rows(PROBLEM_REPORTERS, rows).await
}
