//! Reads every report that really comes: JSON, gzip, zip or a whole mail, with hard limits.
//!
//! Content decides, never a name or a media type. What deviates is an oddity (a [`Finding`]), not an
//! error; only what cannot be counted without lying is set aside, with its reason.
//!
//! The way of an item: [`container`] unpacks, [`mail`] finds the parts, [`text`] decodes, [`json`] reads
//! values, [`normalise`] makes reports of them. Every step is bounded before it allocates.

use jiff::Timestamp;

use super::{MailFacts, Report};
use crate::{DomainName, Finding};

mod address;
mod container;
mod count;
mod domain;
mod entry;
mod json;
mod mail;
mod normalise;
mod oddity;
mod text;
mod time;

use container::Kind;
use json::{Broken, Documents, Value};
use mail::Envelope;
use oddity::{Oddities, Refusal};

/// Reports taken from one item; more is nobody's report.
const REPORTS: usize = 1_000;
/// Findings kept of what was refused in one item.
const REFUSALS: usize = 20;

/// Hard limits on one item. `Default` gives the documented values.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of a whole mail or body.
    pub input: usize,
    /// Bytes after unpacking, for the whole item.
    pub unpacked: usize,
    /// Levels of compression.
    pub levels: u8,
    /// Entries of a zip.
    pub zip_entries: usize,
    /// JSON nesting.
    pub depth: usize,
    /// Policies in one report.
    pub policies: usize,
    /// Failure details in one policy.
    pub details: usize,
    /// Bytes kept of one text.
    pub text: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            input: 15 << 20,
            unpacked: 20_000_000,
            levels: 2,
            zip_entries: 100,
            depth: 64,
            policies: 10_000,
            details: 100_000,
            text: 4096,
        }
    }
}

/// What is known besides the bytes.
#[derive(Debug, Clone, Default)]
pub struct Incoming<'a> {
    /// File name, when it came as a file.
    pub file_name: Option<&'a str>,
    /// Media type, when it came with one.
    pub media_type: Option<&'a str>,
    /// The one held domain the receiving address or path belongs to.
    pub held_domain: Option<&'a crate::DomainName>,
}

/// What became of one item.
#[derive(Debug, Clone, PartialEq)]
pub enum Parsed {
    /// One or more reports, each with its oddities. What else was in the item and could not be counted
    /// stands as a finding of severity `error` with the first report.
    Accepted(Vec<(Report, Vec<Finding>)>),
    /// A report that cannot be counted: kept, listed with these findings (at least one REP-07x/080).
    Quarantined(Vec<Finding>),
    /// No report at all (REP-09x).
    NotAReport(Vec<Finding>),
}

/// Reads one item. `now` bounds impossible date ranges (REP-077). The facts are those of the mail the
/// report was found in, and `None` for anything but mail.
pub fn parse(
    bytes: &[u8],
    incoming: &Incoming<'_>,
    limits: &Limits,
    now: Timestamp,
) -> (Parsed, Option<MailFacts>) {
    let mut reader = Reader {
        limits,
        now,
        held: incoming.held_domain,
        left: limits.unpacked,
        mail: None,
        reports: Vec::new(),
        refused: Vec::new(),
        foreign: Vec::new(),
    };
    let origin = Origin {
        name: incoming.file_name,
        media_type: incoming.media_type,
        envelope: None,
        oddities: Oddities::default(),
    };
    if bytes.len() > limits.input {
        let message = format!("It has {} bytes; {} are allowed.", bytes.len(), limits.input);
        reader.refuse(Refusal::quarantine("REP-071", origin.subject(), message));
    } else {
        reader.item(bytes, &origin, 0);
    }
    reader.finish()
}

/// Where bytes come from, and what was noted on the way to them.
struct Origin<'a> {
    /// File name of the item or of the part.
    name: Option<&'a str>,
    /// Media type of a body that came by HTTPS.
    media_type: Option<&'a str>,
    /// The mail directly around it.
    envelope: Option<&'a Envelope>,
    oddities: Oddities,
}

impl Origin<'_> {
    fn subject(&self) -> &str {
        self.name.unwrap_or("report")
    }
}

/// One item being read.
struct Reader<'c> {
    limits: &'c Limits,
    now: Timestamp,
    held: Option<&'c DomainName>,
    /// Bytes that may still be unpacked.
    left: usize,
    mail: Option<MailFacts>,
    reports: Vec<(Report, Oddities)>,
    refused: Vec<Finding>,
    foreign: Vec<Finding>,
}

