//! Checks the DKIM signatures of a mail (RFC 6376) with keys that we look up ourselves.
//!
//! Hash, canonicalisation and cryptography are mail-auth's; it is given the keys and never asks the
//! DNS. What it leaves open is read here: the service types of a key (`s=`), keys that only test
//! (`t=y`), headers that occur more often than they are signed, SHA-1. What it all means for a report
//! is decided in core (`tlsrpt::authenticity`).

mod tags;

use std::borrow::{Borrow, Cow};
use std::collections::HashMap;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use jiff::Timestamp;
use mail_auth::common::crypto::Algorithm;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::{DomainKey, VerifySignature};
use mail_auth::hickory_resolver::TokioResolver;
use mail_auth::hickory_resolver::config::ResolverConfig;
use mail_auth::hickory_resolver::net::runtime::TokioRuntimeProvider;
use mail_auth::{AuthenticatedMessage, DkimResult, DnsError, Error, MessageAuthenticator, Parameters, Txt};
use mailward_core::DomainName;
use mailward_core::tlsrpt::authenticity::{SignatureFacts, SignatureVerdict};

use super::keys::Key;
use tags::Tags;

/// Signatures looked at in one mail; each may cost a DNS question.
const SIGNATURES: usize = 8;
/// Bytes of a header block, header fields in it and names in one `h=` up to which signatures are
/// checked: beyond, checking costs more than any real mail is worth.
const HEADER_BYTES: usize = 256 * 1024;
const HEADERS: usize = 1000;
const SIGNED_NAMES: usize = 100;

/// The headers whose every occurrence must be signed (RFC 8460 §5.3, RFC 6376 §5.4).
const PROTECTED: [&str; 3] = ["from", "tls-report-domain", "tls-report-submitter"];

/// Checks signatures with the keys given. Cheap to clone.
#[derive(Clone)]
pub(super) struct Verifier {
    authenticator: Option<MessageAuthenticator>,
}

/// One signature, before its key is known.
#[derive(Debug, Clone)]
struct Claim {
    facts: SignatureFacts,
    /// Position among the signatures that mail-auth could read; `None` when the verdict stands.
    readable: Option<usize>,
    key_name: Option<DomainName>,
}

/// The signatures of one mail, in the order of the header, at most eight. Reading and checking take a while
/// and wait for nothing: both belong on a thread for such work.
#[derive(Debug, Default)]
pub(super) struct Signatures(Vec<Claim>);

impl Signatures {
    /// Reads them.
    pub(super) fn read(mail: &[u8], now: Timestamp) -> Self {
        // The body says nothing here, and reading it would mean hashing it.
        let header = with_network_line_ends(header(mail));
        let claims = confined(|| claims(&header, now));
        Self(claims.unwrap_or_else(|| vec![Claim { facts: unreadable(), readable: None, key_name: None }]))
    }

    /// The names of the keys that are needed to check them.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &DomainName> {
        self.0.iter().filter(|claim| claim.readable.is_some()).filter_map(|claim| claim.key_name.as_ref())
    }

    /// The facts of every signature, now that what can be known of the keys is known.
    pub(super) fn check(
        mut self,
        mail: &[u8],
        verifier: &Verifier,
        key: impl Fn(&DomainName) -> Key,
    ) -> Vec<SignatureFacts> {
        let mut found = HashMap::new();
        for claim in self.0.iter_mut().filter(|claim| claim.readable.is_some()) {
            let key = claim.key_name.as_ref().map_or(Key::Absent, &key);
            if let Some(record) = apply(claim, key) {
                let name = format!("{}._domainkey.{}.", claim.facts.selector, claim.facts.domain);
                found.insert(name.into_boxed_str(), record);
            }
        }
        if !found.is_empty() {
            let verdicts = confined(|| verifier.check(&with_network_line_ends(mail), found));
            let verdicts = verdicts.unwrap_or_default();
            for claim in &mut self.0 {
                if let Some(at) = claim.readable {
                    let failed = || SignatureVerdict::Fail("it cannot be read".to_owned());
                    claim.facts.verdict = verdicts.get(at).cloned().unwrap_or_else(failed);
                }
            }
        }
        self.0.into_iter().map(|claim| claim.facts).collect()
    }
}

