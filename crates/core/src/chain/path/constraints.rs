//! Name constraints of issuers (RFC 5280 §4.2.1.10), as far as they bear on a server's names.
//!
//! DNS names are compared. Of the other kinds only presence is known here: a constraint on a kind that the
//! leaf has refuses it, a constraint on a kind that it has not says nothing.

use std::mem::{Discriminant, discriminant};

use x509_parser::extensions::{GeneralName, GeneralSubtree, NameConstraints, ParsedExtension};

use crate::chain::ChainFault;
use crate::chain::certificate::Certificate;

/// Comparisons made for one issuer; more are refused rather than skipped.
const MAX_COMPARISONS: usize = 100_000;

/// What is wrong with the names of `leaf` under `issuer`.
pub(super) fn fault(issuer: &Certificate<'_>, leaf: &Certificate<'_>) -> Option<ChainFault> {
    let violated = issuer.parsed.extensions().iter().any(|extension| match extension.parsed_extension() {
        ParsedExtension::NameConstraints(constraints) => violates(leaf, constraints),
        _ => false,
    });
    violated.then(outside)
}

/// The fault of names that an issuer may not vouch for.
pub(super) fn outside() -> ChainFault {
    ChainFault::Malformed("a name lies outside the name constraints of an issuer".to_owned())
}

fn violates(leaf: &Certificate<'_>, constraints: &NameConstraints<'_>) -> bool {
    let permitted = constraints.permitted_subtrees.as_deref().unwrap_or_default();
    let excluded = constraints.excluded_subtrees.as_deref().unwrap_or_default();
    if leaf.general_names().count().saturating_mul(permitted.len() + excluded.len()) > MAX_COMPARISONS {
        return true;
    }
    leaf.general_names().any(|name| match name {
        GeneralName::DNSName(name) => {
            let (permitted, excluded) = (dns_subtrees(permitted), dns_subtrees(excluded));
            let mut permitted = permitted.peekable();
            (permitted.peek().is_some() && !permitted.any(|base| is_below(name, base)))
                || excluded.into_iter().any(|base| is_below(name, base))
        }
        other => {
            let kind = discriminant(other);
            has_kind(permitted, kind) || has_kind(excluded, kind)
        }
    })
}

fn dns_subtrees<'a>(subtrees: &'a [GeneralSubtree<'a>]) -> impl Iterator<Item = &'a str> {
    subtrees.iter().filter_map(|subtree| match subtree.base {
        GeneralName::DNSName(base) => Some(base),
        _ => None,
    })
}

fn has_kind<'a>(subtrees: &[GeneralSubtree<'a>], kind: Discriminant<GeneralName<'a>>) -> bool {
    subtrees.iter().any(|subtree| discriminant(&subtree.base) == kind)
}

/// Whether `name` is `base` or has more labels on its left; a leading dot asks for at least one more.
fn is_below(name: &str, base: &str) -> bool {
    let Some(start) = name.len().checked_sub(base.len()) else { return false };
    let (Some(front), Some(end)) = (name.get(..start), name.get(start..)) else { return false };
    end.eq_ignore_ascii_case(base)
        && if base.starts_with('.') {
            !front.is_empty()
        } else {
            front.is_empty() || front.ends_with('.') || base.is_empty()
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtrees_respect_label_borders() {
        for (name, base, expected) in [
            ("mail.example.com", "example.com", true),
            ("example.com", "EXAMPLE.com", true),
            ("*.example.com", "example.com", true),
            ("mail.example.com", ".example.com", true),
            ("example.com", ".example.com", false),
            ("badexample.com", "example.com", false),
            ("example.com", "mail.example.com", false),
            ("example.com", "", true),
            ("büexample.com", "üexample.com", false),
        ] {
            assert_eq!(is_below(name, base), expected, "{name} below {base}");
        }
    }
}
