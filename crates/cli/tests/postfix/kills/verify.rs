//! What must hold in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::civil::Date;
use serde_json::Value;

use super::{MAILED, Run, books};
use crate::counts::{Counts, of_report, put_down_to};
use crate::receiver::Receiver;

impl Run {
    pub(super) fn verify(&self, receiver: &Receiver) {
        let made = books::reports(&self.house.world.directory);
        // Of each day, one for each domain that wants it, with what was told of it and no more.
        let (mut reported, mut told) = (0, 0);
        for ((day, domain), number) in &self.fed {
            let wanted = self.domains.iter().position(|known| known == domain).unwrap() % 3 != 2;
            let report = made.get(&(*day, domain.clone()));
            assert_eq!(report.is_some(), wanted, "{domain} on {day}");
            if let Some((id, report)) = report {
                let counted = total(&of_report(report));
                assert!(counted <= *number, "{id}: {counted} sessions, of {number} told");
                reported += counted;
                told += number;
            }
        }
        assert!(
            told - reported <= self.lost,
            "{} sessions are missing, {} may be",
            told - reported,
            self.lost
        );
        self.verify_real(&made);
        // The receiver has the same, each once.
        let received = receiver.reports();
        let ids: BTreeSet<&String> = made.values().map(|(id, _)| id).collect();
        assert_eq!(received.keys().collect::<BTreeSet<_>>(), ids);
        for ((_, domain), (id, report)) in &made {
            assert_eq!(of_report(&received[id]), put_down_to(domain, &of_report(report)), "{id}");
        }
        // What came twice came as the same report: mails carry its id as their own.
        let mails: Vec<String> = receiver.mails().iter().map(|mail| message_id(mail)).collect();
        let known: BTreeSet<&String> = mails.iter().collect();
        assert!(known.iter().all(|id| ids.contains(id)));
        println!(
            "{} reports; {} mails, {} of them repeated",
            made.len(),
            mails.len(),
            mails.len() - known.len()
        );
    }

    /// Sessions of the real Postfix: none is reported that its log does not have. How many a kill cost cannot
    /// be told from a log with whole seconds; the feeder knows.
    fn verify_real(&self, made: &BTreeMap<(Date, String), (String, Value)>) {
        let log = &self.house.postfix.log()[..self.log_end];
        let told = |line: &&str| {
            line.contains("TLSRPT: status=")
                && MAILED.iter().any(|domain| line.contains(&format!("domain={domain},")))
        };
        let logged = log.lines().filter(told).count() as u64;
        let untold = log.lines().filter(|line| line.contains("Could not report TLS")).count() as u64;
        let reals = made.iter().filter(|((_, domain), _)| MAILED.contains(&domain.as_str()));
        let reported = reals.map(|(_, (_, report))| total(&of_report(report))).sum::<u64>();
        println!("Postfix: {logged} sessions, {untold} of them not told, {reported} reported");
        assert!(reported > 0 && reported <= logged - untold);
    }
}

fn total(counts: &Counts) -> u64 {
    counts.values().map(|sessions| sessions.successful + sessions.failed).sum()
}

fn message_id(mail: &Path) -> String {
    let text = String::from_utf8(std::fs::read(mail).unwrap()).unwrap();
    text.split("Message-ID: <").nth(1).unwrap().split('>').next().unwrap().to_owned()
}