/// A panic inside the library spoils the signatures of one mail and nothing else.
fn confined<T>(work: impl FnOnce() -> T) -> Option<T> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Reads the signatures and decides what needs no key.
fn claims(mail: &[u8], now: Timestamp) -> Vec<Claim> {
    let Some(message) = read(mail) else { return Vec::new() };
    let occurrences = |name: &str| {
        message.headers.iter().filter(|(n, _)| trimmed(n).eq_ignore_ascii_case(name.as_bytes())).count()
    };
    let protected = PROTECTED.map(|name| (name, occurrences(name)));
    let oversized = message.body_offset() > HEADER_BYTES || message.headers.len() > HEADERS;
    let mut claims = Vec::new();
    for header in message.errors.iter().filter(|h| trimmed(h.name).eq_ignore_ascii_case(b"dkim-signature")) {
        let tags = Tags::parse(header.value);
        let verdict = if tags.has("l") {
            // Core holds l= itself against it; whether it holds for a part is of no interest.
            SignatureVerdict::Untested("a signature over a part of the body is not checked".to_owned())
        } else {
            SignatureVerdict::Fail(format!("it is malformed: {}", in_words(&header.header)))
        };
        claims.push(Claim {
            facts: facts(&tags, tags.list("h"), verdict, &protected),
            readable: None,
            key_name: None,
        });
    }
    for (at, header) in message.dkim_headers.iter().enumerate() {
        let tags = Tags::parse(header.value);
        let signature = &header.header;
        let expired = signature.x != 0
            && (signature.x <= signature.t || i64::try_from(signature.x).is_ok_and(|x| x <= now.as_second()));
        let fault = if oversized || signature.h.len() > SIGNED_NAMES {
            Some("the header is too large to be checked".to_owned())
        } else if signature.a == Algorithm::RsaSha1 {
            Some("rsa-sha1 is no longer accepted (RFC 8301)".to_owned())
        } else if expired {
            Some("the signature has expired (x=)".to_owned())
        } else {
            None
        };
        let untested = SignatureVerdict::Untested(String::new());
        let mut facts = facts(&tags, signature.h.clone(), untested, &protected);
        facts.domain = signature.domain().trim_end_matches('.').to_ascii_lowercase();
        facts.selector = signature.selector().to_ascii_lowercase();
        let key_name = DomainName::parse(&format!("{}._domainkey.{}", facts.selector, facts.domain)).ok();
        let readable = fault.is_none().then_some(at);
        facts.verdict = fault.map_or(facts.verdict, SignatureVerdict::Fail);
        claims.push(Claim { facts, readable, key_name });
    }
    claims.truncate(SIGNATURES);
    claims
}

fn facts(
    tags: &Tags,
    mut signed: Vec<String>,
    verdict: SignatureVerdict,
    protected: &[(&str, usize)],
) -> SignatureFacts {
    for (name, occurrences) in protected {
        // RFC 6376 §8.15: a field that occurs more often than it is signed could have been added.
        let times = signed.iter().filter(|n| n.eq_ignore_ascii_case(name)).count();
        if times < *occurrences {
            signed.retain(|n| !n.eq_ignore_ascii_case(name));
        }
    }
    signed.truncate(SIGNED_NAMES);
    SignatureFacts {
        verdict,
        domain: tags.text("d").to_ascii_lowercase(),
        selector: tags.text("s").to_ascii_lowercase(),
        body_length: tags.has("l"),
        signed_headers: signed,
        key_services: None,
    }
}

/// Takes what the DNS said into the claim; returns the key where the signature can be checked with it.
fn apply(claim: &mut Claim, key: Key) -> Option<Txt> {
    let fail = |claim: &mut Claim, why: String| {
        claim.facts.verdict = SignatureVerdict::Fail(why);
        claim.readable = None;
        None
    };
    let records = match key {
        Key::Records(records) => records,
        Key::Absent => return fail(claim, "there is no key at the selector".to_owned()),
        Key::Unknown(why) => {
            claim.facts.verdict = SignatureVerdict::Untested(why);
            claim.readable = None;
            return None;
        }
    };
    let mut why = "there is no key at the selector".to_owned();
    for record in &records {
        match DomainKey::parse(record) {
            Ok(key) => {
                let tags = Tags::parse(record);
                claim.facts.key_services = tags.has("s").then(|| tags.list("s"));
                // RFC 6376 §3.6.1: mail signed with a key under test is as good as unsigned.
                if tags.list("t").iter().any(|flag| flag.eq_ignore_ascii_case("y")) {
                    return fail(claim, "the key is marked as a test (t=y)".to_owned());
                }
                return Some(Txt::DomainKey(Arc::new(key)));
            }
            Err(error) => why = format!("the key cannot be used: {}", in_words(&error)),
        }
    }
    fail(claim, why)
}

