//! Where a domain wants its reports: its TLS-RPT record, looked up afresh (RFC 8460 §3).
//!
//! Asked by the reporter before it makes a report, and by the witness before it counts anything: who wants
//! no reports is not counted.

use mailward_core::PolicyDomain;
use mailward_core::dns::DnsError;
use mailward_core::tlsrpt::{TlsrptRecord, record};
use mailward_net::dns::Resolver;

/// Targets of one report; a record that lists more is no honest one.
const MOST_TARGETS: usize = 10;

/// What the record says.
pub(crate) enum Wanted {
    /// Reports, to each address of this record (reading A21).
    At(TlsrptRecord),
    /// None, for this reason. A broken record counts as none (reading B10).
    Nothing(String),
}

/// Looks it up.
///
/// # Errors
/// When the DNS does not say: then nothing is concluded.
pub(crate) async fn wanted(resolver: &Resolver, domain: &PolicyDomain) -> Result<Wanted, DnsError> {
    let Ok(name) = domain.tlsrpt_record_name() else {
        return Ok(Wanted::Nothing("its name leaves no room for _smtp._tls in front".into()));
    };
    let answer = resolver.txt(&name).await?;
    Ok(match record::lookup(&answer.records) {
        Ok(Some(mut found)) => {
            found.rua.truncate(MOST_TARGETS);
            Wanted::At(found)
        }
        Ok(None) => Wanted::Nothing("it publishes no TLS-RPT record".into()),
        Err(error) => Wanted::Nothing(format!("its TLS-RPT record cannot be used: {error}")),
    })
}