impl Reader<'_> {
    /// Reads bytes of any kind; `level` counts the layers of compression around them.
    fn item(&mut self, bytes: &[u8], origin: &Origin<'_>, level: u8) {
        let kind = Kind::of(bytes);
        if kind == Kind::Text {
            return self.text(bytes, origin, level);
        }
        if level == self.limits.levels {
            let message = format!("It is compressed more than {} times.", self.limits.levels);
            return self.refuse(Refusal::quarantine("REP-072", origin.subject(), message));
        }
        if self.left == 0 && !self.refused.is_empty() {
            return; // The item is over its limit already, and says so.
        }
        let mut oddities = origin.oddities.clone();
        if level == 0 && origin.envelope.is_none() {
            note_label(kind, origin.media_type, origin.name, &mut oddities);
        }
        if level > 0 {
            oddities.note("REP-003", || origin.subject(), || "It is compressed twice.".to_owned());
        }
        if kind == Kind::Zip {
            return self.zip(bytes, origin, oddities, level);
        }
        match container::gunzip(bytes, &mut self.left, origin.subject()) {
            Ok(unzipped) => {
                if unzipped.padded {
                    oddities.note("REP-023", || origin.subject(), || "NUL bytes follow the gzip.".to_owned());
                }
                let inner = Origin { oddities, media_type: None, ..*origin };
                self.item(&unzipped.bytes, &inner, level + 1);
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    fn zip(&mut self, bytes: &[u8], origin: &Origin<'_>, mut oddities: Oddities, level: u8) {
        oddities.note("REP-001", || origin.subject(), || "It is a zip.".to_owned());
        let before = self.outcomes();
        let mut left = self.left;
        let limits = self.limits;
        let each = |name: &str, content: Result<Vec<u8>, Refusal>, left: &mut usize| match content {
            Ok(content) => {
                self.left = *left;
                let name = if name.is_empty() { origin.name } else { Some(name) };
                let inner = Origin { name, oddities: oddities.clone(), media_type: None, ..*origin };
                self.entry(&content, &inner, level + 1);
                *left = self.left;
            }
            Err(refusal) => self.refuse(refusal),
        };
        let outcome = container::unzip(bytes, limits, &mut left, origin.subject(), each);
        self.left = left;
        if let Err(refusal) = outcome {
            self.refuse(refusal);
        } else if self.outcomes() == before {
            self.refuse(Refusal::foreign("REP-091", origin.subject(), "The zip is empty."));
        }
    }

    /// Reads one file of a zip; a leaflet beside the report is no damage.
    fn entry(&mut self, bytes: &[u8], origin: &Origin<'_>, level: u8) {
        let is_leaflet = Kind::of(bytes) == Kind::Text
            && !text::begins_like_json(bytes)
            && !origin.name.is_some_and(|name| name.to_ascii_lowercase().ends_with(".json"))
            && !mail::begins_like_mail(bytes);
        if is_leaflet {
            return self.refuse(Refusal::foreign("REP-091", origin.subject(), "The file is no report."));
        }
        self.item(bytes, origin, level);
    }

    fn text(&mut self, bytes: &[u8], origin: &Origin<'_>, level: u8) {
        if text::is_blank(bytes) {
            return self.refuse(Refusal::foreign("REP-091", origin.subject(), "There is nothing inside."));
        }
        if origin.envelope.is_none() && !text::begins_like_json(bytes) && mail::begins_like_mail(bytes) {
            return mail::read(self, bytes, origin);
        }
        let mut oddities = origin.oddities.clone();
        if level == 0 && origin.envelope.is_none() {
            note_label(Kind::Text, origin.media_type, origin.name, &mut oddities);
        }
        let text = text::decode(bytes, origin.subject(), &mut oddities);
        self.documents(&text, origin, oddities);
    }

    /// Tries a text that nothing announces as a report: what is none leaves no trace.
    fn attempt(&mut self, bytes: &[u8], origin: &Origin<'_>) {
        let (refused, foreign) = (self.refused.len(), self.foreign.len());
        self.item(bytes, origin, 0);
        self.foreign.truncate(foreign);
        let unread = self.refused.get(refused..).unwrap_or_default();
        if unread.iter().all(|finding| matches!(finding.id.as_str(), "REP-072" | "REP-073")) {
            self.refused.truncate(refused);
        }
    }

    fn documents(&mut self, text: &str, origin: &Origin<'_>, oddities: Oddities) {
        let before = self.reports.len();
        let mut several = false;
        for (index, document) in Documents::new(text, self.limits).enumerate() {
            several |= index > 0;
            match document {
                Ok(document) => {
                    let mut oddities = oddities.clone();
                    if let Some(member) = document.repeated {
                        oddities.note("REP-025", || member, || format!("{member} stands twice."));
                    }
                    match document.value {
                        Value::List(elements) => {
                            several = true;
                            if elements.is_empty() {
                                let words = "The document is an empty list.";
                                self.refuse(Refusal::foreign("REP-092", origin.subject(), words));
                            }
                            elements.iter().for_each(|value| self.report(value, origin, oddities.clone()));
                        }
                        value => self.report(&value, origin, oddities),
                    }
                }
                // What stands behind the reports is no further one: then the text is no JSON at all,
                // and nobody knows what its beginning is worth.
                Err(Broken::Tail(refusal)) => {
                    self.reports.truncate(before);
                    self.refuse(refusal);
                }
                Err(Broken::Document(refusal)) => self.refuse(refusal),
            }
            if self.reports.len() > REPORTS {
                self.reports.truncate(REPORTS);
                let message = format!("The item holds more than {REPORTS} reports.");
                self.refuse(Refusal::quarantine("REP-072", origin.subject(), message));
                break;
            }
        }
        if several {
            for (_, oddities) in &mut self.reports[before..] {
                oddities.note(
                    "REP-024",
                    || origin.subject(),
                    || "The text is a list or several documents.".to_owned(),
                );
            }
        }
    }

    fn report(&mut self, value: &Value<'_>, origin: &Origin<'_>, mut oddities: Oddities) {
        let facts = origin.envelope.map(|envelope| &envelope.facts);
        let around = normalise::Surroundings {
            limits: self.limits,
            now: self.now,
            header_domain: facts.and_then(|facts| facts.report_domain.as_deref()),
            header_submitter: facts.and_then(|facts| facts.report_submitter.as_deref()),
            file_name: origin.name,
            held: self.held,
        };
        match normalise::report(value, &around, &mut oddities) {
            Ok(report) => {
                if let Some(envelope) = origin.envelope {
                    self.found_in(envelope, &report, &mut oddities);
                }
                self.reports.push((report, oddities));
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    fn found_in(&mut self, envelope: &Envelope, report: &Report, oddities: &mut Oddities) {
        if let Some(id) = &envelope.subject_id
            && *id != report.report_id
        {
            oddities.note(
                "REP-009",
                || "Subject",
                || format!("The Subject names the report {id:?}, the report itself {:?}.", report.report_id),
            );
        }
        // One forwarded report is enough: the signature of the outer mail does not cover its reporter.
        match &mut self.mail {
            Some(facts) if self.reports.is_empty() => *facts = envelope.facts.clone(),
            Some(facts) => facts.forwarded |= envelope.facts.forwarded,
            None => self.mail = Some(envelope.facts.clone()),
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        let list = match refusal {
            Refusal::Quarantine(..) => &mut self.refused,
            Refusal::Foreign(..) => &mut self.foreign,
        };
        if list.len() < REFUSALS {
            list.push(refusal.into_finding());
        }
    }

    /// How much was found so far, in any way.
    fn outcomes(&self) -> (usize, usize, usize) {
        (self.reports.len(), self.refused.len(), self.foreign.len())
    }

    fn finish(mut self) -> (Parsed, Option<MailFacts>) {
        if self.reports.is_empty() {
            if self.refused.is_empty() {
                return (Parsed::NotAReport(self.foreign), self.mail);
            }
            return (Parsed::Quarantined(self.refused), self.mail);
        }
        if self.reports.len() > 1 {
            let count = self.reports.len();
            for (_, oddities) in &mut self.reports {
                oddities.note("REP-002", || "reports", || format!("The item holds {count} reports."));
            }
        }
        let mut reports: Vec<(Report, Vec<Finding>)> =
            self.reports.into_iter().map(|(report, oddities)| (report, oddities.into_findings())).collect();
        if let Some((_, findings)) = reports.first_mut() {
            findings.append(&mut self.refused);
        }
        (Parsed::Accepted(reports), self.mail)
    }
}

/// Notes where media type or file name promise something else than the content is (REP-004).
fn note_label(kind: Kind, media_type: Option<&str>, name: Option<&str>, oddities: &mut Oddities) {
    let registered = match kind {
        Kind::Gzip => "application/tlsrpt+gzip",
        Kind::Text => "application/tlsrpt+json",
        Kind::Zip => "",
    };
    if let Some(media_type) = media_type {
        let bare = media_type.split(';').next().unwrap_or_default().trim();
        if !bare.eq_ignore_ascii_case(registered) {
            oddities.note(
                "REP-004",
                || "media type",
                || format!("The content is {kind:?}, its type {bare}."),
            );
        }
    }
    let Some((_, extension)) = name.and_then(|name| name.rsplit_once('.')) else { return };
    let promised = [("gz", Kind::Gzip), ("zip", Kind::Zip), ("json", Kind::Text)]
        .into_iter()
        .find(|(known, _)| extension.eq_ignore_ascii_case(known));
    if promised.is_some_and(|(_, promised)| promised != kind) {
        oddities.note(
            "REP-004",
            || "file name",
            || format!("The content is {kind:?}, its name ends in .{extension}."),
        );
    }
}

#[cfg(test)]
mod tests;
