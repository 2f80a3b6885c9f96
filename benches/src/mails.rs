//! Report mails as they come in: multipart/report around gzip in base64, below the header fields that
//! large providers and the mail servers on the way put above it. All different, the same in every run.
//!
//! Every signature is random text: it has the shape and the length of one, and nobody's key.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::ToSpan;
use jiff::civil::Date;
use serde_json::{Value, json};

/// Reporters; the first two bring most mails, as in the world.
const REPORTERS: [(&str, &str); 6] = [
    ("Big Mail Inc.", "bigmail.example"),
    ("Office Cloud Corporation", "officecloud.example"),
    ("Small Host", "smallhost.example"),
    ("Universität", "uni.example"),
    ("A Post Company", "post.example"),
    ("Self Hosted", "selfhosted.example"),
];

/// Kinds of failures with the reason a reporter may add.
const FAILURES: [(&str, Option<&str>); 7] = [
    ("certificate-expired", Some("certificate has expired")),
    ("certificate-host-mismatch", None),
    ("starttls-not-supported", Some("STARTTLS_NOT_OFFERED")),
    ("certificate-not-trusted", Some("unable to get local issuer certificate")),
    ("validation-failure", Some("TLS handshake failed: unexpected EOF")),
    ("sts-webpki-invalid", None),
    ("sts-policy-fetch-error", Some("HTTP 503")),
];

/// Domains the reports are about.
pub const DOMAINS: u32 = 1_000;

/// The name of a domain by number.
pub fn domain(number: u32) -> String {
    format!("domain-{number:04}.test")
}

/// Numbers that look random and are the same in every run (xorshift64*).
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end.max(1)
    }

    /// Base64 of that many random octets.
    fn base64(&mut self, octets: usize) -> String {
        let bytes: Vec<u8> = (0..octets).map(|_| self.next().to_be_bytes()[0]).collect();
        STANDARD.encode(bytes)
    }

    fn hex(&mut self, digits: usize) -> String {
        (0..digits).map(|_| char::from(b"0123456789abcdef"[self.below(16) as usize])).collect()
    }
}

/// One report mail, by its number.
pub fn mail(number: u32) -> Vec<u8> {
    let mut dice = Dice::new(u64::from(number) + 1);
    let (organization, reporter) = match dice.below(10) {
        0..=4 => REPORTERS[0],
        5..=7 => REPORTERS[1],
        _ => REPORTERS[2 + dice.below(4) as usize],
    };
    let domain = domain(number % DOMAINS);
    let day = jiff::civil::date(2026, 9, 1).saturating_add((i64::from(number / DOMAINS)).days());
    let id = format!("{day}.{number}.{}@{reporter}", dice.hex(8));
    // One report in three tells of failures, most of them of one or two kinds.
    let failures = if dice.below(3) == 0 { 1 + dice.below(4) * dice.below(3) } else { 0 };
    let report = report(&mut dice, (organization, reporter), &domain, day, &id, failures);
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    let packed = packer.write_all(report.to_string().as_bytes()).and_then(|()| packer.finish());
    envelope(&mut dice, reporter, &domain, day, &id, &packed.unwrap_or_default())
}

/// A report without a mail around it: that of one reporter about domain `number` modulo their number.
pub fn bare_report(number: u32, day: Date, failures: u32) -> String {
    let mut dice = Dice::new(u64::from(number) + 1);
    let author = REPORTERS[dice.below(REPORTERS.len() as u64) as usize];
    let id = format!("{day}.{number}.{}@{}", dice.hex(8), author.1);
    report(&mut dice, author, &domain(number % DOMAINS), day, &id, failures.into()).to_string()
}

