//! The way from a leaf to an anchor.
//!
//! Breadth first over the certificates sent: each is reached once, by its shortest way. All conditions of
//! a certificate (dates, CA flag, path length, purpose, names) depend on it, on the leaf and on its
//! distance from the leaf only, so the search that leaves out what is faulty finds a way whenever there is
//! one, with at most one signature check for each pair of certificates. When there is none, the search is
//! repeated with less asked, to say what is wrong.

use jiff::Timestamp;
use x509_parser::extensions::{ParsedExtension, X509Extension};

use super::certificate::{Certificate, Signature};
use super::{ChainFault, der};

mod constraints;

/// What ends a path: trusted for reasons outside the chain, so that only name and key count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Anchor<'a> {
    /// Content of its Name; `None` for a bare key, which signs for whoever is named as issuer.
    pub(crate) subject: Option<&'a [u8]>,
    /// Content of its SubjectPublicKeyInfo.
    pub(crate) key: &'a [u8],
}

impl<'a> Anchor<'a> {
    /// An anchor from a certificate; `None` for names and keys that are no DER.
    pub(crate) fn of(certificate: &Certificate<'a>) -> Option<Self> {
        let subject = der::sequence_content(certificate.subject())?;
        Some(Self { subject: Some(subject), key: der::sequence_content(certificate.spki())? })
    }

    /// An anchor from a SubjectPublicKeyInfo.
    pub(crate) fn of_key(spki: &'a [u8]) -> Option<Self> {
        let key = der::sequence_content(spki)?;
        der::key_parts(key).map(|_| Self { subject: None, key })
    }
}

/// What the search asks of the certificates on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    /// Signatures and names of issuers only.
    Links,
    /// Also CA flag, path length, key usage, purpose, constraints and known critical extensions.
    Roles,
    /// Also dates.
    Everything,
}

/// A way found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    /// Positions in the chain, leaf first; the anchor is none of them (or stands for the last).
    pub(crate) certificates: Vec<usize>,
    /// Position of the anchor among the anchors.
    pub(crate) anchor: usize,
}

/// What the search came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A way, with everything that is wrong on it.
    Found(Path, Vec<ChainFault>),
    /// No way, and why.
    Lost(Lost),
}

/// Why there is no way to an anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Nobody has the name of the issuer at the end of the way.
    NoIssuer,
    /// Somebody has the name, and the signature is not theirs.
    BadSignature,
    /// Somebody has the name, and the signature is of a kind that is not verified.
    UnsupportedSignature,
}

/// One search: what was sent (leaf first), what is trusted, when.
pub(crate) struct Search<'s, 'a> {
    chain: &'s [Certificate<'a>],
    anchors: &'s [Anchor<'s>],
    now: Timestamp,
    /// Signature of the first certificate by the second, checked at most once.
    links: Vec<Vec<Option<Signature>>>,
    ends: Vec<Vec<Option<Signature>>>,
}

impl<'s, 'a> Search<'s, 'a> {
    pub(crate) fn new(chain: &'s [Certificate<'a>], anchors: &'s [Anchor<'s>], now: Timestamp) -> Self {
        let links = vec![vec![None; chain.len()]; chain.len()];
        let ends = vec![vec![None; anchors.len()]; chain.len()];
        Self { chain, anchors, now, links, ends }
    }

    /// The way without a fault if there is one, else the one with the least serious faults.
    pub(crate) fn run(mut self) -> Outcome {
        for asked in [Asked::Everything, Asked::Roles, Asked::Links] {
            if let Some(path) = self.walk(asked) {
                let faults = self.faults(&path);
                return Outcome::Found(path, faults);
            }
        }
        Outcome::Lost(self.lost())
    }

    fn walk(&mut self, asked: Asked) -> Option<Path> {
        // For each certificate reached: the one it was reached from, and the issuers passed until it.
        let mut reached: Vec<Option<(usize, u32)>> = vec![None; self.chain.len()];
        let mut queue = std::collections::VecDeque::new();
        if !self.chain.is_empty() && self.passes(0, 0, asked) {
            reached[0] = Some((0, 0));
            queue.push_back(0);
        }
        while let Some(here) = queue.pop_front() {
            if let Some(anchor) = (0..self.anchors.len()).find(|a| self.ends_at(here, *a)) {
                return Some(Path { certificates: way_to(here, &reached), anchor });
            }
            let passed = reached[here].map_or(0, |(_, passed)| passed);
            for next in 1..self.chain.len() {
                if reached[next].is_none() && self.passes(next, passed, asked) && self.links_to(here, next) {
                    // RFC 5280 §4.2.1.9: self-issued certificates do not count for the path length.
                    let counts = u32::from(!self.chain[next].is_self_issued());
                    reached[next] = Some((here, passed + counts));
                    queue.push_back(next);
                }
            }
        }
        None
    }

    /// Whether certificate `at`, with `below` issuers between it and the leaf, has no fault of those asked.
    fn passes(&self, at: usize, below: u32, asked: Asked) -> bool {
        (asked < Asked::Everything || self.date_fault(at).is_none())
            && (asked < Asked::Roles || self.role_fault(at, below).is_none())
    }

    fn links_to(&mut self, below: usize, above: usize) -> bool {
        let (lower, upper) = (&self.chain[below], &self.chain[above]);
        if lower.issuer() != upper.subject() {
            return false;
        }
        let verdict = *self.links[below][above].get_or_insert_with(|| {
            der::sequence_content(upper.spki()).map_or(Signature::Unsupported, |key| lower.signature_by(key))
        });
        verdict == Signature::Holds
    }

    fn ends_at(&mut self, below: usize, anchor: usize) -> bool {
        let (lower, upper) = (&self.chain[below], self.anchors[anchor]);
        if upper.subject.is_some_and(|subject| der::sequence_content(lower.issuer()) != Some(subject)) {
            return false;
        }
        *self.ends[below][anchor].get_or_insert_with(|| lower.signature_by(upper.key)) == Signature::Holds
    }

    fn faults(&self, path: &Path) -> Vec<ChainFault> {
        let mut faults = Vec::new();
        let mut below = 0;
        for &at in &path.certificates {
            for fault in [self.role_fault(at, below), self.date_fault(at)].into_iter().flatten() {
                if !faults.contains(&fault) {
                    faults.push(fault);
                }
            }
            below += u32::from(at != 0 && !self.chain[at].is_self_issued());
        }
        faults
    }

    fn date_fault(&self, at: usize) -> Option<ChainFault> {
        date_fault(&self.chain[at], self.now)
    }

    fn role_fault(&self, at: usize, below: u32) -> Option<ChainFault> {
        let certificate = &self.chain[at];
        extension_fault(certificate)
            .or_else(|| if at == 0 { None } else { issuer_fault(certificate, below) })
            .or_else(|| (!serves_tls(certificate)).then_some(ChainFault::Purpose))
            .or_else(|| constraints::fault(certificate, &self.chain[0], at))
    }

    /// The links walk with everything tried has filled the tables: what was met at the ends of the ways?
    fn lost(&self) -> Lost {
        let met = |verdict| {
            let is = |cell: &Option<Signature>| *cell == Some(verdict);
            self.links.iter().chain(&self.ends).flatten().any(is)
        };
        match () {
            () if met(Signature::Unsupported) => Lost::UnsupportedSignature,
            () if met(Signature::Fails) => Lost::BadSignature,
            () => Lost::NoIssuer,
        }
    }
}

