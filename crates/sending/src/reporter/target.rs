//! An address of a record as a target: whose host it is, and what is asked at most a few times at once.

use mailward_core::DomainName;
use mailward_core::tlsrpt::ReportUri;
use mailward_store::outgoing::MAIL_LANE;

/// Host and lane.
pub(super) fn host_and_lane(uri: &ReportUri) -> (String, String) {
    let host = uri.host();
    let lane = match uri {
        ReportUri::Mailto { .. } => MAIL_LANE.to_owned(),
        ReportUri::Https(_) => host.clone(),
    };
    (host, lane)
}

/// A mailbox with its domain in A-labels, so that an internationalised domain alone asks nothing of the
/// servers on the way (RFC 6531 is for local parts).
pub(super) fn with_a_labels(mailbox: &str) -> String {
    match mailbox.rsplit_once('@').map(|(local, domain)| (local, DomainName::parse(domain))) {
        Some((local, Ok(domain))) => format!("{local}@{domain}"),
        _ => mailbox.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_a_labels_and_local_parts_stay() {
        for (mailbox, written) in [
            ("Tls@B.example", "Tls@b.example"),
            ("tls@bücher.example", "tls@xn--bcher-kva.example"),
            ("größe@bücher.example", "größe@xn--bcher-kva.example"),
            ("\"a@b\"@c.example", "\"a@b\"@c.example"),
        ] {
            assert_eq!(with_a_labels(mailbox), written);
        }
    }

    #[test]
    fn hosts_and_lanes() {
        for (uri, host, lane) in [
            ("mailto:a@B.example", "b.example", "mail"),
            ("mailto:a%40x@b.example", "b.example", "mail"),
            ("mailto:a@b%C3%BCcher.example", "xn--bcher-kva.example", "mail"),
            ("https://R.example:8443/x?y=/z", "r.example", "r.example"),
            ("https://r.example.?q", "r.example", "r.example"),
            ("https://[2001:db8::1]:443/x", "[2001:db8::1]", "[2001:db8::1]"),
        ] {
            let Ok(uri) = ReportUri::parse(uri) else { continue };
            assert_eq!(host_and_lane(&uri), (host.to_owned(), lane.to_owned()), "{uri}");
        }
    }
}