fn report(
    dice: &mut Dice,
    (organization, reporter): (&str, &str),
    domain: &str,
    day: Date,
    id: &str,
    failures: u64,
) -> Value {
    let hosts: Vec<String> = (0..=dice.below(3)).map(|n| format!("mx{n}.{domain}")).collect();
    let successful = dice.below(5_000) + 1;
    let details: Vec<Value> = (0..failures).map(|_| detail(dice, &hosts)).collect();
    let failed: u64 = details.iter().filter_map(|d| d["failed-session-count"].as_u64()).sum();
    let lines: Vec<String> = ["version: STSv1".to_owned(), "mode: enforce".to_owned()]
        .into_iter()
        .chain(hosts.iter().map(|host| format!("mx: {host}")))
        .chain(["max_age: 604800".to_owned()])
        .collect();
    let summary = json!({
        "total-successful-session-count": successful,
        "total-failure-session-count": failed,
    });
    let mut policies = vec![json!({
        "policy": {
            "policy-type": "sts", "policy-string": lines, "policy-domain": domain, "mx-host": hosts,
        },
        "summary": summary,
        "failure-details": details,
    })];
    // One provider tells the same sessions once more under DANE.
    if reporter == REPORTERS[1].1 {
        let record = format!("3 1 1 {}", dice.hex(64));
        policies.push(json!({
            "policy": {
                "policy-type": "tlsa", "policy-string": [record], "policy-domain": domain,
                "mx-host": [hosts[0]],
            },
            "summary": { "total-successful-session-count": successful, "total-failure-session-count": 0 },
        }));
    }
    json!({
        "organization-name": organization,
        "date-range": {
            "start-datetime": format!("{day}T00:00:00Z"), "end-datetime": format!("{day}T23:59:59Z"),
        },
        "contact-info": format!("tls-reporting@{reporter}"),
        "report-id": id,
        "policies": policies,
    })
}

fn detail(dice: &mut Dice, hosts: &[String]) -> Value {
    let (kind, reason) = FAILURES[dice.below(FAILURES.len() as u64) as usize];
    let host = &hosts[dice.below(hosts.len() as u64) as usize];
    let mut detail = json!({
        "result-type": kind,
        "sending-mta-ip": format!("192.0.2.{}", dice.below(255)),
        "receiving-mx-hostname": host,
        "receiving-ip": format!("2001:db8::{:x}", dice.below(65_536)),
        "failed-session-count": dice.below(40) + 1,
    });
    if let Some(reason) = reason {
        detail["failure-reason-code"] = Value::from(reason);
    }
    detail
}

fn envelope(dice: &mut Dice, reporter: &str, domain: &str, day: Date, id: &str, packed: &[u8]) -> Vec<u8> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = |text: String| lines.push(text);
    let date = format!("{} 04:{:02}:11 +0000", day.strftime("%a, %d %b %Y"), dice.below(60));
    let queue = dice.hex(12).to_uppercase();
    let (from, to) = (format!("tls-reporting@{reporter}"), format!("tls-reports@{domain}"));
    line(format!("Return-Path: <bounce+{}@{reporter}>", dice.hex(24)));
    for hop in 0..2 + dice.below(3) {
        line(format!(
            "Received: from relay{hop}.{reporter} (relay{hop}.{reporter} [192.0.2.{}])",
            dice.below(255)
        ));
        line("\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)".to_owned());
        line("\t key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256)".to_owned());
        line(format!("\tby mx{hop}.{domain} (Postfix) with ESMTPS id {queue}"));
        line(format!("\tfor <{to}>; {date}"));
    }
    line(format!("Authentication-Results: mx0.{domain}; dkim=pass (2048-bit rsa key sha256)"));
    line(format!("\theader.d={reporter} header.i=@{reporter} header.a=rsa-sha256 header.s=2026;"));
    line(format!("\tspf=pass smtp.mailfrom={reporter}; dmarc=pass header.from={reporter}"));
    seals(dice, reporter, &mut line);
    line(format!("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d={reporter}; s=2026;"));
    line("\th=mime-version:date:tls-report-domain:tls-report-submitter:message-id:subject".to_owned());
    line("\t :from:to:content-type; t=1790000000;".to_owned());
    line(format!("\tbh={};", dice.base64(32)));
    folded(&mut line, "\tb=", &dice.base64(256));
    line("MIME-Version: 1.0".to_owned());
    line(format!("Date: {date}"));
    line(format!("TLS-Report-Domain: {domain}"));
    line(format!("TLS-Report-Submitter: {reporter}"));
    line(format!("Message-ID: <{}@{reporter}>", dice.hex(32)));
    line(format!("Subject: Report Domain: {domain} Submitter: {reporter}"));
    line(format!("\tReport-ID: <{id}>"));
    line(format!("From: TLS reports <{from}>"));
    line(format!("To: {to}"));
    let boundary = format!("=_{}", dice.hex(28));
    line(format!("Content-Type: multipart/report; boundary=\"{boundary}\"; report-type=\"tlsrpt\""));
    for _ in 0..2 + dice.below(4) {
        folded(&mut line, "X-Provider-Diagnostics: ", &dice.base64(180));
    }
    line(String::new());
    line(format!("--{boundary}"));
    line("Content-Type: text/plain; charset=\"UTF-8\"".to_owned());
    line(String::new());
    line("This is an aggregate TLS report from".to_owned());
    line(format!("{reporter}. The report is in the attachment."));
    line(format!("--{boundary}"));
    let (start, end) = (1_790_000_000_u64, 1_790_086_399_u64);
    let file = format!("{reporter}!{domain}!{start}!{end}!{}.json.gz", dice.hex(6));
    line(format!("Content-Type: application/tlsrpt+gzip; name=\"{file}\""));
    line(format!("Content-Disposition: attachment; filename=\"{file}\""));
    line("Content-Transfer-Encoding: base64".to_owned());
    line(String::new());
    let text = STANDARD.encode(packed);
    for chunk in text.as_bytes().chunks(76) {
        line(String::from_utf8_lossy(chunk).into_owned());
    }
    line(String::new());
    line(format!("--{boundary}--"));
    lines.join("\r\n").into_bytes()
}

