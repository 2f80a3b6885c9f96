//! G3 to G6: what others report, each source believed as far as it deserves.
//!
//! Anybody can post "999,999 failed sessions" or "all is well". Only sources with [`Trust::is_evidence`]
//! count, for good and for bad; what weaker ones tell becomes a hint and starts a probe of ours.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use super::answer::Answer;
use super::probes::{current_hosts, green_throughout};
use super::window::{days_after, midnight};
use super::{Evidence, Gate, ReportedDay, ReportedFailure, Trust};
use crate::MxHost;
use crate::finding::phrase::{count, counted, foreign, list, moment};
use crate::tlsrpt::ResultType;

/// What the reports of the window say, sorted by what it means.
pub(super) struct Reports<'a> {
    window: (Date, Date),
    reporters: BTreeMap<&'a str, Trust>,
    sessions: u64,
    ours: Vec<&'a ReportedFailure>,
    unexplained: Vec<&'a ReportedFailure>,
    /// Failed sessions for which a reporter gave no cause: day, reporter, sessions.
    without_cause: Vec<(Date, &'a str, u64)>,
    pub(super) would_defer: BTreeMap<String, u64>,
    pub(super) hints: Vec<String>,
}

/// Where the fault of a result type lies.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// At the mail server.
    MailServer,
    /// At the policy, its host or its record. Senders without a usable policy deliver; they do not defer.
    Policy,
    /// A rule of the sender, or DNSSEC: a step of MTA-STS changes nothing there.
    Elsewhere,
    /// A type that nobody registered.
    Unknown,
}

fn place(result_type: &ResultType) -> Place {
    use ResultType as T;
    match result_type {
        T::StarttlsNotSupported
        | T::CertificateHostMismatch
        | T::CertificateExpired
        | T::CertificateNotTrusted
        | T::ValidationFailure
        | T::TlsaInvalid => Place::MailServer,
        T::StsPolicyFetchError | T::StsPolicyInvalid | T::StsWebpkiInvalid => Place::Policy,
        T::DaneRequired | T::DnssecInvalid => Place::Elsewhere,
        T::Other(_) => Place::Unknown,
    }
}

/// Whether an enforcing sender keeps mail back for it (RFC 8461 §5): faults at the mail server. A TLSA
/// record that fails defers the mail of DANE senders already, whatever the policy says.
fn defers(result_type: &ResultType) -> bool {
    *result_type != ResultType::TlsaInvalid
        && matches!(place(result_type), Place::MailServer | Place::Unknown)
}

impl<'a> Reports<'a> {
    pub(super) fn read(evidence: &'a Evidence, gate: &Gate, window: (Date, Date)) -> Self {
        let inside = |day: Date| day >= window.0 && day <= window.1;
        let days: Vec<&ReportedDay> =
            evidence.days.iter().filter(|d| inside(d.day) && d.trust.is_evidence()).collect();
        let failures: Vec<&ReportedFailure> = evidence
            .failures
            .iter()
            .filter(|f| inside(f.day) && f.trust.is_evidence() && f.sessions > 0)
            .collect();
        let mut reports = Self {
            window,
            reporters: BTreeMap::new(),
            sessions: 0,
            ours: Vec::new(),
            unexplained: Vec::new(),
            without_cause: without_cause(&days, &failures),
            would_defer: BTreeMap::new(),
            hints: weak_sources(evidence, inside),
        };
        for day in &days {
            let sessions = day.successful.saturating_add(day.failed);
            reports.sessions = reports.sessions.saturating_add(sessions);
            if sessions > 0 {
                let trust = reports.reporters.entry(&day.reporter).or_insert(day.trust);
                *trust = (*trust).max(day.trust);
            }
        }
        let set = all_hosts(evidence);
        for &failure in &failures {
            if defers(&failure.result_type) {
                let mx = failure.mx.as_deref().map(normal).unwrap_or_default();
                let sessions = reports.would_defer.entry(mx).or_default();
                *sessions = sessions.saturating_add(failure.sessions);
            }
            reports.sort(failure, &failures, &set, evidence, gate);
        }
        for (_, _, sessions) in &reports.without_cause {
            let unnamed = reports.would_defer.entry(String::new()).or_default();
            *unnamed = unnamed.saturating_add(*sessions);
        }
        reports
    }

