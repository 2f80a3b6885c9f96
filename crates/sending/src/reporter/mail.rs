//! A report as mail (RFC 8460 §5.3): a part for people, a part for machines, and the fields around them.
//!
//! Written here rather than by a library: the whole form is fixed, and libraries split a long file name
//! by RFC 2231, which many readers of reports do not join again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::tz::TimeZone;
use jiff::{Timestamp, fmt::rfc2822};
use mailward_core::tlsrpt::{FailureDetails, FileName, PolicyResult, Report, write};
use mailward_core::{DomainName, PolicyDomain};
use sha2::{Digest, Sha256};

/// Kinds of failure that the part for people lists; the other part has all.
const MOST_LISTED: usize = 20;
/// Characters of a text that a stranger chose.
const MOST_SHOWN: usize = 200;

/// What a mail is made of.
pub(super) struct Letter<'a> {
    pub(super) organization: &'a str,
    pub(super) from: &'a str,
    pub(super) submitter: &'a DomainName,
    pub(super) domain: &'a PolicyDomain,
    pub(super) report: &'a Report,
    pub(super) gzip: &'a [u8],
}

impl Letter<'_> {
    /// The mail without signatures. All lines are ASCII and of bounded length.
    pub(super) fn compose(&self, to: &str, now: Timestamp) -> Vec<u8> {
        let id = &self.report.report_id;
        let date = rfc2822::to_string(&now.to_zoned(TimeZone::UTC)).unwrap_or_default();
        let subject = write::subject(self.domain, self.submitter, id);
        let subject =
            subject.replace(" Submitter:", "\r\n Submitter:").replace(" Report-ID:", "\r\n Report-ID:");
        let file = self.file_name();
        let digest = Sha256::digest(self.gzip);
        let boundary =
            format!("=_tlsrpt_{}", digest[..12].iter().map(|b| format!("{b:02x}")).collect::<String>());
        let (encoding, human) = body(&human_part(self.report, self.organization));
        let machine = wrapped(self.gzip);
        let type_ = write::GZIP_TYPE;
        // TLS-Required (RFC 8689 §5): a report on broken TLS must not be stopped by it.
        // Auto-Submitted (RFC 3834 §5): nobody's holiday answers it.
        let mail = format!(
            "From: {from}\r\nTo: {to}\r\nSubject: {subject}\r\nDate: {date}\r\nMessage-ID: <{id}>\r\n\
             TLS-Report-Domain: {domain}\r\nTLS-Report-Submitter: {submitter}\r\nTLS-Required: No\r\n\
             Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n boundary=\"{boundary}\"\r\n\r\n\
             --{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n\
             {human}\r\n--{boundary}\r\nContent-Type: {type_};\r\n name=\"{file}\"\r\n\
             Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment;\r\n filename=\"{file}\"\r\n\r\n\
             {machine}\r\n--{boundary}--\r\n",
            from = mailbox(self.organization, self.from),
            to = angle(to),
            domain = self.domain,
            submitter = self.submitter,
        );
        mail.into_bytes()
    }

    fn file_name(&self) -> String {
        let left = self.report.report_id.split('@').next().unwrap_or_default();
        let unique = left.rsplit('.').next().filter(|u| u.bytes().all(|b| b.is_ascii_alphanumeric()));
        FileName {
            sender: self.submitter.clone(),
            policy_domain: (**self.domain).clone(),
            begin: self.report.date_range.start_datetime,
            end: self.report.date_range.end_datetime,
            unique: unique.filter(|u| !u.is_empty()).map(str::to_owned),
        }
        .gzip()
    }
}

/// What people read: counts, failures, and what to do.
pub fn human_part(report: &Report, organization: &str) -> String {
    let day = report.date_range.start_datetime.to_zoned(TimeZone::UTC).date();
    let mut text = format!(
        "This is a TLS report (RFC 8460) of {organization} about mail sent on {day} (UTC).\n\
         The attached file says the same to machines.\n"
    );
    let mut failures = false;
    for entry in &report.policies {
        text.push_str(&policy_lines(entry));
        failures |= entry.summary.total_failure_session_count > 0 || !entry.failure_details.is_empty();
    }
    text.push_str(if failures {
        "\nWhat to do: look at the mail servers named above. Certificates must be valid and name the\n\
         server, STARTTLS must be offered, and the MTA-STS policy and TLSA records must fit what the\n\
         servers show. While they do not, mail from us may be late or not arrive at all.\n"
    } else {
        "\nNothing failed; there is nothing to do.\n"
    });
    text.push_str(&format!("\nQuestions: {}\nReport-ID: {}\n", report.contact_info, report.report_id));
    text
}

