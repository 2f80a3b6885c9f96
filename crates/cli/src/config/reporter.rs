//! `[reporter]`: the daily reports that we send.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::SignedDuration;
use mailward_core::DomainName;
use mailward_core::tlsrpt::tally::Reporter as Author;
use mailward_net::submit::{Login, SubmitServer};
use mailward_sending::ReporterOptions;
use mailward_sending::reporter::SigningKey;
use serde::{Deserialize, Serialize};

use super::Span;

/// The longest spread: a report about a day leaves on the next one.
const LONGEST_SPREAD: Span = Span::seconds(20 * 3600);

/// The table.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReporterTable {
    /// Name of the organisation.
    pub organization: String,
    /// Address for questions; its domain is who reports.
    pub contact: String,
    /// Address in From; `None` is `contact`.
    pub from: Option<String>,
    /// Where mail is handed in.
    pub submit: String,
    /// User there.
    pub user: Option<String>,
    /// File with the password.
    pub password_file: Option<PathBuf>,
    /// Keys that sign.
    pub dkim: Vec<DkimTable>,
    /// Over how long first tries are spread.
    pub spread: Span,
    /// Whether days without a failure are reported.
    pub success_only: bool,
    /// Whether reports tell of what our own probes found.
    pub probes: bool,
}

impl Default for ReporterTable {
    fn default() -> Self {
        Self {
            organization: String::new(),
            contact: String::new(),
            from: None,
            submit: "smtp://127.0.0.1:25".to_owned(),
            user: None,
            password_file: None,
            dkim: vec![],
            spread: Span::seconds(4 * 3600),
            success_only: true,
            probes: false,
        }
    }
}

/// A member of `reporter.dkim`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DkimTable {
    /// Who signs: the domain of `contact`.
    pub domain: String,
    /// Its selector.
    pub selector: String,
    /// PEM file.
    pub key: PathBuf,
}

impl DkimTable {
    /// Reads the key.
    ///
    /// # Errors
    /// In words.
    pub fn load(&self) -> Result<SigningKey, String> {
        let place = |why: String| format!("reporter.dkim, selector {}: {why}", self.selector);
        let domain = DomainName::parse(&self.domain).map_err(|e| place(format!("{:?}: {e}", self.domain)))?;
        let pem = read(&self.key).map_err(place)?;
        SigningKey::from_pem(&pem, &domain, &self.selector)
            .map_err(|e| place(format!("{}: {e}", self.key.display())))
    }
}

impl ReporterTable {
    /// What must be set, and whether it fits together; no file is read.
    ///
    /// # Errors
    /// In words, with the key.
    pub fn check(&self) -> Result<(), String> {
        if self.organization.trim().is_empty() {
            return Err("reporter.organization is not set: the name that reports carry".to_owned());
        }
        if self.contact.is_empty() {
            return Err("reporter.contact is not set: the address for questions about reports".to_owned());
        }
        for (key, address) in [("contact", Some(&self.contact)), ("from", self.from.as_ref())] {
            if address.is_some_and(|address| domain_of(address).is_none()) {
                return Err(format!("reporter.{key} is no mail address of ASCII characters"));
            }
        }
        self.submit.parse::<SubmitServer>().map_err(|why| format!("reporter.submit: {why}"))?;
        if self.user.is_some() != self.password_file.is_some() {
            return Err("reporter.user and reporter.password_file go together".to_owned());
        }
        if self.user.as_ref().is_some_and(|user| user.is_empty() || user.contains(char::is_control)) {
            return Err("reporter.user is empty or has a control character".to_owned());
        }
        if self.spread > LONGEST_SPREAD {
            return Err(format!("reporter.spread is longer than {LONGEST_SPREAD}"));
        }
        let submitter = domain_of(&self.contact);
        for key in &self.dkim {
            // RFC 8460 §3, reading A22: the signature is that of the domain of contact-info.
            if DomainName::parse(&key.domain).ok() != submitter {
                return Err(format!(
                    "reporter.dkim signs as {}, and reporter.contact is of another domain: receivers would not believe the reports",
                    key.domain
                ));
            }
        }
        Ok(())
    }

    /// Who reports.
    pub fn author(&self) -> Author {
        Author { organization: self.organization.clone(), contact: self.contact.clone(), probes: self.probes }
    }