    fn sort(
        &mut self,
        failure: &'a ReportedFailure,
        all: &[&ReportedFailure],
        set: &BTreeSet<String>,
        evidence: &Evidence,
        gate: &Gate,
    ) {
        if let Some(reason) = excuse(evidence, failure) {
            return self.hint(format!("{} Marked as not ours: {}", sentence(failure), foreign(reason)));
        }
        match place(&failure.result_type) {
            Place::Elsewhere => self.hint(format!(
                "{} Enforcing MTA-STS changes nothing there; see mailward explain {}",
                sentence(failure),
                failure.result_type
            )),
            Place::Unknown => self.unexplained.push(failure),
            Place::Policy => self.ours.push(failure),
            Place::MailServer => {
                let mx = failure.mx.as_deref().map(normal);
                let foreign_mx = mx.as_ref().is_some_and(|mx| !set.is_empty() && !set.contains(mx));
                if foreign_mx || contradicted(failure, all, evidence, gate) {
                    self.unexplained.push(failure);
                } else {
                    self.ours.push(failure);
                }
            }
        }
    }

    fn hint(&mut self, text: String) {
        // A flood of reports must not become a flood of hints.
        if self.hints.len() < 20 && !self.hints.contains(&text) {
            self.hints.push(text);
        }
    }

    fn days(&self) -> String {
        format!("{} to {}", self.window.0, self.window.1)
    }

    /// G3.
    pub(super) fn reporters(&self, evidence: &Evidence, gate: &Gate) -> Answer {
        let heard = self.reporters.len();
        let names = list(
            self.reporters.iter().map(|(name, trust)| match trust {
                Trust::Trusted => format!("{} (trusted by you)", foreign(name)),
                _ => foreign(name),
            }),
            5,
        );
        let by = if names.is_empty() { String::new() } else { format!(": {names}") };
        let asked = format!(
            "{} with a verified or trusted origin reported for {}",
            counted(heard as u64, "sender"),
            self.days()
        );
        if heard >= gate.reporters {
            return Answer::holds(format!("{asked}{by}; {} asked for.", are(gate.reporters as u64)));
        }
        Answer::unknown(
            format!(
                "{asked}{by}; {} asked for, so {} missing.",
                are(gate.reporters as u64),
                are((gate.reporters - heard) as u64)
            ),
            [
                "See that the TLS-RPT record is published and its address takes reports; large senders report a day or two later.".to_owned(),
                format!("A small domain may never hear from enough senders; then an operator can pass it by name: mailward rollout {} pass --item 3 --reason TEXT.", evidence.domain),
            ],
        )
    }

    /// G4.
    pub(super) fn sessions(&self, evidence: &Evidence, gate: &Gate) -> Answer {
        let heard = format!("{} reported for {}", counted(self.sessions, "session"), self.days());
        if self.sessions >= gate.sessions {
            return Answer::holds(format!("{heard}; {} asked for.", are(gate.sessions)));
        }
        Answer::unknown(
            format!(
                "{heard}; {} asked for, so {} missing.",
                are(gate.sessions),
                are(gate.sessions - self.sessions)
            ),
            [
                "Wait for more reports; the window moves on by one day each day.".to_owned(),
                format!(
                    "A small domain may never see so many; then an operator can pass it by name: mailward rollout {} pass --item 4 --reason TEXT.",
                    evidence.domain
                ),
            ],
        )
    }

    /// G5.
    pub(super) fn ours(&self, evidence: &Evidence, gate: &Gate) -> Answer {
        let Some(last) = self.ours.iter().map(|failure| failure.day).max() else {
            let by = match self.reporters.len() {
                0 => "no sender with a verified or trusted origin has reported".to_owned(),
                n => format!(
                    "by what {} told of {}",
                    counted(n as u64, "sender"),
                    counted(self.sessions, "session")
                ),
            };
            return Answer::holds(format!("No failure of ours from {}, {by}.", self.days()));
        };
        let open = midnight(days_after(last, gate.lag_days.max(0) + gate.window_days.max(1)));
        let mut text = list(groups(&self.ours), 4);
        text.push('.');
        if let Some(deferred) = self.deferred(&self.ours) {
            text.push_str(&format!(" {deferred}"));
        }
        let mut next = vec![format!("Mend what fails now: mailward check {}", evidence.domain)];
        if let Some(failure) = self.ours.first() {
            next.push(format!("What the type means: mailward explain {}", failure.result_type));
        }
        next.push(format!("The first window without these failures is complete on {}.", moment(open)));
        next.push(format!(
            "If a failure is not yours, mark it so; it stays visible: mailward rollout {} excuse --type TYPE --reason TEXT.",
            evidence.domain
        ));
        Answer::obstacle(text, next).not_before(Some(open))
    }

