//! The reports that we send, in words: for their page, the page of the sending side, and the first line of
//! both.

use mailward_core::tlsrpt::outgoing::TargetState;
use mailward_store::outgoing::{OutgoingCounts, OutgoingDay, OutgoingState};

use crate::failure::Failure;
use crate::state::State;
use crate::words::{self, Markup};
use crate::{App, state};

/// All outgoing reports at one glance.
pub(crate) struct Outlook {
    /// The newest day first.
    pub(crate) days: Vec<OutgoingDay>,
    pub(crate) state: State,
    pub(crate) headline: String,
    pub(crate) explanation: String,
}

/// Reads it.
pub(crate) async fn outlook(app: &App) -> Result<Outlook, Failure> {
    let days = app.store.outgoing_days().await?;
    let (state, headline, explanation) = in_words(&days, app.reporter.is_some());
    Ok(Outlook { days, state, headline, explanation })
}

impl Outlook {
    /// Of one day, or of all that are kept.
    pub(crate) fn counts(&self, day: Option<jiff::civil::Date>) -> OutgoingCounts {
        let wanted = self.days.iter().filter(|one| day.is_none_or(|day| day == one.day));
        wanted.fold(OutgoingCounts::default(), |sum, one| sum.with(&one.counts))
    }
}

/// A state as shape and word. What was refused is the other side's to mend, and no mail depends on it.
pub(crate) fn badge(state: OutgoingState) -> Markup {
    match state {
        OutgoingState::Of(TargetState::Sent) => State::Holds.with_word("sent"),
        OutgoingState::Of(TargetState::Due) => state::plain("due"),
        OutgoingState::Of(TargetState::Waiting) => State::Look.with_word("waiting"),
        OutgoingState::Of(TargetState::Refused) => State::Broken.with_word("refused"),
        OutgoingState::Of(TargetState::GivenUp) => State::Broken.with_word("given up"),
        OutgoingState::Of(TargetState::Suppressed) => state::plain("suppressed"),
        OutgoingState::NoReport => state::plain("no report"),
    }
}

/// State, headline, and what it means.
fn in_words(days: &[OutgoingDay], reports: bool) -> (State, String, String) {
    let Some(newest) = days.first() else {
        return if reports {
            let more = "Some minutes after the end of a UTC day one is made for each domain to which mail was sent and \
                        which asks for reports. It leaves within hours.";
            (State::Unknown, "No report to others was made yet.".to_owned(), more.to_owned())
        } else {
            let more = "Reports tell other domains how TLS to their mail servers fared. To switch them on: [collector] and \
                        [reporter] in the configuration.";
            (State::Unknown, "Nobody is told how mail to them fared.".to_owned(), more.to_owned())
        };
    };
    let OutgoingDay { day, counts } = newest;
    let made = counts.all().saturating_sub(counts.none);
    let under_way = counts.due.saturating_add(counts.waiting);
    let failed = counts.refused.saturating_add(counts.given_up);
    let headline = if made == 0 {
        format!(
            "No report was made about {day}: of {}, none wanted one.",
            words::counted(counts.none, "domain")
        )
    } else if counts.sent == made {
        match made {
            1 => format!("The report about {day} was accepted."),
            _ => format!("All {} about {day} were accepted.", words::counted(made, "report")),
        }
    } else {
        let parts = [
            (counts.sent, "accepted"),
            (under_way, "on the way"),
            (failed, "not accepted"),
            (counts.suppressed, "suppressed"),
        ];
        let parts: Vec<String> = parts
            .into_iter()
            .filter(|(reports, _)| *reports > 0)
            .map(|(reports, word)| format!("{} {word}", words::count(reports)))
            .collect();
        format!("{} about {day}: {}.", words::counted(made, "report"), parts.join(", "))
    };
    let state = if failed > 0 { State::Look } else { State::Holds };
    let explanation = match (failed, reports) {
        (1.., _) => {
            "Who does not accept a report does not learn what our servers saw; mail to them goes on as before."
        }
        (0, false) if under_way > 0 => {
            "No reporter runs in this process: what is on the way leaves where one with the same database does."
        }
        _ => "What other domains are told of TLS to their mail servers. Mail does not depend on it.",
    };
    (state, headline, explanation.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headline_says_whether_reports_arrive() {
        let day = |counts| vec![OutgoingDay { day: "2026-11-23".parse().unwrap(), counts }];
        let of = |sent, due, refused, suppressed, none| {
            day(OutgoingCounts { sent, due, refused, suppressed, none, ..Default::default() })
        };
        for (days, reports, state, said, more) in [
            (vec![], false, State::Unknown, "Nobody is told", "[reporter]"),
            (vec![], true, State::Unknown, "No report to others was made yet", "within hours"),
            (of(0, 0, 0, 0, 3), true, State::Holds, "of 3 domains, none wanted one", "does not depend"),
            (of(1, 0, 0, 0, 3), true, State::Holds, "The report about 2026-11-23 was accepted", "does not"),
            (of(9, 0, 0, 0, 0), true, State::Holds, "All 9 reports about 2026-11-23 were", "does not"),
            (
                of(9, 2, 0, 1, 0),
                true,
                State::Holds,
                "12 reports about 2026-11-23: 9 accepted, 2 on the",
                "does",
            ),
            (
                of(0, 1, 0, 0, 0),
                false,
                State::Holds,
                "1 report about 2026-11-23: 1 on the way",
                "No reporter runs",
            ),
            (of(9, 2, 4, 0, 0), true, State::Look, "4 not accepted", "does not learn"),
        ] {
            let (told, headline, explanation) = in_words(&days, reports);
            assert_eq!(told, state, "{headline}");
            assert!(headline.contains(said), "{headline:?} should say {said:?}");
            assert!(explanation.contains(more), "{explanation:?} should say {more:?}");
        }
    }
}