fn way_to(end: usize, reached: &[Option<(usize, u32)>]) -> Vec<usize> {
    let mut way = vec![end];
    let mut at = end;
    while at != 0 {
        let Some((from, _)) = reached[at] else { break };
        way.push(from);
        at = from;
    }
    way.reverse();
    way
}

/// What the dates say at `now`; both ends belong to the validity (RFC 5280 §4.1.2.5).
pub(crate) fn date_fault(certificate: &Certificate<'_>, now: Timestamp) -> Option<ChainFault> {
    if now.as_second() > certificate.not_after.as_second() {
        Some(ChainFault::Expired(certificate.not_after))
    } else if now < certificate.not_before {
        Some(ChainFault::NotYetValid(certificate.not_before))
    } else {
        None
    }
}

/// RFC 5280 §4.2: a critical extension that is not understood, or that cannot be read, refuses the
/// certificate. So does any unreadable one of those that we act on.
fn extension_fault(certificate: &Certificate<'_>) -> Option<ChainFault> {
    certificate.parsed.extensions().iter().find(|extension| is_unusable(extension)).map(|extension| {
        ChainFault::Malformed(format!("extension {} is unreadable or critical and unknown", extension.oid))
    })
}

fn is_unusable(extension: &X509Extension<'_>) -> bool {
    match extension.parsed_extension() {
        ParsedExtension::ParseError { .. } => {
            extension.critical || is_acted_on(&extension.oid.to_id_string())
        }
        ParsedExtension::SubjectAlternativeName(_)
        | ParsedExtension::BasicConstraints(_)
        | ParsedExtension::KeyUsage(_)
        | ParsedExtension::ExtendedKeyUsage(_)
        | ParsedExtension::NameConstraints(_)
        | ParsedExtension::CertificatePolicies(_)
        | ParsedExtension::PolicyMappings(_)
        | ParsedExtension::PolicyConstraints(_)
        | ParsedExtension::InhibitAnyPolicy(_)
        | ParsedExtension::CRLDistributionPoints(_)
        | ParsedExtension::NSCertType(_) => false,
        _ => extension.critical,
    }
}

/// keyUsage, subjectAltName, basicConstraints, nameConstraints, extKeyUsage.
fn is_acted_on(oid: &str) -> bool {
    matches!(oid, "2.5.29.15" | "2.5.29.17" | "2.5.29.19" | "2.5.29.30" | "2.5.29.37")
}

/// RFC 5280 §6.1.4 (k) to (n): an issuer has the CA flag, room below it and leave to sign.
fn issuer_fault(certificate: &Certificate<'_>, below: u32) -> Option<ChainFault> {
    let mut is_ca = false;
    for extension in certificate.parsed.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(basic) => {
                is_ca = basic.ca && basic.path_len_constraint.is_none_or(|room| below <= room);
            }
            ParsedExtension::KeyUsage(usage) if !usage.key_cert_sign() => return Some(ChainFault::NotACa),
            _ => {}
        }
    }
    (!is_ca).then_some(ChainFault::NotACa)
}

/// RFC 5280 §4.2.1.12: without the extension every purpose is meant.
fn serves_tls(certificate: &Certificate<'_>) -> bool {
    certificate.parsed.extensions().iter().all(|extension| match extension.parsed_extension() {
        ParsedExtension::ExtendedKeyUsage(usage) => usage.any || usage.server_auth,
        _ => true,
    })
}