    /// G6.
    pub(super) fn unexplained(&self, evidence: &Evidence, gate: &Gate) -> Answer {
        let last_day =
            self.unexplained.iter().map(|f| f.day).chain(self.without_cause.iter().map(|w| w.0)).max();
        let Some(last) = last_day else {
            return Answer::holds(format!(
                "Every failure reported for {} has a cause that is known.",
                self.days()
            ));
        };
        let open = midnight(days_after(last, gate.lag_days.max(0) + gate.window_days.max(1)));
        let mut texts = groups(&self.unexplained);
        for (day, reporter, sessions) in &self.without_cause {
            texts.push(format!(
                "{}: {} without a cause, told by {}",
                day,
                counted(*sessions, "failed session"),
                foreign(reporter)
            ));
        }
        Answer::unknown(
            format!(
                "{}. One sender alone tells of it, or it names no cause or no mail server of yours, while our probes were clean.",
                list(texts, 4)
            ),
            [
                format!("Read the reports of those days: mailward report list {}", evidence.domain),
                format!("If it is the sender's own trouble, mark it as not yours with your reason. Otherwise the window is clean on {}.", moment(open)),
            ],
        )
        .not_before(Some(open))
    }

    /// What enforcing senders would have kept back.
    fn deferred(&self, failures: &[&ReportedFailure]) -> Option<String> {
        let mut by_mx: BTreeMap<String, u64> = BTreeMap::new();
        for failure in failures.iter().filter(|failure| defers(&failure.result_type)) {
            let sessions = by_mx.entry(failure.mx.as_deref().map(normal).unwrap_or_default()).or_default();
            *sessions = sessions.saturating_add(failure.sessions);
        }
        let places = by_mx.iter().map(|(mx, sessions)| {
            let place =
                if mx.is_empty() { "a mail server that was not named".to_owned() } else { foreign(mx) };
            format!("{} would have been deferred at {place}", counted(*sessions, "session"))
        });
        let text = list(places, 5);
        (!text.is_empty()).then(|| format!("Under enforce {text}."))
    }
}

fn are(n: u64) -> String {
    if n == 1 { "1 is".to_owned() } else { format!("{} are", count(n)) }
}

/// One reporter alone, while our probe of that MX was green all day.
fn contradicted(
    failure: &ReportedFailure,
    all: &[&ReportedFailure],
    evidence: &Evidence,
    gate: &Gate,
) -> bool {
    let same_place = |other: &ReportedFailure| match (&other.mx, &failure.mx) {
        (Some(a), Some(b)) => normal(a) == normal(b),
        _ => true,
    };
    let alone = !all.iter().any(|other| {
        other.reporter != failure.reporter && other.result_type == failure.result_type && same_place(other)
    });
    let hosts: BTreeSet<String> = match &failure.mx {
        Some(mx) => [normal(mx)].into(),
        None => current_hosts(evidence),
    };
    let (from, to) = (midnight(failure.day), midnight(days_after(failure.day, 1)));
    alone && green_throughout(evidence, gate, &hosts, from, to)
}

/// Failed sessions of a day beyond those that its details explain.
fn without_cause<'a>(days: &[&'a ReportedDay], failures: &[&ReportedFailure]) -> Vec<(Date, &'a str, u64)> {
    let mut told: BTreeMap<(Date, &str), (u64, u64)> = BTreeMap::new();
    for day in days {
        let sums = told.entry((day.day, &day.reporter)).or_default();
        sums.0 = sums.0.saturating_add(day.failed);
    }
    let mut explained: BTreeMap<(Date, &str), u64> = BTreeMap::new();
    for failure in failures {
        let sum = explained.entry((failure.day, &failure.reporter)).or_default();
        *sum = sum.saturating_add(failure.sessions);
    }
    told.into_iter()
        .map(|((day, reporter), (failed, _))| {
            (day, reporter, failed.saturating_sub(explained.get(&(day, reporter)).copied().unwrap_or(0)))
        })
        .filter(|(_, _, rest)| *rest > 0)
        .collect()
}

