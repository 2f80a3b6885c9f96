//! A state is a word and a shape before it is a colour.

use askama::filters::Safe;
use jiff::Timestamp;
use mailward_core::audit::{DaneState, ReportingState, StsState, Summary};
use mailward_core::rollout::{Gate, ItemState, Trust, Verdict};
use mailward_core::{Finding, Severity};
use mailward_store::sessions::DomainLine;

use crate::words::Markup;

/// What is shown of anything that can be well or not. Ordered by who needs attention first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum State {
    Broken,
    Look,
    Unknown,
    Holds,
}

impl State {
    /// In the order of attention.
    pub(crate) const ALL: [Self; 4] = [Self::Broken, Self::Look, Self::Unknown, Self::Holds];

    pub(crate) fn shape(self) -> &'static str {
        match self {
            Self::Broken => "■",
            Self::Look => "▲",
            Self::Unknown => "○",
            Self::Holds => "●",
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Look => "look",
            Self::Unknown => "unknown",
            Self::Holds => "holds",
        }
    }

    /// Shape and word, for templates.
    pub(crate) fn badge(self) -> Markup {
        self.with_word(self.word())
    }

    /// The shape with another word of ours.
    pub(crate) fn with_word(self, word: &str) -> Markup {
        let (class, shape) = (self.word(), self.shape());
        Safe(format!("<span class=\"state {class}\"><i aria-hidden=\"true\">{shape}</i> {word}</span>"))
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// A severity as shape and word. What is only worth knowing is neither good nor bad and gets no colour.
pub(crate) fn severity_badge(severity: Severity) -> Markup {
    let word = severity.as_str();
    match severity {
        Severity::Error => State::Broken.with_word(word),
        Severity::Warning => State::Look.with_word(word),
        Severity::Untested => State::Unknown.with_word(word),
        Severity::Info => plain(word),
    }
}

/// One of our words with a shape that is neither good nor bad.
pub(crate) fn plain(word: &str) -> Markup {
    Safe(format!("<span class=\"state info\"><i aria-hidden=\"true\">·</i> {word}</span>"))
}

impl From<ItemState> for State {
    fn from(state: ItemState) -> Self {
        match state {
            ItemState::Obstacle => Self::Broken,
            ItemState::Waived => Self::Look,
            ItemState::Unknown => Self::Unknown,
            ItemState::Holds => Self::Holds,
        }
    }
}

impl From<&Verdict> for State {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Safe => Self::Holds,
            Verdict::NotYet { .. } => Self::Look,
            Verdict::Unknown { .. } => Self::Unknown,
        }
    }
}

impl From<Trust> for State {
    fn from(trust: Trust) -> Self {
        if trust.is_evidence() { Self::Holds } else { Self::Unknown }
    }
}

/// The state of a domain on the first page, from what observation and reports say, with the reason.
/// An observation older than the gap that the gate allows tells nothing about now.
pub(crate) fn of_line(line: &DomainLine, gate: &Gate, now: Timestamp) -> (State, &'static str) {
    let (Some(summary), Some(at)) = (&line.summary, line.observed_at) else {
        return (State::Unknown, "not looked at yet");
    };
    let gap = now.duration_since(at).as_secs();
    if summary.worst == Some(Severity::Error) {
        return (State::Broken, "errors found by our own look");
    }
    if gap > i64::from(gate.probe_gap_hours) * 3_600 {
        return (State::Unknown, "the last look is too old");
    }
    match summary.worst {
        Some(Severity::Warning) => (State::Look, "warnings found by our own look"),
        _ if line.day.1 > 0 => (State::Look, "reporters tell of failed sessions"),
        Some(Severity::Untested) => (State::Unknown, "not everything could be tested"),
        _ => (State::Holds, "everything looked at holds"),
    }
}

/// `enforce`, `testing`, … as in the terminal.
pub(crate) fn sts_word(state: StsState) -> &'static str {
    match state {
        StsState::Absent => "absent",
        StsState::Broken => "broken",
        StsState::None => "none",
        StsState::Testing => "testing",
        StsState::Enforce => "enforce",
    }
}

/// `full`, `partial`, … as in the terminal.
pub(crate) fn dane_word(state: DaneState) -> &'static str {
    match state {
        DaneState::Absent => "absent",
        DaneState::Broken => "broken",
        DaneState::Partial => "partial",
        DaneState::Full => "full",
    }
}

/// `present`, … as in the terminal.
pub(crate) fn reporting_word(state: ReportingState) -> &'static str {
    match state {
        ReportingState::Absent => "absent",
        ReportingState::Broken => "broken",
        ReportingState::Present => "present",
    }
}

/// The three words of a summary, in the order in which they are always shown.
pub(crate) fn summary_words(summary: &Summary) -> [(&'static str, &'static str); 3] {
    [
        ("MTA-STS", sts_word(summary.mta_sts)),
        ("DANE", dane_word(summary.dane)),
        ("TLS-RPT", reporting_word(summary.tls_rpt)),
    ]
}

/// Whether a finding speaks of this host: in its subject, or in the evidence.
pub(crate) fn speaks_of(finding: &Finding, host: &str) -> bool {
    finding.subject.split_whitespace().any(|word| word.eq_ignore_ascii_case(host))
        || finding.evidence.values().any(|value| value.as_str().is_some_and(|v| v.eq_ignore_ascii_case(host)))
}
