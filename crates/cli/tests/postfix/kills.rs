//! `mailward serve` is killed at a hundred random points of the chain of reports: while sessions flow, while
//! reports are made, while they are sent. A day is over when all of its reports are sent; then the next one
//! begins, until there were enough kills of each kind.
//!
//! No report may be lost or doubled: of each day each domain gets one, under one id, and the receiver counts
//! it once, though it may have come twice. Of the sessions only those may be missing that came in the second
//! before a kill.

mod books;
mod feeder;
mod verify;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};
use mailward_lab::Behaviour::Good;
use mailward_lab::CertificateKind::{self, SelfSigned};
use mailward_lab::{Security, World};

use self::books::{Books, books};
use self::feeder::{Feeder, by_domain};
use crate::house::{House, Site, Tlsa};
use crate::mta::Release;
use crate::receiver::{HTTPS, MAIL, Receiver};
use crate::{office, receiver, wait};

/// Kills in all, and of each kind, at least.
const KILLS: usize = 100;
const OF_A_KIND: usize = 15;
/// Days after which it is given up; they must fit between the receiver's time and the first day.
const MOST_DAYS: i64 = 20;
/// Domains that the second mail server tells of. A third wants reports by mail, a third by POST, and a third
/// no longer wants any.
const DOMAINS: usize = 240;
/// Kills on each day while sessions flow.
const FLOWING: usize = 3;
/// Sessions younger than this may be lost: they are written each second, and a busy disk takes its time.
const UNWRITTEN: Duration = Duration::from_secs(2);
/// Domains that real mail is sent to.
const MAILED: [&str; 3] = ["sts-flow.test", "dane-flow.test", "expired-flow.test"];

/// Where a kill fell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Point {
    /// Sessions came in.
    Flowing,
    /// Not all reports of the day were made.
    Making,
    /// All were made, not all sent.
    Sending,
    /// Nothing was left to do.
    Idle,
}

/// Numbers from a seed, which is told, so that a run can be repeated as far as timing allows.
struct Random(u64);

impl Random {
    /// Below a bound.
    fn below(&mut self, milliseconds: u64) -> Duration {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_millis(self.0 % milliseconds)
    }
}

pub fn play(release: Release) {
    let seed = match std::env::var("MAILWARD_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => Timestamp::now().as_nanosecond() as u64 | 1,
    };
    println!("MAILWARD_SEED={seed}");
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let first = today.checked_sub(Span::new().days(MOST_DAYS + 1)).unwrap();
    let domains: Vec<String> = (0..DOMAINS).map(|number| format!("d{number}.test")).collect();
    let mut place = None;
    let house = House::build_at(release, Some(hour(first, 12)), |world| {
        place = Some(furnish(world, &domains));
        office::furnish(world)
    });
    let held: Vec<String> = domains.iter().cloned().chain(MAILED.map(str::to_owned)).collect();
    let receiver = Receiver::start(&house.world, house.resolver, place.unwrap(), &held);
    let mut run = Run {
        house,
        random: Random(seed),
        domains,
        day: first,
        kills: BTreeMap::new(),
        fed: BTreeMap::new(),
        lost: 0,
        log_end: 0,
    };
    run.house.kill_mailward();
    while !run.enough() {
        run.flow();
        run.end_of_day();
        run.day = run.day.tomorrow().unwrap();
        assert!(run.day < today, "too few kills of a kind after {MOST_DAYS} days: {:?}", run.kills);
    }
    run.settle(&receiver);
    run.verify(&receiver);
    receiver.terminate();
}

fn furnish(world: &World, domains: &[String]) -> receiver::Place {
    world.zone("test", Security::Unsigned).unwrap();
    for (domain, reports) in domains.iter().zip([Some(MAIL), Some(HTTPS), None].iter().cycle()) {
        if let Some(uri) = reports {
            world.set(&format!("_smtp._tls.{domain}"), "TXT", &[&format!("v=TLSRPTv1; rua={uri}")]).unwrap();
        }
    }
    let [sts, dane, expired] = MAILED.map(|domain| {
        let site = Site::new(world, domain, Security::Signed);
        world.set(&format!("_smtp._tls.{domain}"), "TXT", &[&format!("v=TLSRPTv1; rua={HTTPS}")]).unwrap();
        site
    });
    sts.mx("mx1", Good, CertificateKind::Good);
    sts.policy("enforce", "1", &["mx1"]);
    let address = dane.mx("mx1", Good, SelfSigned);
    dane.tlsa("mx1", address, Tlsa::Key);
    expired.mx("mx1", Good, CertificateKind::Expired);
    expired.policy("enforce", "1", &["mx1"]);
    receiver::furnish(world)
}

fn hour(day: Date, hour: i8) -> Timestamp {
    day.at(hour, 0, 0, 0).to_zoned(TimeZone::UTC).unwrap().timestamp()
}

