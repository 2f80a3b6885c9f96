//! G2: our own probes of every address of every MX, without a fault and without a gap.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::answer::Answer;
use super::{Evidence, Gate, ProbeRound};
use crate::finding::phrase::{counted, foreign, list, moment, relative, span};

/// The MX hosts that matter now: of the last look, else of the last round.
pub(super) fn current_hosts(evidence: &Evidence) -> BTreeSet<String> {
    let looked: BTreeSet<String> = evidence
        .latest
        .iter()
        .filter(|facts| facts.mx.is_ok())
        .flat_map(|facts| facts.hosts.iter().map(|mx| mx.host.to_string()))
        .collect();
    if !looked.is_empty() {
        return looked;
    }
    evidence.probes.last().map(|round| round.mx.iter().map(ToString::to_string).collect()).unwrap_or_default()
}

/// The host in a key of [`ProbeRound::faults`].
pub(super) fn host_of(key: &str) -> &str {
    key.split_whitespace().next().unwrap_or(key)
}

/// Whether the round really tested every one of these hosts. A round that tested nothing proves nothing.
fn covers<'a>(round: &ProbeRound, hosts: impl IntoIterator<Item = &'a String>) -> bool {
    round.complete
        && !round.faults.is_empty()
        && hosts.into_iter().all(|host| round.faults.keys().any(|key| host_of(key) == host))
}

/// Why a stretch of time is not covered.
struct Gap {
    from: Timestamp,
    to: Timestamp,
}

/// The last gap longer than `limit` between `from` and `to`; `times` lie between the two, in order.
fn last_gap(times: &[Timestamp], from: Timestamp, to: Timestamp, limit: SignedDuration) -> Option<Gap> {
    let mut last = None;
    let mut before = from;
    for &at in times.iter().chain([&to]) {
        if at.duration_since(before) > limit {
            last = Some(Gap { from: before, to: at });
        }
        before = before.max(at);
    }
    last
}

/// Whether these hosts passed every probe of a stretch, with no gap over the limit.
pub(super) fn green_throughout(
    evidence: &Evidence,
    gate: &Gate,
    hosts: &BTreeSet<String>,
    from: Timestamp,
    to: Timestamp,
) -> bool {
    let within = |round: &&ProbeRound| round.at >= from && round.at <= to;
    let faultless = evidence.probes.iter().filter(within).all(|round| {
        round.faults.iter().all(|(key, fault)| fault.is_none() || !hosts.contains(host_of(key)))
    });
    let times: Vec<Timestamp> =
        evidence.probes.iter().filter(within).filter(|r| covers(r, hosts)).map(|r| r.at).collect();
    !hosts.is_empty() && faultless && last_gap(&times, from, to, limit(gate)).is_none()
}

fn limit(gate: &Gate) -> SignedDuration {
    SignedDuration::from_hours(i64::from(gate.probe_gap_hours))
}

/// G2.
pub(super) fn green(evidence: &Evidence, gate: &Gate, now: Timestamp) -> Answer {
    let hosts = current_hosts(evidence);
    let needed = SignedDuration::from_hours(i64::from(gate.probe_days) * 24);
    let from = now.saturating_sub(needed).unwrap_or(Timestamp::MIN);
    let rounds: Vec<&ProbeRound> =
        evidence.probes.iter().filter(|round| round.at <= now && round.at >= from).collect();
    let Some(last) = rounds.last() else {
        return Answer::unknown(
            format!("No probe of ours in the last {} days.", gate.probe_days),
            [
                "Run the monitor: put [monitor] into the configuration and start mailward serve.".to_owned(),
                format!("See how it is now; nothing of that is kept: mailward check {}", evidence.domain),
            ],
        );
    };
    if let Some(answer) = faults(evidence, gate, &rounds, &hosts, needed, now) {
        return answer;
    }
    let times: Vec<Timestamp> = rounds.iter().filter(|round| covers(round, &hosts)).map(|r| r.at).collect();
    if times.is_empty() && rounds.iter().all(|round| round.faults.is_empty()) {
        return Answer::unknown(
            format!(
                "Port 25 cannot be reached from here: {} since {} tested no mail server (SMTP-016). That says nothing \
                 about the mail servers, and reports alone do not replace the probe.",
                counted(rounds.len() as u64, "round"),
                moment(rounds.first().unwrap_or(last).at),
            ),
            [
                "Ask your network provider to open outgoing port 25, or run the monitor where it is open."
                    .to_owned(),
                format!(
                    "Until then an operator can pass it by name: mailward rollout {} pass --item 2 --reason TEXT.",
                    evidence.domain
                ),
            ],
        );
    }
    if let Some(gap) = last_gap(&times, from, now, limit(gate)) {
        let open = gap.to.saturating_add(needed).unwrap_or(Timestamp::MAX);
        return Answer::unknown(
            format!(
                "No complete probe between {} and {} ({}); at most {} h are allowed. {} in the last {} days tested every \
                 address of {}.",
                moment(gap.from),
                moment(gap.to),
                span(gap.to.duration_since(gap.from)),
                gate.probe_gap_hours,
                counted(times.len() as u64, "round"),
                gate.probe_days,
                list(&hosts, 5),
            ),
            [
                "Keep the monitor running; an interval of 1 h is the default.".to_owned(),
                format!("Without another gap this item holds from {} ({}).", moment(open), relative(open, now)),
            ],
        )
        .not_before(Some(open));
    }
    Answer::holds(format!(
        "{} since {}, the last at {}: every address of {} offered STARTTLS with a trusted certificate that names it.",
        counted(times.len() as u64, "round"),
        moment(times.first().copied().unwrap_or(from)),
        moment(last.at),
        list(&hosts, 5),
    ))
}

/// A fault at a host that is an MX now.
fn faults(
    evidence: &Evidence,
    gate: &Gate,
    rounds: &[&ProbeRound],
    hosts: &BTreeSet<String>,
    needed: SignedDuration,
    now: Timestamp,
) -> Option<Answer> {
    let red = |round: &&&ProbeRound| {
        round
            .faults
            .iter()
            .any(|(key, fault)| fault.is_some() && (hosts.is_empty() || hosts.contains(host_of(key))))
    };
    let bad: Vec<&&ProbeRound> = rounds.iter().filter(red).collect();
    let (first, latest) = (bad.first()?, bad.last()?);
    let places: Vec<String> = latest
        .faults
        .iter()
        .filter(|(key, _)| hosts.is_empty() || hosts.contains(host_of(key)))
        .filter_map(|(key, fault)| Some(format!("{key}: {}", foreign(fault.as_ref()?))))
        .collect();
    let mended = rounds.iter().find(|round| round.at > latest.at);
    let until = match mended {
        Some(round) => format!(
            "the last time at {}; the next round, at {}, was clean",
            moment(latest.at),
            moment(round.at)
        ),
        None => format!("still at {}", moment(latest.at)),
    };
    let open = latest.at.saturating_add(needed).unwrap_or(Timestamp::MAX);
    let mut next = Vec::new();
    if mended.is_none() {
        next.push(format!("Mend it; the exact fix: mailward check {}", evidence.domain));
    }
    next.push(format!(
        "{} days without a fault are asked for: not before {} ({}).",
        gate.probe_days,
        moment(open),
        relative(open, now)
    ));
    let evidence = format!(
        "{} of {} in the last {} days found a fault, from {}, {until}. {}.",
        bad.len(),
        counted(rounds.len() as u64, "round"),
        gate.probe_days,
        moment(first.at),
        list(places, 3),
    );
    Some(Answer::obstacle(evidence, next).not_before(Some(open)))
}