/// The MX hosts of the last look and of every probe round: a failure at one of them can be ours.
fn all_hosts(evidence: &Evidence) -> BTreeSet<String> {
    let mut hosts = current_hosts(evidence);
    hosts.extend(evidence.probes.iter().flat_map(|round| round.mx.iter().map(ToString::to_string)));
    hosts
}

fn excuse<'a>(evidence: &'a Evidence, failure: &ReportedFailure) -> Option<&'a str> {
    evidence.excused.iter().find_map(|(result_type, mx, reason)| {
        let same_mx = match (mx, &failure.mx) {
            (None, _) => true,
            (Some(excused), Some(named)) => normal(excused) == normal(named),
            (Some(_), None) => false,
        };
        (*result_type == failure.result_type && same_mx).then_some(reason.as_str())
    })
}

/// A reported host name as we write names; what is none stays as written, lower case.
fn normal(mx: &str) -> String {
    MxHost::parse(mx).map_or_else(|_| mx.trim().to_lowercase(), |host| host.to_string())
}

/// `2026-03-13: 3 sessions certificate-host-mismatch at mx2.example.com, told by google.com`.
fn groups(failures: &[&ReportedFailure]) -> Vec<String> {
    let mut sums: BTreeMap<(Date, &ResultType, String), (u64, BTreeSet<&str>)> = BTreeMap::new();
    for failure in failures {
        let mx = failure.mx.as_deref().map(normal).unwrap_or_default();
        let sum = sums.entry((failure.day, &failure.result_type, mx)).or_default();
        sum.0 = sum.0.saturating_add(failure.sessions);
        sum.1.insert(&failure.reporter);
    }
    sums.into_iter()
        .map(|((day, result_type, mx), (sessions, reporters))| {
            let place = if mx.is_empty() { String::new() } else { format!(" at {}", foreign(&mx)) };
            format!(
                "{day}: {} {}{place}, told by {}",
                counted(sessions, "session"),
                foreign(result_type.as_str()),
                list(reporters.into_iter().map(foreign), 3)
            )
        })
        .collect()
}

fn sentence(failure: &ReportedFailure) -> String {
    groups(&[failure]).pop().unwrap_or_default() + "."
}

/// What sources that are no evidence tell: one line for each kind of source.
fn weak_sources(evidence: &Evidence, inside: impl Fn(Date) -> bool) -> Vec<String> {
    let mut hints = Vec::new();
    for (trust, who, why) in [
        (
            Trust::Unauthenticated,
            "HTTPS reports without proof of who sent them",
            "Trust a submitter by name if you know who it is.",
        ),
        (Trust::Unverified, "Mail reports without a valid signature of the reporter", "They may be forged."),
    ] {
        let days: Vec<&ReportedDay> =
            evidence.days.iter().filter(|d| d.trust == trust && inside(d.day)).collect();
        let failures: Vec<&ReportedFailure> =
            evidence.failures.iter().filter(|f| f.trust == trust && inside(f.day)).collect();
        if days.is_empty() && failures.is_empty() {
            continue;
        }
        let sum = |f: fn(&ReportedDay) -> u64| days.iter().map(|d| f(d)).fold(0, u64::saturating_add);
        let detailed = failures.iter().map(|f| f.sessions).fold(0, u64::saturating_add);
        let (passed, failed) = (sum(|d| d.successful), sum(|d| d.failed).max(detailed));
        let submitters: BTreeSet<&str> = days
            .iter()
            .map(|d| d.reporter.as_str())
            .chain(failures.iter().map(|f| f.reporter.as_str()))
            .collect();
        let types: BTreeSet<&str> = failures.iter().map(|f| f.result_type.as_str()).collect();
        let of = if types.is_empty() {
            String::new()
        } else {
            format!(" ({})", list(types.into_iter().map(foreign), 3))
        };
        hints.push(format!(
            "{who} tell of {} that passed and {} failed{of}, from {}. They change nothing in this verdict; what our own \
             probes see counts. {why}",
            counted(passed, "session"),
            count(failed),
            list(submitters.into_iter().map(foreign), 3),
        ));
    }
    hints
}