struct Run {
    house: House,
    random: Random,
    domains: Vec<String>,
    day: Date,
    kills: BTreeMap<Point, usize>,
    /// Sessions that the socket took from the feeder, by day and domain.
    fed: BTreeMap<(Date, String), u64>,
    /// Sessions of the feeder that kills cost.
    lost: u64,
    /// How long the log of Postfix was when the last day ended: what is in it after that is of no report.
    log_end: usize,
}

impl Run {
    fn enough(&self) -> bool {
        let of = |point| self.kills.get(&point).copied().unwrap_or(0);
        let kinds = [Point::Flowing, Point::Making, Point::Sending];
        kinds.iter().all(|&point| of(point) >= OF_A_KIND) && kinds.map(of).iter().sum::<usize>() >= KILLS
    }

    fn books(&self) -> Books {
        books(&self.house.world.directory, self.day)
    }

    fn feed(&self) -> Feeder {
        let recipients = MAILED.map(|domain| format!("someone@{domain}")).to_vec();
        Feeder::start(self.house.postfix.collector().into(), self.domains.clone(), recipients)
    }

    fn remember(&mut self, told: &[(Instant, String)]) {
        for (domain, number) in by_domain(told.iter()) {
            *self.fed.entry((self.day, domain)).or_default() += number;
        }
    }

    /// Lets it live for a random time after it answers, and kills it. Returns when.
    fn live(&mut self, most_milliseconds: u64) -> Instant {
        let end = Instant::now() + self.random.below(most_milliseconds);
        while Instant::now() < end {
            std::thread::park_timeout(end.saturating_duration_since(Instant::now()));
        }
        self.kill()
    }

    fn kill(&mut self) -> Instant {
        let at = Instant::now();
        self.house.kill_mailward();
        at
    }

    /// Sessions come in all the time, and mailward is killed meanwhile.
    fn flow(&mut self) {
        self.house.clock.as_ref().unwrap().show(hour(self.day, 12));
        for _ in 0..FLOWING {
            let before = self.books().fed;
            let feeder = self.feed();
            self.house.begin_mailward();
            self.house.postfix.flush();
            let at = self.live(3_000);
            let told = feeder.stop();
            let stored = self.books().fed - before;
            let old = told.iter().filter(|(when, _)| *when + UNWRITTEN <= at).count() as u64;
            let all = told.iter().filter(|(when, _)| *when <= at).count() as u64;
            assert!(
                (old..=told.len() as u64).contains(&stored),
                "{stored} stored of {all} told, {old} of them in time"
            );
            self.lost += told.len() as u64 - stored;
            self.remember(&told);
            *self.kills.entry(Point::Flowing).or_default() += 1;
        }
        // The last sessions of the day, of each domain one. They are written before the day ends.
        self.house.begin_mailward();
        self.house.postfix.flush();
        let before = self.books().fed;
        let socket = self.house.postfix.collector();
        let told: Vec<_> = self.domains.iter().map(|domain| (Instant::now(), domain.clone())).collect();
        for (_, domain) in &told {
            assert!(feeder::tell(socket.as_ref(), domain, false), "{domain}");
        }
        wait::until("the last sessions of the day are written", 20, || {
            self.books().fed >= before + told.len() as u64
        });
        self.remember(&told);
    }

    /// The clock is moved over midnight. Short lives until every report of the day is sent.
    fn end_of_day(&mut self) {
        self.kill();
        self.log_end = self.house.postfix.log().len();
        let midnight = hour(self.day.tomorrow().unwrap(), 0);
        let mut before = self.books();
        assert!(before.unmade >= DOMAINS, "{before:?}");
        for life in 0_u32.. {
            assert!(life < 200, "the day does not come to its end: {before:?}");
            // What could not be sent at once is tried again after minutes.
            let minutes = 6 + 2 * i64::from(life);
            self.house.clock.as_ref().unwrap().show(midnight + SignedDuration::from_mins(minutes));
            self.house.begin_mailward();
            // Reports are made in the first moments of a life; longer ones follow, or a slow machine would make
            // none.
            self.live(if before.unmade > 0 { 60 * u64::from(life + 1) } else { 400 });
            let after = self.books();
            let point = match &after {
                Books { unmade: 1.., .. } => Point::Making,
                Books { unsent: 1.., .. } => Point::Sending,
                _ => Point::Idle,
            };
            println!("{} killed while {point:?}: {after:?}", self.day);
            *self.kills.entry(point).or_default() += 1;
            before = after;
            if point == Point::Idle {
                return;
            }
        }
    }

    /// No more kills: everything that still waits arrives.
    fn settle(&mut self, receiver: &Receiver) {
        self.house.start_mailward();
        let reports = books::reports(&self.house.world.directory).len();
        // Mail that was held up while nobody answered Postfix.
        self.house.postfix.flush();
        let held_up = || self.house.postfix.waiting().iter().any(|to| MAIL.ends_with(to.as_str()));
        wait::until("no report waits at Postfix", 60, || !held_up());
        wait::until("every report has arrived", 60, || receiver.rows().len() >= reports);
        println!(
            "kills: {:?}; {} of {} sessions lost",
            self.kills,
            self.lost,
            self.fed.values().sum::<u64>()
        );
    }
}