/// The three fields that a forwarding hop adds (RFC 8617).
fn seals(dice: &mut Dice, reporter: &str, line: &mut impl FnMut(String)) {
    line(format!("ARC-Seal: i=1; a=rsa-sha256; s=arc-2026; d={reporter}; cv=none;"));
    folded(line, "\tb=", &dice.base64(256));
    line(format!("ARC-Message-Signature: i=1; a=rsa-sha256; c=relaxed/relaxed; d={reporter};"));
    line("\ts=arc-2026; h=From:Date:Subject:Message-ID:Content-Type:MIME-Version;".to_owned());
    line(format!("\tbh={};", dice.base64(32)));
    folded(line, "\tb=", &dice.base64(256));
    line(format!(
        "ARC-Authentication-Results: i=1; mx.{reporter} 1; spf=none; dmarc=none; dkim=none; arc=none"
    ));
}

/// One field whose value is folded.
fn folded(line: &mut impl FnMut(String), name: &str, value: &str) {
    for (at, chunk) in value.as_bytes().chunks(70).enumerate() {
        line(format!("{}{}", if at == 0 { name } else { "\t " }, String::from_utf8_lossy(chunk)));
    }
}

/// The base64 text of the packed report inside a mail of ours, as a yardstick finds it: behind the third
/// empty line.
pub fn packed_text(mail: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(mail);
    let part = text.split("\r\n\r\n").nth(3).unwrap_or_default();
    part.bytes().filter(|b| !b.is_ascii_whitespace()).take_while(|b| *b != b'-').collect()
}

#[cfg(test)]
mod tests {
    use mailward_core::tlsrpt::{Incoming, Limits, Parsed, parse};

    use super::*;

    #[test]
    fn mails_are_reports_of_the_promised_size() {
        let now = "2026-11-02T09:00:00Z".parse().unwrap();
        let mut ids = std::collections::HashSet::new();
        let mut failures = 0;
        for number in 0..300 {
            let mail = mail(number);
            assert!((4_000..=9_000).contains(&mail.len()), "mail {number} has {} octets", mail.len());
            let (parsed, facts) = parse(&mail, &Incoming::default(), &Limits::default(), now);
            let Parsed::Accepted(reports) = parsed else { panic!("mail {number} is no report: {parsed:?}") };
            let [(report, _)] = &reports[..] else { panic!("mail {number} holds {}", reports.len()) };
            assert_eq!(facts.and_then(|f| f.report_domain), Some(domain(number % DOMAINS)));
            assert!(ids.insert(report.report_id.clone()), "{} comes twice", report.report_id);
            failures += usize::from(report.totals().values().any(|t| t.failed > 0));
            let packed = STANDARD.decode(packed_text(&mail)).unwrap();
            assert_eq!(packed[..2], [0x1f, 0x8b], "mail {number}");
        }
        assert!((30..200).contains(&failures), "{failures} of 300 tell of failures");
    }
}
