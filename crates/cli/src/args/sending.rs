//! The sending side: what a next hop must meet, what the operator says of it, what Postfix is told.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use mailward_core::delivery;
use mailward_store::outgoing::OutgoingState;

use super::{EXIT_CODES, ListPart};
use crate::config::ListenAddress;

/// What `policyd query --help` ends with.
const QUERY_EXIT_CODES: &str =
    "Exit codes: 0 fine (OK, NOTFOUND) · 2 usage or configuration (PERM) · 3 could not find out (TEMP)";

/// `lookup`
#[derive(Debug, Args)]
pub struct Lookup {
    /// The domain behind the @, or DOMAIN:PORT for another port than 25
    pub domain: String,
    /// Look now, also where a daemon runs; its cache is not asked
    #[arg(long)]
    pub live: bool,
    /// Ask the daemon here, and nobody else: unix:/path or address:port [default: policyd.listen]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "live")]
    pub socket: Option<ListenAddress>,
}

/// `policy`
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Say what mail to a domain requires, whatever the domain publishes
    #[command(after_help = EXIT_CODES)]
    Set {
        /// The domain behind the @
        domain: String,
        /// What is required
        #[arg(long, value_name = "WHAT")]
        require: Require,
        /// When it ends by itself: +14d, +6h, a date or a timestamp [default: when it is unset]
        #[arg(long, value_name = "WHEN")]
        until: Option<String>,
        /// Why, for the log, the page and the next person
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Who says so, for the log
        #[arg(long, value_name = "NAME", default_value = crate::commands::domain::AUTHOR)]
        author: String,
    },
    /// Go by what the domain publishes again
    #[command(after_help = EXIT_CODES)]
    Unset {
        /// The domain behind the @
        domain: String,
        /// Why, for the log
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Who says so, for the log
        #[arg(long, value_name = "NAME", default_value = crate::commands::domain::AUTHOR)]
        author: String,
    },
    /// List what is set; what ran out is marked
    #[command(after_help = EXIT_CODES)]
    List,
}

/// `policy set --require`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Require {
    /// A matching TLSA record at every mail server used
    Dane,
    /// The MTA-STS policy, as if it enforced; without one mail waits
    Sts,
    /// TLS; nobody is authenticated
    Encrypt,
    /// Nothing: TLS where it works. The way around a domain whose set-up is broken
    None,
}

impl From<Require> for delivery::Require {
    fn from(require: Require) -> Self {
        match require {
            Require::Dane => Self::Dane,
            Require::Sts => Self::Sts,
            Require::Encrypt => Self::Encrypt,
            Require::None => Self::None,
        }
    }
}

/// `policyd`
#[derive(Debug, Subcommand)]
pub enum Policyd {
    /// Ask the policy daemon as Postfix does, and print its answer as it stands
    #[command(after_help = QUERY_EXIT_CODES)]
    Query {
        /// What Postfix looks up: a next hop
        key: String,
        /// The map in the main.cf line: mailward, or mailward-tlsrpt for Postfix 3.10 and later
        #[arg(long, value_name = "NAME", default_value = "mailward")]
        map: String,
        /// Where: unix:/path or address:port [default: the first of policyd.listen]
        #[arg(long, value_name = "ADDRESS")]
        socket: Option<ListenAddress>,
    },
    /// Take over live policies from postfix-mta-sts-resolver or postfix-tlspol; the same again changes nothing
    #[command(after_help = EXIT_CODES)]
    Import {
        /// The SQLite cache of postfix-mta-sts-resolver, or the text of `postfix-tlspol -export`
        file: PathBuf,
    },
}

/// `report outgoing`
#[derive(Debug, Subcommand)]
pub enum Outgoing {
    /// List them, the newest first
    #[command(after_help = EXIT_CODES)]
    List {
        /// Only about this domain
        #[arg(long)]
        domain: Option<String>,
        /// Only of this UTC day
        #[arg(long, value_name = "DATE")]
        day: Option<jiff::civil::Date>,
        /// Only in this state: due, waiting, sent, refused, given-up, suppressed, or none (no report was made)
        #[arg(long, value_name = "STATE")]
        state: Option<OutgoingState>,
        #[command(flatten)]
        part: ListPart,
    },
    /// Show one, by its number or report-id: where it goes, what the answers were, what it says
    #[command(after_help = EXIT_CODES)]
    Show {
        /// Number or report-id
        id: String,
        /// Print the bytes that are sent (gzip)
        #[arg(long)]
        raw: bool,
    },
    /// Print the report about a domain as it would be made now; nothing is kept or sent
    #[command(after_help = EXIT_CODES)]
    Preview {
        /// The domain behind the @
        domain: String,
        /// The UTC day [default: today]
        #[arg(long, value_name = "DATE")]
        day: Option<jiff::civil::Date>,
    },
    /// Try every target of a report now that has not accepted it
    #[command(after_help = EXIT_CODES)]
    Send {
        /// Number or report-id
        id: String,
        /// Who says so, for the log
        #[arg(long, value_name = "NAME", default_value = crate::commands::domain::AUTHOR)]
        author: String,
    },
    /// Send no report to an address or a host
    #[command(after_help = EXIT_CODES)]
    Suppress {
        /// The address as written in the record (mailto:..., https://...), or a host
        #[arg(value_name = "URI|HOST")]
        what: String,
        /// When it ends by itself: +14d, a date or a timestamp [default: when it is unsuppressed]
        #[arg(long, value_name = "WHEN")]
        until: Option<String>,
        /// Why, for the log and the page
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Who says so, for the log
        #[arg(long, value_name = "NAME", default_value = crate::commands::domain::AUTHOR)]
        author: String,
    },
    /// Send to it again
    #[command(after_help = EXIT_CODES)]
    Unsuppress {
        /// The address or host, as it was suppressed
        #[arg(value_name = "URI|HOST")]
        what: String,
        /// Why, for the log
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// Who says so, for the log
        #[arg(long, value_name = "NAME", default_value = crate::commands::domain::AUTHOR)]
        author: String,
    },
    /// List what is suppressed, by whom and why
    #[command(after_help = EXIT_CODES)]
    Suppressed,
}
