//! What stands in the query of an address, read the same way for pages and documents: the empty text is
//! nothing asked for, and what cannot be read is said with its name.

use std::str::FromStr;

use jiff::civil::Date;
use mailward_core::PolicyDomain;
use mailward_store::outgoing::{OutgoingFilter, OutgoingState};

use crate::failure::Failure;
use crate::words;

/// A domain, as people write it.
pub(crate) fn domain(text: &str) -> Result<Option<PolicyDomain>, Failure> {
    match text.trim() {
        "" => Ok(None),
        text => PolicyDomain::parse(text).map(Some).map_err(|e| {
            Failure::BadRequest(format!("domain: {:?} is no domain: {e}", words::cut(text, 300)))
        }),
    }
}

/// A number.
pub(crate) fn number<T: FromStr>(name: &str, text: &str) -> Result<Option<T>, Failure> {
    parsed(text, || format!("{name}: {:?} is no number that fits", words::cut(text, 100)))
}

/// A day.
pub(crate) fn day(name: &str, text: &str) -> Result<Option<Date>, Failure> {
    parsed(text, || format!("{name}: {:?} is no day such as 2026-11-24", words::cut(text, 100)))
}

fn parsed<T: FromStr>(text: &str, why: impl Fn() -> String) -> Result<Option<T>, Failure> {
    match text.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| Failure::BadRequest(why())),
    }
}

/// Which outgoing reports.
pub(crate) fn outgoing(of_domain: &str, of_day: &str, state: &str) -> Result<OutgoingFilter, Failure> {
    let state = match state.trim() {
        "" => None,
        word => Some(
            word.parse::<OutgoingState>()
                .map_err(|why| Failure::BadRequest(format!("state: {}", words::cut(&why, 300))))?,
        ),
    };
    Ok(OutgoingFilter { domain: domain(of_domain)?, day: day("day", of_day)?, state })
}
