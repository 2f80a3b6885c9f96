//! Under which names the TLSA records of a host may stand: its TLSA base domains (RFC 7672 §2.2.2, §2.2.3).
//!
//! The address answer of the host says it all, but for one case: aliases that lead out of signed zones
//! make the whole answer insecure, although the first of them may be signed. Who looks up has to ask
//! for that alias by itself then ([`Bases::IfAliasIsSecure`]). Names between the first and the last of a
//! chain of aliases are never tried.

use crate::DomainName;
use crate::dns::{Alias, DnssecStatus};

/// The candidates for the base domain, as far as the address answer tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bases {
    /// None: TLSA must not be asked for, since servers below an unsigned name may not even answer.
    None,
    /// The host itself, if the alias that stands there is secure; a CNAME question tells.
    IfAliasIsSecure,
    /// These, in this order. The first with secure records is the base domain; an error at one is the
    /// end of the search.
    InOrder(Vec<DomainName>),
}

/// The candidates for `host`, whose address answer had this status (the weakest along the chain) and
/// these aliases.
pub fn bases(host: &DomainName, status: DnssecStatus, aliases: &[Alias]) -> Bases {
    match (status, aliases.last()) {
        (DnssecStatus::Secure, None) => Bases::InOrder(vec![host.clone()]),
        // RFC 7672 §2.2.2: secure at every stage, so the expanded name first, then the original.
        (DnssecStatus::Secure, Some(last)) => Bases::InOrder(vec![last.target.clone(), host.clone()]),
        (DnssecStatus::Insecure, Some(_)) => Bases::IfAliasIsSecure,
        (DnssecStatus::Insecure, None) | (DnssecStatus::Bogus | DnssecStatus::Indeterminate, _) => {
            Bases::None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DnssecStatus::{Bogus, Indeterminate, Insecure, Secure};

    #[test]
    fn by_status_and_aliases() {
        let name = |text: &str| DomainName::parse(text).unwrap();
        let chain = |names: &[&str]| -> Vec<Alias> {
            names.windows(2).map(|w| Alias { owner: name(w[0]), target: name(w[1]) }).collect()
        };
        let in_order = |names: &[&str]| Bases::InOrder(names.iter().map(|n| name(n)).collect());
        for (what, status, names, expected) in [
            ("no alias", Secure, &["mx.a"][..], in_order(&["mx.a"])),
            ("one alias", Secure, &["mx.a", "mx.b"], in_order(&["mx.b", "mx.a"])),
            ("the middle is never tried", Secure, &["mx.a", "m.b", "mx.c"], in_order(&["mx.c", "mx.a"])),
            ("unsigned", Insecure, &["mx.a"], Bases::None),
            (
                "an alias into or through an unsigned zone",
                Insecure,
                &["mx.a", "mx.b"],
                Bases::IfAliasIsSecure,
            ),
            ("not known", Indeterminate, &["mx.a", "mx.b"], Bases::None),
            ("forged", Bogus, &["mx.a"], Bases::None),
        ] {
            assert_eq!(bases(&name("mx.a"), status, &chain(names)), expected, "{what}");
        }
    }
}