impl Verifier {
    /// Must be called inside a tokio runtime.
    pub(super) fn new() -> Self {
        Self { authenticator: authenticator() }
    }

    /// The verdicts in the order of the signatures that could be read.
    fn check(&self, mail: &[u8], keys: HashMap<Box<str>, Txt>) -> Vec<SignatureVerdict> {
        let (Some(authenticator), Some(mut message)) = (&self.authenticator, read(mail)) else {
            return Vec::new();
        };
        for header in &mut message.dkim_headers {
            // Judged by our clock already; and no other question is worth asking (RFC 6541, RFC 6651).
            header.header.x = 0;
            header.header.r = false;
            header.header.atps = None;
        }
        message.dkim_headers.truncate(SIGNATURES);
        let count = message.dkim_headers.len();
        let keys = GivenKeys(keys);
        let asked = authenticator.verify_dkim(Parameters::new(&message).with_txt_cache(&keys));
        // With every key given nothing is waited for.
        let Some(outputs) = asked.now_or_never() else { return Vec::new() };
        let skip = outputs.len().saturating_sub(count);
        outputs
            .iter()
            .skip(skip)
            .map(|output| match output.result() {
                DkimResult::Pass => SignatureVerdict::Pass,
                DkimResult::Neutral(error) | DkimResult::Fail(error) | DkimResult::PermError(error) => {
                    SignatureVerdict::Fail(in_words(error))
                }
                DkimResult::TempError(error) => SignatureVerdict::Untested(in_words(error)),
                DkimResult::None => SignatureVerdict::Fail("it says nothing".to_owned()),
            })
            .collect()
    }
}

/// Strict: signatures with `l=` end among the errors, so that their number costs no hashing.
fn read(mail: &[u8]) -> Option<AuthenticatedMessage<'_>> {
    AuthenticatedMessage::parse_with_opts(mail, None, true)
}

/// The header with the empty line behind it. Ends nowhere earlier than mail-auth's, which may end at a line
/// that is no header field.
fn header(mail: &[u8]) -> &[u8] {
    let mut start = 0;
    for at in memchr::memchr_iter(b'\n', mail) {
        if matches!(&mail[start..at], b"" | b"\r") {
            return &mail[..=at];
        }
        start = at + 1;
    }
    mail
}

/// A mail as it was on the wire: signatures are made over CRLF (RFC 6376 §5.3), files on Unix have LF.
fn with_network_line_ends(mail: &[u8]) -> Cow<'_, [u8]> {
    let bare = || memchr::memchr_iter(b'\n', mail).filter(|at| *at == 0 || mail[at - 1] != b'\r');
    let count = bare().count();
    if count == 0 {
        return Cow::Borrowed(mail);
    }
    let mut whole = Vec::with_capacity(mail.len() + count);
    let mut copied = 0;
    for at in bare() {
        whole.extend_from_slice(&mail[copied..at]);
        whole.push(b'\r');
        copied = at;
    }
    whole.extend_from_slice(&mail[copied..]);
    Cow::Owned(whole)
}

fn in_words(error: &Error) -> String {
    error.to_string().trim_end_matches('.').to_lowercase()
}

fn trimmed(name: &[u8]) -> &[u8] {
    name.trim_ascii()
}

fn unreadable() -> SignatureFacts {
    SignatureFacts {
        verdict: SignatureVerdict::Fail("the mail cannot be read".to_owned()),
        domain: String::new(),
        selector: String::new(),
        body_length: false,
        signed_headers: Vec::new(),
        key_services: None,
    }
}

/// A resolver without servers: what is not in [`GivenKeys`] can not be asked anywhere.
fn authenticator() -> Option<MessageAuthenticator> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let config = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
    let resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    resolver.with_tls_config(tls).build().ok().map(MessageAuthenticator)
}

/// Answers every question of mail-auth: with the key, or with an error.
struct GivenKeys(HashMap<Box<str>, Txt>);

impl mail_auth::ResolverCache<Box<str>, Txt> for GivenKeys {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let unknown = || Txt::Error(Error::Dns(DnsError::InvalidRecordType));
        Some(self.0.get(name).cloned().unwrap_or_else(unknown))
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: std::time::Instant) {}
}

#[cfg(test)]
mod tests;
