//! The whole chain of reports on real parts: sessions of a real Postfix, the collector, the end of a UTC day,
//! the reports by mail through that Postfix and by POST, and a second mailward that takes them in.
//!
//! Every step tells its own counts, by domain, policy and kind of failure, and all must be those that
//! Postfix wrote into its log.

mod readers;
mod rows;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use mailward_lab::Security;
use serde_json::Value;
use std::collections::BTreeMap;

use self::rows::{OWN, ROWS, Row};
use crate::command::skip;
use crate::counts::{Counts, Sessions, of_report, put_down_to};
use crate::house::{House, Site};
use crate::mail_world::in_world;
use crate::mta::{Release, Submission};
use crate::receiver::{HTTPS, Receiver};
use crate::{office, receiver, wait};

/// No two domains get the same number of mails.
fn recipients() -> impl Iterator<Item = (&'static Row, String)> {
    let mails = |(number, row): (usize, &'static Row)| {
        (0..=number).map(move |mail| (row, format!("n{mail}@{}", row.domain())))
    };
    ROWS.iter().enumerate().flat_map(mails)
}

pub fn play(release: Release) {
    // Noon of yesterday: the day can end without the receiver's time being behind.
    let day = Timestamp::now().to_zoned(TimeZone::UTC).date().yesterday().unwrap();
    let mut place = None;
    let house = House::build_at(release, Some(at(day, 12)), |world| {
        for row in ROWS {
            let site = Site::new(world, &row.domain(), Security::Signed);
            world.set(&format!("_smtp._tls.{}", row.domain()), "TXT", &[&row.record()]).unwrap();
            (row.furnish)(&site);
        }
        place = Some(receiver::furnish(world));
        office::furnish(world)
    });
    let domains: Vec<String> = ROWS.iter().map(Row::domain).collect();
    let receiver = Receiver::start(&house.world, house.resolver, place.unwrap(), &domains);

    let logged = sessions(&house);
    tallied(&house, day, &logged);
    let heard = house.sessions_heard();
    house.clock.as_ref().unwrap().show(at(day.tomorrow().unwrap(), 0) + SignedDuration::from_mins(6));
    let ids = reported(&house, day, &logged);
    to_own_hosts(&house, &receiver);
    received(&receiver, &ids, &logged);
    read_by_others(&house, &receiver, &ids, &logged);
    // RFC 8460 §4.3: no report of reports. Postfix tells nothing of mail with TLS-Required: No.
    assert_eq!(house.sessions_heard(), heard);
    receiver.terminate();
}

fn at(day: Date, hour: i8) -> Timestamp {
    day.at(hour, 0, 0, 0).to_zoned(TimeZone::UTC).unwrap().timestamp()
}

/// Sends the mails, each once and what waits once more. Returns the sessions that Postfix logged.
fn sessions(house: &House) -> BTreeMap<String, Counts> {
    let mut submission = Submission::open();
    for (_, recipient) in recipients() {
        submission.mail(&recipient, "chain");
    }
    for round in 0..2 {
        for (row, recipient) in recipients().filter(|(row, _)| round == 0 || row.waits) {
            let attempt = house.postfix.next_attempt(&recipient, round);
            assert_eq!(
                attempt.status,
                if row.waits { "deferred" } else { "sent" },
                "{recipient} {attempt:?}"
            );
        }
        if round == 0 {
            house.postfix.flush();
        }
    }
    let log = house.postfix.log();
    assert!(!log.contains("Could not report TLS"), "{log}");
    let logged = ROWS.iter().filter_map(|row| Some((row.domain(), in_log(&log, row)?))).collect();
    println!("sessions logged: {logged:?}");
    logged
}

/// Postfix 3.10 logs what it tells of each session: `TLSRPT: status=failure, domain=…, receiving_mx=HOST[IP],
/// failure_type=certificate_expired`.
fn in_log(log: &str, row: &Row) -> Option<Counts> {
    let domain = format!(", domain={}, ", row.domain());
    let mut sessions = Sessions::default();
    for line in log.lines().filter(|line| line.contains("TLSRPT: status=") && line.contains(&domain)) {
        let member =
            |name: &str| Some(line.split_once(&format!("{name}="))?.1.split([',', '[']).next()?.trim());
        match member("failure_type") {
            None => sessions.successful += 1,
            Some(failure) => {
                sessions.failed += 1;
                let kind = (failure.replace('_', "-"), member("receiving_mx").unwrap().to_owned());
                *sessions.failures.entry(kind).or_default() += 1;
            }
        }
    }
    let Some((policy, failure)) = row.session else {
        assert_eq!(sessions, Sessions::default(), "{}", row.name);
        return None;
    };
    let host = format!("mx1.{}", row.domain());
    let kinds: Vec<&str> = sessions.failures.keys().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, failure.as_slice(), "{}", row.name);
    assert!(sessions.successful + sessions.failed > 0, "no session with {host}: {log}");
    // RFC 8460 §4.2: the policy domain of TLSA records is the host that has them.
    let policy_domain = if policy == "tlsa" { host } else { row.domain() };
    Some(Counts::from([((policy.to_owned(), policy_domain), sessions)]))
}

/// The collector's tallies, while the day goes on.
fn tallied(house: &House, day: Date, logged: &BTreeMap<String, Counts>) {
    let day = day.to_string();
    for row in ROWS {
        let domain = row.domain();
        let preview = ["report", "outgoing", "preview", &domain, "--day", &day, "--json"];
        let Some(expected) = logged.get(&domain) else {
            in_world(&house.world, &preview).exits(3);
            continue;
        };
        let tally = || {
            let shown = in_world(&house.world, &preview);
            // Nothing yet?
            if shown.code == 3 { Counts::new() } else { of_report(&shown.exits(0).json()["report"]) }
        };
        let all = |counts: &Counts| counts.values().map(|s| s.successful + s.failed).sum::<u64>();
        wait::until(&format!("the tally of {domain}"), 20, || all(&tally()) >= all(expected));
        assert_eq!(tally(), *expected, "{domain}");
    }
}

