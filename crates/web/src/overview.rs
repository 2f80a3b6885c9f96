//! All domains held at one glance: state of each, and one sentence for all.
//!
//! Read by the first page, the list of domains and `/api/status`, so that they never disagree.

use mailward_store::sessions::DomainLine;
use serde::Serialize;

use crate::failure::Failure;
use crate::state::{self, State};
use crate::{App, words};

/// One domain.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line {
    #[serde(flatten)]
    pub(crate) line: DomainLine,
    #[serde(serialize_with = "as_word")]
    pub(crate) state: State,
    pub(crate) reason: &'static str,
}

fn as_word<S: serde::Serializer>(state: &State, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(state.word())
}

impl Line {
    /// What is wrong or known, in one sentence.
    pub(crate) fn sentence(&self) -> String {
        let consequence = self.line.summary.as_ref().map_or("", |s| s.consequence.as_str());
        match self.state {
            State::Broken if !consequence.is_empty() => consequence.to_owned(),
            State::Look if self.line.day.1 > 0 => {
                format!("{} failed yesterday, reporters say", words::counted(self.line.day.1, "session"))
            }
            _ => self.reason.to_owned(),
        }
    }
}

/// All domains, those that need attention first.
#[derive(Debug, Clone)]
pub(crate) struct Overview {
    pub(crate) lines: Vec<Line>,
    pub(crate) headline: String,
    pub(crate) explanation: String,
}

/// Reads the overview.
pub(crate) async fn read(app: &App) -> Result<Overview, Failure> {
    let now = app.now();
    let mut lines: Vec<Line> = app
        .store
        .domain_lines(words::day(now))
        .await?
        .into_iter()
        .map(|line| {
            let (state, reason) = state::of_line(&line, &app.gate, now);
            Line { line, state, reason }
        })
        .collect();
    lines.sort_by(|a, b| {
        a.state
            .cmp(&b.state)
            .then_with(|| b.line.open.cmp(&a.line.open))
            .then_with(|| b.line.day.1.cmp(&a.line.day.1))
            .then_with(|| a.line.domain.cmp(&b.line.domain))
    });
    let (headline, explanation) = headline(&lines);
    Ok(Overview { lines, headline, explanation })
}

impl Overview {
    /// How many domains are in a state.
    pub(crate) fn count(&self, state: State) -> usize {
        self.lines.iter().filter(|line| line.state == state).count()
    }
}

/// The first line of the first page, and the sentence below it.
fn headline(lines: &[Line]) -> (String, String) {
    let count = |state| lines.iter().filter(|line| line.state == state).count();
    let total = lines.len();
    let (broken, look, unknown) = (count(State::Broken), count(State::Look), count(State::Unknown));
    let all = if total == 1 { "the one domain".to_owned() } else { format!("{total} domains") };
    let silent = lines.iter().filter(|line| line.line.reporters == 0).count();
    let heard = match silent {
        0 => "Reporters were heard for every domain in the last 7 days.".to_owned(),
        n if n == total => "No reporter was heard in the last 7 days; silence is not success.".to_owned(),
        n => format!("For {n} of {total} no reporter was heard in the last 7 days; silence is not success."),
    };
    match lines.first() {
        None => ("mailward watches no domain yet.".into(), String::new()),
        Some(first) if broken > 0 => {
            let domain = first.line.domain.to_unicode();
            let sentence = first.sentence();
            let named = sentence.contains(first.line.domain.as_str());
            let headline = if named { sentence } else { format!("{domain}: {sentence}") };
            let explanation = match broken {
                1 => format!("{} of {all} broken, {look} to look at, {unknown} not known.", words::count(1)),
                n => format!("{n} of {all} are broken, worst first. {look} to look at, {unknown} not known."),
            };
            (headline, explanation)
        }
        Some(_) if unknown == total => (
            "Nothing is known yet: no fresh look from outside was made.".into(),
            "The monitor looks at every domain once an hour. Without [monitor] in the configuration, or with a \
             stopped daemon, nothing can be said."
                .into(),
        ),
        Some(first) if look > 0 => (
            format!(
                "Nothing is broken as far as we can see; {} {} a look.",
                words::counted(look as u64, "domain"),
                if look == 1 { "wants" } else { "want" }
            ),
            format!("{}: {}. {heard}", first.line.domain.to_unicode(), first.sentence()),
        ),
        Some(_) if unknown > 0 => (
            format!(
                "Nothing is broken as far as we can see, but {} could not be judged.",
                words::counted(unknown as u64, "domain")
            ),
            heard,
        ),
        Some(_) => ("Nothing is broken as far as we can see.".into(), format!("{heard} {all} watched.")),
    }
}

#[cfg(test)]
mod tests {
    use mailward_core::PolicyDomain;
    use mailward_core::Severity;
    use mailward_core::audit::{DaneState, ReportingState, StsState, Summary};

    use super::*;

    fn line(name: &str, state: State, failed: u64, consequence: &str) -> Line {
        let summary = Summary {
            mta_sts: StsState::Enforce,
            dane: DaneState::Absent,
            tls_rpt: ReportingState::Present,
            worst: Some(Severity::Error),
            consequence: consequence.into(),
        };
        let line = DomainLine {
            domain: PolicyDomain::parse(name).unwrap(),
            day: (10, failed),
            week: (70, failed),
            month: (280, failed),
            failed_by_day: vec![0; 28],
            reporters: 2,
            open: (0, 0),
            summary: Some(summary),
            observed_at: None,
        };
        Line { line, state, reason: "a reason" }
    }

    #[test]
    fn the_headline_says_who_loses_mail() {
        let broken = line("a.example", State::Broken, 0, "Mail that picks mx2 is deferred.");
        for (lines, expected) in [
            (vec![], "watches no domain yet"),
            (vec![broken.clone()], "a.example: Mail that picks mx2 is deferred."),
            (vec![line("b.example", State::Look, 3, "")], "1 domain wants a look"),
            (vec![line("b.example", State::Unknown, 0, "")], "Nothing is known yet"),
            (
                vec![line("b.example", State::Unknown, 0, ""), line("c.example", State::Holds, 0, "")],
                "1 domain could not be judged",
            ),
            (vec![line("c.example", State::Holds, 0, "")], "Nothing is broken as far as we can see."),
        ] {
            let (said, _) = headline(&lines);
            assert!(said.contains(expected), "{said:?} should say {expected:?}");
        }
        let (_, more) = headline(&[line("b.example", State::Look, 3, "")]);
        assert!(more.starts_with("b.example: 3 sessions failed yesterday"), "{more}");
    }
}
