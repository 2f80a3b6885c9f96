//! The verdict of the web PKI, with everything that is wrong.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage};

use super::certificate::{Certificate, read_chain};
use super::name::{self, CommonName};
use super::path::{self, Anchor, Lost, Outcome, Path, Search};
use super::signatures::Held;
use super::{ChainFault, TrustAnchors};
use crate::DomainName;

/// Everything that keeps `chain` (DER, leaf first) from speaking for `host` at `now`; empty means it does
/// (RFC 8461 §4.2).
pub fn verify_web_pki(
    chain: &[Vec<u8>],
    anchors: &TrustAnchors,
    host: &DomainName,
    now: Timestamp,
) -> Vec<ChainFault> {
    // RFC 8461 §4.2: the name in a DNS-ID, never in the common name.
    verify(chain, anchors, now, |leaf| {
        (!name::names(leaf, host, CommonName::Ignored)).then(|| name::presented(leaf))
    })
}

/// The same for a server that is known by its address alone: a URI of RFC 3986 §3.2.2 with an IP-literal.
pub fn verify_web_pki_address(
    chain: &[Vec<u8>],
    anchors: &TrustAnchors,
    address: IpAddr,
    now: Timestamp,
) -> Vec<ChainFault> {
    // RFC 9110 §4.3.5: in an IP-ID, octet for octet; an address in a DNS-ID is none.
    verify(chain, anchors, now, |leaf| {
        let presented: Vec<IpAddr> = leaf.ip_ids().collect();
        let shown = || presented.iter().map(ToString::to_string).chain(name::presented(leaf));
        (!presented.contains(&address)).then(|| shown().take(name::NAMES_SHOWN).collect())
    })
}

/// `mismatch` is what the leaf presents instead, when it does not name its server.
fn verify(
    chain: &[Vec<u8>],
    anchors: &TrustAnchors,
    now: Timestamp,
    mismatch: impl FnOnce(&Certificate<'_>) -> Option<Vec<String>>,
) -> Vec<ChainFault> {
    let certificates = match read_chain(chain) {
        Ok(certificates) => certificates,
        Err(error) => return vec![ChainFault::Malformed(error.to_string())],
    };
    let Some(leaf) = certificates.first() else { return vec![ChainFault::Malformed("no leaf".into())] };
    let mut faults = path_faults(&certificates, anchors, now);
    if let Some(fault) = path::date_fault(leaf, now)
        && !faults.contains(&fault)
    {
        faults.insert(0, fault);
    }
    faults.extend(mismatch(leaf).map(ChainFault::HostMismatch));
    faults
}

fn path_faults(chain: &[Certificate<'_>], anchors: &TrustAnchors, now: Timestamp) -> Vec<ChainFault> {
    let trusted: Vec<Anchor<'_>> = anchors
        .as_slice()
        .iter()
        .map(|anchor| Anchor {
            subject: Some(&anchor.subject),
            key: &anchor.subject_public_key_info,
            // webpki judges the constraints of its anchors itself.
            refuses: false,
        })
        .collect();
    let mut search = Search::knowing(Some(anchors.known()), chain, now);
    match search.run(&trusted) {
        Outcome::Found(path, faults) if faults.is_empty() => {
            last_word(chain, &path, anchors, search.held(), now).err().into_iter().collect()
        }
        Outcome::Found(_, faults) => faults,
        Outcome::Lost(lost) => vec![untrusted(chain, lost)],
    }
}

/// webpki on the way that was found, and only on that: given a whole hostile chain, it would try every
/// order of certificates with the same name. The signatures on that way were checked when it was found.
fn last_word(
    chain: &[Certificate<'_>],
    path: &Path,
    anchors: &TrustAnchors,
    held: &Held<'_>,
    now: Timestamp,
) -> Result<(), ChainFault> {
    let der: Vec<CertificateDer<'_>> = path
        .certificates
        .iter()
        .filter_map(|at| chain.get(*at))
        .map(|c| CertificateDer::from(c.der))
        .collect();
    let Some((leaf, issuers)) = der.split_first() else { return Ok(()) };
    let Some(anchor) = anchors.as_slice().get(path.anchor..=path.anchor) else { return Ok(()) };
    let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.as_second()).unwrap_or(0)));
    let leaf = EndEntityCert::try_from(leaf).map_err(fault_of)?;
    let algorithms = held.algorithms();
    let algorithms: Vec<&dyn SignatureVerificationAlgorithm> = algorithms.iter().map(|a| a as _).collect();
    leaf.verify_for_usage(&algorithms, anchor, issuers, time, KeyUsage::server_auth(), None, None)
        .map(|_| ())
        .map_err(|error| match error {
            // A server's own certificate that is a CA: refused by the web PKI, allowed nowhere else either.
            Error::CaUsedAsEndEntity if chain.first().is_some_and(Certificate::signs_itself) => {
                ChainFault::SelfSigned
            }
            error => fault_of(error),
        })
}

fn fault_of(error: Error) -> ChainFault {
    let time = |t: UnixTime| {
        i64::try_from(t.as_secs()).ok().and_then(|s| Timestamp::from_second(s).ok()).unwrap_or_default()
    };
    match error {
        Error::CertExpired { not_after, .. } => ChainFault::Expired(time(not_after)),
        Error::CertNotValidYet { not_before, .. } => ChainFault::NotYetValid(time(not_before)),
        Error::UnknownIssuer => ChainFault::UnknownIssuer,
        Error::CaUsedAsEndEntity | Error::EmptyEkuExtension | Error::RequiredEkuNotFoundContext(_) => {
            ChainFault::Purpose
        }
        Error::EndEntityUsedAsCa | Error::PathLenConstraintViolated => ChainFault::NotACa,
        Error::InvalidSignatureForPublicKey => ChainFault::BadSignature,
        other => ChainFault::Malformed(words(&other)),
    }
}

fn words(error: &Error) -> String {
    match error {
        Error::UnsupportedCertVersion => "the certificate is not of X.509 version 3".to_owned(),
        Error::UnsupportedCriticalExtension => "a critical extension is not understood".to_owned(),
        Error::NameConstraintViolation => "a name lies outside the name constraints of an issuer".to_owned(),
        Error::MaximumPathDepthExceeded => "there are too many issuers between leaf and anchor".to_owned(),
        other => other.to_string(),
    }
}

fn untrusted(chain: &[Certificate<'_>], lost: Lost) -> ChainFault {
    let leaf_signs_itself = chain.first().is_some_and(Certificate::signs_itself);
    match lost {
        _ if leaf_signs_itself => ChainFault::SelfSigned,
        Lost::BadSignature => ChainFault::BadSignature,
        Lost::UnsupportedSignature => ChainFault::Malformed(
            "a signature of the chain is of a kind that is not verified any more".into(),
        ),
        Lost::NoIssuer if chain.iter().all(|other| other.der == chain[0].der) => ChainFault::IncompleteChain,
        Lost::NoIssuer => ChainFault::UnknownIssuer,
    }
}

#[cfg(test)]
mod tests;