/// The reports as made and sent. Returns their ids by domain.
fn reported(house: &House, day: Date, logged: &BTreeMap<String, Counts>) -> BTreeMap<String, String> {
    let rows = wait::some("every report is sent", 90, || {
        let list = in_world(&house.world, &["report", "outgoing", "list", "--json"]).exits(0).json();
        let rows = list["reports"].as_array().unwrap().clone();
        let sent = |row: &Value| row["targets"].as_array().unwrap().iter().all(|t| t["state"] == "sent");
        (rows.len() == logged.len() && rows.iter().all(sent)).then_some(rows)
    });
    let mut ids = BTreeMap::new();
    for row in rows {
        let domain = row["domain"].as_str().unwrap().to_owned();
        let id = row["report_id"].as_str().unwrap().to_owned();
        let shown = in_world(&house.world, &["report", "outgoing", "show", &id, "--json"]).exits(0).json();
        assert_eq!(of_report(&shown["report"]), logged[&domain], "{domain}");
        let begin = &shown["report"]["date-range"]["start-datetime"];
        assert_eq!(begin.as_str().unwrap(), format!("{day}T00:00:00Z"));
        ids.insert(domain, id);
    }
    ids
}

/// Mailboxes at hosts whose TLS is broken got the report all the same. What arrived there is put where the
/// receiver looks, as the host's own delivery would.
fn to_own_hosts(house: &House, receiver: &Receiver) {
    for row in ROWS.iter().filter(|row| row.reports == [OWN]) {
        let own = row.own();
        let mails = || house.world.mx_hosts.delivered_to(&own);
        // Postfix leaves alone for a while a host that refused everything until now.
        wait::until(&format!("{own} is tried"), 60, || !house.postfix.attempts(&own).is_empty());
        house.postfix.flush_to(&own);
        wait::until(&format!("the report at {own}"), 60, || !mails().is_empty());
        let [(_, mail)] = &mails()[..] else { panic!("{own}: {:?}", mails()) };
        assert_eq!(mail.from, "", "{own}: an answer to it would be answered");
        assert_eq!(mail.tls.is_none(), row.name == "no-starttls", "{own}");
        let name = format!("1.{}.own", row.name);
        std::fs::write(receiver.maildir.join("tmp").join(&name), &mail.data).unwrap();
        let [from, to] = ["tmp", "new"].map(|folder| receiver.maildir.join(folder).join(&name));
        std::fs::rename(from, to).unwrap();
    }
}

/// The same reports with the same counts at the receiver, each once, and mails believed.
fn received(receiver: &Receiver, ids: &BTreeMap<String, String>, logged: &BTreeMap<String, Counts>) {
    wait::until("every report is taken in", 60, || {
        receiver.taken_in() >= wanted_by_mail() && receiver.rows().len() >= ids.len()
    });
    let reports = receiver.reports();
    assert_eq!(reports.len(), ids.len());
    for (domain, id) in ids {
        assert_eq!(of_report(&reports[id]), put_down_to(domain, &logged[domain]), "{domain}");
    }
    // What also came by mail is believed; anybody can post.
    let rows = receiver.rows();
    for row in ROWS.iter().filter(|row| row.session.is_some()) {
        let trust = if row.reports == [HTTPS] { "unauthenticated" } else { "dkim-verified" };
        let theirs = rows.iter().find(|theirs| theirs["report_id"] == ids[&row.domain()]).unwrap();
        assert_eq!(theirs["trust"], trust, "{theirs}");
    }
}

/// dkimpy believes every mail as it arrived, and parsedmarc reads it, and what was posted, as we do.
fn read_by_others(
    house: &House,
    receiver: &Receiver,
    ids: &BTreeMap<String, String>,
    logged: &BTreeMap<String, Counts>,
) {
    if readers::python().is_none() {
        return skip("dkimpy and parsedmarc are not installed: run `make parts`");
    }
    let folder = house.world.directory.join("arrived");
    std::fs::create_dir(&folder).unwrap();
    let mut files = vec![];
    for (number, mail) in receiver.mails().iter().enumerate() {
        files.push(folder.join(format!("{number}.eml")));
        std::fs::copy(mail, files.last().unwrap()).unwrap();
    }
    for row in receiver.rows().iter().filter(|row| row["source"] == "https") {
        let number = row["number"].as_i64().unwrap();
        files.push(folder.join(format!("{number}.gz")));
        std::fs::write(files.last().unwrap(), receiver.raw(number)).unwrap();
    }
    let read = readers::read(house.resolver.ip(), &files);
    for (domain, id) in ids {
        let copies: Vec<_> = read.iter().filter(|read| read.report_id == *id).collect();
        assert!(!copies.is_empty(), "{domain}");
        for copy in &copies {
            assert_eq!(copy.counts, logged[domain], "{domain}");
        }
    }
    let mails = read.iter().filter_map(|read| read.signed.as_ref());
    assert!(
        mails.clone().all(|signed| signed[..] == ["rsa-sha256", "ed25519-sha256"]),
        "{:?}",
        mails.collect::<Vec<_>>()
    );
    assert_eq!(mails.count(), wanted_by_mail());
}

/// How many reports must arrive as mail.
fn wanted_by_mail() -> usize {
    let targets = ROWS.iter().filter(|row| row.session.is_some()).flat_map(|row| row.reports);
    targets.filter(|uri| **uri != HTTPS).count()
}