fn policy_lines(entry: &PolicyResult) -> String {
    let domain = entry.policy.policy_domain.as_ref().map_or("", |domain| domain.as_str());
    let kind = match entry.policy.policy_type.as_str() {
        "sts" => format!("MTA-STS policy of {domain}"),
        "tlsa" => format!("DANE TLSA records of {domain}"),
        "no-policy-found" => format!("no policy found for {domain}"),
        other => format!("{} {domain}", shown(other)),
    };
    let summary = &entry.summary;
    let mut text = format!(
        "\n{kind}:\n  {} sessions succeeded, {} failed\n",
        summary.total_successful_session_count, summary.total_failure_session_count
    );
    for failure in entry.failure_details.iter().take(MOST_LISTED) {
        text.push_str(&failure_line(failure));
    }
    if let Some(more @ 1..) = entry.failure_details.len().checked_sub(MOST_LISTED) {
        text.push_str(&format!("  and {more} more kinds of failure\n"));
    }
    text
}

fn failure_line(failure: &FailureDetails) -> String {
    let place = failure.receiving_mx_hostname.as_deref().map(|mx| format!(" at {}", shown(mx)));
    let address = failure.receiving_ip.map(|ip| format!(" [{ip}]"));
    let reason = failure.failure_reason_code.as_deref().map(|code| format!(": {}", shown(code)));
    format!(
        "  {} times {}{}{}{}\n",
        failure.failed_session_count,
        shown(failure.result_type.as_str()),
        place.unwrap_or_default(),
        address.unwrap_or_default(),
        reason.unwrap_or_default()
    )
}

/// A stranger's text on one line: no control characters, no endless length.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_SHOWN).collect()
}

/// A body with its transfer encoding: as it is where it is ASCII in short lines.
fn body(text: &str) -> (&'static str, String) {
    if text.is_ascii() && text.lines().all(|line| line.len() <= 900) {
        ("7bit", text.replace('\n', "\r\n"))
    } else {
        ("base64", wrapped(text.replace('\n', "\r\n").as_bytes()) + "\r\n")
    }
}

fn wrapped(bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    let lines: Vec<&str> =
        text.as_bytes().chunks(76).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    lines.join("\r\n")
}

/// `"Name" <address>`, the name as a quoted string (RFC 5322 §3.2.4) or as encoded words (RFC 2047 §5).
fn mailbox(name: &str, address: &str) -> String {
    let name = shown(name);
    if name.is_ascii() {
        let quoted: String = name
            .chars()
            .flat_map(|c| matches!(c, '"' | '\\').then_some('\\').into_iter().chain([c]))
            .collect();
        return format!("\"{quoted}\" <{address}>");
    }
    let mut words: Vec<String> = vec![String::new()];
    for c in name.chars() {
        // RFC 2047 §2: 75 characters a word; 42 bytes make 56 of base64.
        if words.last().is_some_and(|word| word.len() + c.len_utf8() > 42) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    let words: Vec<String> = words.iter().map(|w| format!("=?utf-8?B?{}?=", STANDARD.encode(w))).collect();
    format!("{}\r\n <{address}>", words.join("\r\n "))
}

/// An address for the field To, which it must not leave.
fn angle(address: &str) -> String {
    format!("<{}>", address.chars().filter(|c| !c.is_control()).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_phrases() {
        for (name, written) in [
            ("Example, \"Inc\"", r#""Example, \"Inc\"" <a@b.example>"#),
            ("Größe", "=?utf-8?B?R3LDtsOfZQ==?=\r\n <a@b.example>"),
            ("a\r\nBcc: x", r#""a  Bcc: x" <a@b.example>"#),
        ] {
            assert_eq!(mailbox(name, "a@b.example"), written);
        }
        let long = mailbox(&"ö".repeat(90), "a@b.example");
        assert!(long.split("\r\n").all(|line| line.len() <= 76), "{long}");
    }
}
