//! The sending side in front of real mail servers: Postfix 3.7 of Debian 12 and 3.10 of Debian 13, as
//! `scripts/postfix` unpacks them, ask the real `mailward serve` before they deliver into the lab's world.
//!
//! Each test runs this very program again inside network, mount and process namespaces of its own. There
//! the world has its real ports, a real unbound validates, and whatever is started ends with the
//! namespace. What is asserted is what matters to the owner of the mail: where it arrived, how it was
//! protected on the way, or that it still waits.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(
    clippy::disallowed_methods,
    reason = "the binary under test runs on the system's clock, so tests do"
)]

mod cases;
mod chain;
mod chains;
mod changes;
mod client;
mod clock;
mod compile;
mod counts;
mod house;
mod kills;
mod mta;
mod namespace;
mod office;
mod receiver;
mod restart;

// The ways of the other whole-world tests.
#[path = "../system/command.rs"]
#[allow(dead_code, reason = "the other test program uses the rest")]
mod command;
#[path = "../system/daemon.rs"]
#[allow(dead_code, reason = "the other test program uses the rest")]
mod daemon;
#[path = "../system/http.rs"]
#[allow(dead_code, reason = "the other test program uses the rest")]
mod http;
#[path = "../system/mail_world.rs"]
#[allow(dead_code, reason = "the other test program uses the rest")]
mod mail_world;
#[path = "../system/wait.rs"]
#[allow(dead_code, reason = "the other test program uses the rest")]
mod wait;

use mta::Release;

/// Debian 12. No release before 3.10 takes the attributes for reports.
const OLD: Release = Release { version: "3.7", map: "mailward", listen: mta::Listen::Unix, tells: false };
/// Debian 13.
const NEW: Release =
    Release { version: "3.10", map: "mailward-tlsrpt", listen: mta::Listen::Inet, tells: true };

macro_rules! tests {
    ($($test:ident: $play:path, $release:expr;)*) => {
        $(#[test] fn $test() { namespace::inside(stringify!($test), $release, $play); })*
    };
}

tests! {
    what_becomes_of_mail_with_postfix_3_7: cases::play, OLD;
    what_becomes_of_mail_with_postfix_3_10: cases::play, NEW;
    policies_change_with_postfix_3_7: changes::play, OLD;
    policies_change_with_postfix_3_10: changes::play, NEW;
    the_daemon_dies_with_postfix_3_7: restart::play, OLD;
    the_daemon_dies_with_postfix_3_10: restart::play, NEW;
    dane_chains_of_the_vectors_with_postfix_3_7: chains::play, OLD;
    dane_chains_of_the_vectors_with_postfix_3_10: chains::play, NEW;
    counts_agree_from_sessions_to_reports_received: chain::play, NEW;
    sessions_told_by_libtlsrpt_are_counted: client::play, NEW;
    no_report_is_lost_or_doubled_by_a_hundred_kills: kills::play, NEW;
}