    /// What the duty takes, keys and password read.
    ///
    /// # Errors
    /// In words, with the key.
    pub fn options(&self, store_url: &str) -> Result<ReporterOptions, String> {
        self.check()?;
        let login = match (&self.user, &self.password_file) {
            (Some(user), Some(file)) => Some(Login { user: user.clone(), password: password(file)? }),
            _ => None,
        };
        let keys = self.dkim.iter().map(|key| key.load().map(Arc::new)).collect::<Result<_, _>>()?;
        Ok(ReporterOptions {
            organization: self.organization.clone(),
            contact: self.contact.clone(),
            from: self.from.clone().unwrap_or_else(|| self.contact.clone()),
            submit: self.submit.parse::<SubmitServer>().map_err(|why| format!("reporter.submit: {why}"))?,
            login,
            keys,
            spread: SignedDuration::try_from(self.spread.0).unwrap_or(SignedDuration::ZERO),
            success_only: self.success_only,
            probes: self.probes,
            // Other nodes may fill the same database; an SQLite file is this machine's own.
            alone: store_url.starts_with("sqlite:"),
        })
    }
}

/// The one line of a password file. What AUTH cannot carry (RFC 4616) is told now, not at night.
fn password(file: &Path) -> Result<String, String> {
    let wrong = |why: &str| format!("reporter.password_file: {}: {why}", file.display());
    let bytes = read(file).map_err(|why| format!("reporter.password_file: {why}"))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("it is no UTF-8"))?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(wrong("it is empty; the first line is the password"));
    }
    if password.contains(['\r', '\n', '\0']) {
        return Err(wrong("it has more than one line, or a NUL"));
    }
    Ok(password.to_owned())
}

fn domain_of(address: &str) -> Option<DomainName> {
    let fits = address.is_ascii() && mailward_core::tlsrpt::ReportUri::mailto(address).is_ok();
    let (_, domain) = address.rsplit_once('@').filter(|_| fits)?;
    DomainName::parse(domain).ok()
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_fit_together() {
        let good = ReporterTable {
            organization: "Example".into(),
            contact: "tls@example.com".into(),
            ..ReporterTable::default()
        };
        assert_eq!(good.check(), Ok(()));
        let key = |domain: &str| DkimTable { domain: domain.into(), selector: "s".into(), key: "k".into() };
        assert_eq!(ReporterTable { dkim: vec![key("Example.com")], ..good.clone() }.check(), Ok(()));
        for (bad, part) in [
            (ReporterTable { organization: " ".into(), ..good.clone() }, "organization"),
            (ReporterTable { contact: String::new(), ..good.clone() }, "contact is not set"),
            (ReporterTable { contact: "example.com".into(), ..good.clone() }, "contact is no mail"),
            (ReporterTable { from: Some("a b@example.com".into()), ..good.clone() }, "from"),
            (ReporterTable { submit: "mail.example.com".into(), ..good.clone() }, "smtp://127.0.0.1"),
            (ReporterTable { user: Some("u".into()), ..good.clone() }, "password_file"),
            (
                ReporterTable { user: Some("a\0b".into()), password_file: Some("p".into()), ..good.clone() },
                "control character",
            ),
            (ReporterTable { spread: Span::seconds(90_000), ..good.clone() }, "spread"),
            (ReporterTable { dkim: vec![key("mail.example.com")], ..good.clone() }, "another domain"),
        ] {
            let why = bad.check().unwrap_err();
            assert!(why.contains(part), "{part}: {why}");
        }
    }
    #[test]
    fn a_password_is_one_line_of_text() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        for (bytes, read) in [
            (&b"s3cret\n"[..], Ok("s3cret")),
            (b" with blanks \r\n", Ok(" with blanks ")),
            ("ge\u{fc}ber".as_bytes(), Ok("ge\u{fc}ber")),
            (b"\n", Err("it is empty")),
            (b"one\ntwo\n", Err("more than one line")),
            (b"a\0b", Err("more than one line")),
            (b"\xff\xfe", Err("no UTF-8")),
        ] {
            std::fs::write(&file, bytes).unwrap();
            match (password(&file), read) {
                (Ok(password), Ok(read)) => assert_eq!(password, read),
                (Err(why), Err(part)) => assert!(why.contains(part) && why.contains("/password"), "{why}"),
                (outcome, _) => panic!("{bytes:?}: {outcome:?}"),
            }
        }
    }
}
