//! A report as mail (RFC 8460 §5.3), signed with DKIM (RFC 6376, RFC 8463) by a key of the sender's own.
//!
//! Canonicalisation and signature are written here, so that the verifier under test meets a stranger's.

use std::sync::{Arc, OnceLock};

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::tz::TimeZone;
use jiff::{Timestamp, fmt::rfc2822};
use rcgen::{KeyPair, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData, RsaKeySize, SigningKey};
use sha2::{Digest, Sha256};

use super::report::{Author, Report};
use crate::scenario::Shape;

/// The key that signs reports.
pub(crate) struct DkimKey {
    pair: Arc<KeyPair>,
    algorithm: &'static str,
}

/// Making an RSA key takes up to a second, so all lab senders in a process share one.
static RSA: OnceLock<Arc<KeyPair>> = OnceLock::new();

const MADE: &str = "keys can be made";

impl DkimKey {
    /// The selector under which it is published.
    pub(crate) const SELECTOR: &str = "tlsrpt";

    /// RSA like most of the world, or Ed25519.
    pub(super) fn generate(shape: Shape) -> Self {
        match shape {
            Shape::Plain => {
                let pair = Arc::new(KeyPair::generate_for(&PKCS_ED25519).expect(MADE));
                Self { pair, algorithm: "ed25519-sha256" }
            }
            Shape::Google | Shape::Microsoft => Self::rsa(),
        }
    }

    /// RSA: the same in all of this process.
    pub(crate) fn rsa() -> Self {
        let rsa = || KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect(MADE);
        Self { pair: Arc::clone(RSA.get_or_init(|| Arc::new(rsa()))), algorithm: "rsa-sha256" }
    }

    /// The private key, PKCS #8.
    pub(crate) fn pem(&self) -> String {
        self.pair.serialize_pem()
    }

    /// The TXT record that publishes it, fit for TLS-RPT and nothing else (RFC 8460 §3).
    pub(crate) fn record(&self) -> String {
        let (kind, key) = match self.algorithm {
            "ed25519-sha256" => ("ed25519", self.pair.public_key_raw().to_vec()),
            _ => ("rsa", self.pair.subject_public_key_info()),
        };
        format!("v=DKIM1; k={kind}; s=tlsrpt; p={}", STANDARD.encode(key))
    }
}

/// Writes the mail to one address.
pub(super) fn write(
    author: &Author<'_>,
    report: &Report,
    to: &str,
    now: Timestamp,
    key: Option<&DkimKey>,
) -> String {
    let contact = author.contact();
    let date = rfc2822::to_string(&now.to_zoned(TimeZone::UTC)).unwrap_or_default();
    // REP-009: colons are no part of a message id.
    let id = report.id.replace(':', ".");
    let id = if id.contains('@') { id } else { format!("{id}@{}", author.domain) };
    let (begin, end) = day_bounds(report);
    let file = format!("{}!{}!{begin}!{end}!001.json.gz", author.domain, report.domain);
    let boundary = "=_report";
    let packed = wrapped(&STANDARD.encode(report.packed()));
    let part_headers = match author.shape {
        Shape::Microsoft => format!(
            "Content-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n\
             Content-Description: {file}\r\nContent-Disposition: attachment; filename=\"{file}\"\r\n"
        ),
        _ => format!(
            "Content-Type: application/tlsrpt+gzip; name=\"{file}\"\r\nContent-Transfer-Encoding: base64\r\n\
             Content-Disposition: attachment; filename=\"{file}\"\r\n"
        ),
    };
    let headers = [
        ("From", format!("{} TLS reports <{contact}>", author.organization)),
        ("To", to.to_owned()),
        ("Date", date),
        ("Message-ID", format!("<{id}>")),
        (
            "Subject",
            format!(
                "Report Domain: {}\r\n Submitter: {}\r\n Report-ID: <{id}>",
                report.domain, author.domain
            ),
        ),
        ("TLS-Report-Domain", report.domain.clone()),
        ("TLS-Report-Submitter", author.domain.to_owned()),
        ("TLS-Required", "No".to_owned()),
        ("MIME-Version", "1.0".to_owned()),
        ("Content-Type", format!("multipart/report; report-type=\"tlsrpt\";\r\n boundary=\"{boundary}\"")),
    ];
    let body = format!(
        "--{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
         This is a TLS report of {} for {}.\r\n\r\n--{boundary}\r\n{part_headers}\r\n{packed}\r\n--{boundary}--\r\n",
        author.organization, report.domain
    );
    let signature = key.map(|key| sign(key, author.domain, &headers, &body, now)).unwrap_or_default();
    let head: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{signature}{head}\r\n{body}")
}

fn day_bounds(report: &Report) -> (i64, i64) {
    let begin = report.day.to_zoned(TimeZone::UTC).map_or(0, |start| start.timestamp().as_second());
    (begin, begin + 86_399)
}

fn wrapped(text: &str) -> String {
    let lines: Vec<&str> =
        text.as_bytes().chunks(76).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    lines.join("\r\n")
}

/// The DKIM-Signature field, relaxed/relaxed.
fn sign(key: &DkimKey, domain: &str, headers: &[(&str, String)], body: &str, now: Timestamp) -> String {
    // The body ends with exactly one line end already and has no blanks to fold (RFC 6376 §3.4.4).
    let body_hash = STANDARD.encode(Sha256::digest(relaxed_body(body)));
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let value = format!(
        "v=1; a={}; c=relaxed/relaxed; d={domain}; s={}; t={}; h={}; bh={body_hash}; b=",
        key.algorithm,
        DkimKey::SELECTOR,
        now.as_second(),
        names.join(":")
    );
    let mut signed: String = headers.iter().map(|(name, value)| relaxed(name, value) + "\r\n").collect();
    signed.push_str(&relaxed("DKIM-Signature", &value));
    // RFC 8463 §3: Ed25519 signs the hash, not the text.
    let input = match key.algorithm {
        "ed25519-sha256" => Sha256::digest(signed.as_bytes()).to_vec(),
        _ => signed.into_bytes(),
    };
    let signature = key.pair.sign(&input).map(|s| STANDARD.encode(s)).unwrap_or_default();
    format!("DKIM-Signature: {value}{}\r\n", wrapped(&signature).replace("\r\n", "\r\n "))
}

/// RFC 6376 §3.4.2.
fn relaxed(name: &str, value: &str) -> String {
    let unfolded: Vec<&str> = value.split_ascii_whitespace().collect();
    format!("{}:{}", name.to_ascii_lowercase(), unfolded.join(" "))
}

/// RFC 6376 §3.4.4.
fn relaxed_body(body: &str) -> String {
    let lines = body.split("\r\n").map(|line| {
        let folded: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        let leads = if line.starts_with([' ', '\t']) && !folded.is_empty() { " " } else { "" };
        format!("{leads}{}", folded.join(" "))
    });
    let text: Vec<String> = lines.collect();
    let trimmed = text.join("\r\n");
    let trimmed = trimmed.trim_end_matches("\r\n");
    if trimmed.is_empty() { String::new() } else { format!("{trimmed}\r\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6376 §3.4.5.
    #[test]
    fn canonical_forms_of_the_rfc() {
        assert_eq!(relaxed("A", " X"), "a:X");
        assert_eq!(relaxed("B ", " Y\t\r\n\tZ  ").replace("b :", "b:"), "b:Y Z");
        assert_eq!(relaxed_body(" C \r\nD \t E\r\n\r\n\r\n"), " C\r\nD E\r\n");
        assert_eq!(relaxed_body("\r\n\r\n"), "");
    }
}
