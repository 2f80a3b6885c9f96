//! The command line. One definition feeds the parser, `--help`, man pages, completions and the
//! command reference of the manual.

mod sending;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::Timestamp;

pub use sending::{Lookup, Outgoing, Policy, Policyd};

/// What every `--help` ends with.
const EXIT_CODES: &str = "Exit codes: 0 fine · 1 findings at or above the threshold, or not safe · 2 usage or \
configuration · 3 could not find out (network, DNS, database)";

/// SMTP transport security, both sides: MTA-STS, DANE and TLS-RPT.
#[derive(Debug, Parser)]
#[command(name = "mailward", version, after_help = EXIT_CODES, propagate_version = true, disable_help_subcommand = true)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Configuration file [default: ./mailward.toml, then /etc/mailward/mailward.toml]
    #[arg(long, global = true, env = "MAILWARD_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one configuration value, such as dns.timeout=2s (repeatable)
    #[arg(long, global = true, value_name = "TABLE.KEY=VALUE")]
    pub set: Vec<String>,
    /// Print data as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Colours in the terminal; NO_COLOR is honoured
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// Every `--set` of a command line that was parsed already, in order, wherever it stands.
pub fn all_sets(arguments: impl Iterator<Item = String>) -> Vec<String> {
    let mut sets = vec![];
    let mut arguments = arguments.take_while(|a| a != "--");
    while let Some(argument) = arguments.next() {
        if argument == "--set" {
            sets.extend(arguments.next());
        } else if let Some(value) = argument.strip_prefix("--set=") {
            sets.push(value.to_owned());
        }
    }
    sets
}

/// `--color`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Audit domains from outside: who loses mail, since when, and the exact fix
    #[command(after_help = EXIT_CODES)]
    Check(Check),
    /// What a sender must do for this next hop right now, and why
    #[command(after_help = EXIT_CODES)]
    Lookup(Lookup),
    /// What a finding, a result type or a reason code means, who is at fault, how to mend it
    #[command(after_help = EXIT_CODES)]
    Explain {
        /// Such as STS-MX-001, certificate-host-mismatch or starttls-not-offered
        id: String,
    },
    /// Judge a text offline; nothing is looked up
    #[command(subcommand, after_help = EXIT_CODES)]
    Lint(Lint),
    /// Domains held: add, list, show, remove, apply a file
    #[command(subcommand, after_help = EXIT_CODES)]
    Domain(Domain),
    /// The records to publish for a domain held, in order, and whether the world sees them
    #[command(after_help = EXIT_CODES)]
    Dns {
        /// A domain held
        domain: String,
        /// How to print
        #[arg(long, default_value = "table", value_name = "FORMAT")]
        format: DnsFormat,
    },
    /// Is it safe to enforce? The gate with its evidence
    #[command(after_help = EXIT_CODES)]
    Rollout(Rollout),
    /// TLS-RPT reports: import, list, show, export
    #[command(subcommand, after_help = EXIT_CODES)]
    Report(Report),
    /// What mail to other domains requires by your word: set, unset, list
    #[command(subcommand, after_help = EXIT_CODES)]
    Policy(Policy),
    /// The policy daemon for Postfix: query it, import what another one knows
    #[command(subcommand, after_help = EXIT_CODES)]
    Policyd(Policyd),
    /// All domains held on one page
    #[command(after_help = EXIT_CODES)]
    Status,
    /// Run the daemon: every duty whose table is in the configuration
    #[command(after_help = EXIT_CODES)]
    Serve,
    /// A mail internet on loopback with the daemon against it, to look at and play with
    #[command(after_help = EXIT_CODES)]
    Demo(Demo),
    /// Check, show or write the configuration
    #[command(subcommand, after_help = EXIT_CODES)]
    Config(ConfigCommand),
    /// Access tokens of the dashboard and the API
    #[command(subcommand, after_help = EXIT_CODES)]
    Admin(Admin),
    /// Write man pages, completions and the command reference
    #[command(hide = true)]
    Generate {
        /// A directory, made if missing
        directory: PathBuf,
    },
}

/// `check`
#[derive(Debug, Args)]
pub struct Check {
    /// Domains
    #[arg(required_unless_present = "from")]
    pub domains: Vec<String>,
    /// Read domains from a file, one a line; - is standard input
    #[arg(long, value_name = "FILE")]
    pub from: Option<String>,
    /// Domains looked at at the same time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub jobs: u16,
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub format: CheckFormat,
    /// Exit 1 when a finding is at least this severe
    #[arg(long, value_name = "SEVERITY", default_value = "error")]
    pub fail_on: FailOn,
    /// Judge certificates as of a later day: +14d, +6h or a date
    #[arg(long, value_name = "WHEN")]
    pub at: Option<String>,
    /// Do not connect to mail servers
    #[arg(long)]
    pub no_smtp: bool,
}

/// `check --format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// For people.
    Human,
    /// One object, or an array for several domains.
    Json,
    /// One object a line, as they finish.
    Jsonl,
    /// JUnit XML.
    Junit,
    /// SARIF 2.1.0.
    Sarif,
    /// Prometheus text format.
    Prometheus,
}

/// `check --fail-on`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Warnings and errors.
    Warning,
    /// Errors.
    Error,
}

/// `dns --format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DnsFormat {
    /// For people.
    Table,
    /// Zone file lines.
    Zone,
    /// JSON.
    Json,
}

/// `rollout`
#[derive(Debug, Args)]
pub struct Rollout {
    /// A domain held
    pub domain: String,
    /// What to do
    #[arg(default_value = "show")]
    pub action: RolloutAction,
    /// With pass: the item of the gate, 1 to 11
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=11), required_if_eq("action", "pass"))]
    pub item: Option<u8>,
    /// With excuse: the result type of the failures
    #[arg(long = "type", value_name = "TYPE", required_if_eq("action", "excuse"))]
    pub result_type: Option<String>,
    /// With excuse: only failures at this MX
    #[arg(long, value_name = "HOST")]
    pub mx: Option<String>,
    /// With pass and excuse: why, for the log and the page
    #[arg(long, value_name = "TEXT", required_if_eq_any([("action", "pass"), ("action", "excuse")]))]
    pub reason: Option<String>,
}

/// `rollout DOMAIN ACTION`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RolloutAction {
    /// State, gate with evidence, next step and its earliest date
    Show,
    /// Pass one item of the gate by name; it stays visible
    Pass,
    /// Mark failures of a type as not ours; they stay visible
    Excuse,
}

/// `lint`
#[derive(Debug, Subcommand)]
pub enum Lint {
    /// The TXT records found at _mta-sts.<domain>
    #[command(after_help = EXIT_CODES)]
    StsRecord {
        /// Each argument is one TXT record; - reads one a line from standard input
        #[arg(required = true)]
        records: Vec<String>,
    },
    /// A policy file
    #[command(after_help = EXIT_CODES)]
    StsPolicy {
        /// A file; - is standard input
        file: String,
        /// An MX host to match against it (repeatable)
        #[arg(long, value_name = "HOST")]
        mx: Vec<String>,
    },
    /// The TXT records found at _smtp._tls.<domain>
    #[command(after_help = EXIT_CODES)]
    TlsrptRecord {
        /// Each argument is one TXT record; - reads one a line from standard input
        #[arg(required = true)]
        records: Vec<String>,
    },
    /// A TLS-RPT report: JSON, gzip, zip or a whole mail
    #[command(after_help = EXIT_CODES)]
    Report {
        /// A file; - is standard input
        file: String,
    },
    /// Will this certificate satisfy these TLSA records?
    #[command(after_help = EXIT_CODES)]
    Tlsa {
        /// A TLSA record: usage, selector, matching type, hex data (repeatable)
        #[arg(long, value_name = "U S M HEX", required = true)]
        record: Vec<String>,
        /// PEM file with the chain as sent, leaf first
        #[arg(long, value_name = "FILE")]
        chain: PathBuf,
        /// The TLSA base domain: the MX host
        #[arg(long, value_name = "HOST")]
        name: String,
        /// Judge dates as of this moment (RFC 3339)
        #[arg(long, value_name = "TIME")]
        at: Option<Timestamp>,
    },
}

/// `domain`
#[derive(Debug, Subcommand)]
pub enum Domain {
    /// Hold a domain: publish a policy for it and count its reports
    #[command(after_help = EXIT_CODES)]
    Add {
        /// The domain behind the @
        domain: String,
        /// An MX host or pattern of the policy (repeatable) [default: the MX records found]
        #[arg(long, value_name = "HOST")]
        mx: Vec<String>,
        /// A report address, such as mailto:tls@example.com (repeatable)
        #[arg(long, value_name = "URI")]
        rua: Vec<String>,
    },
    /// List the domains held
    #[command(after_help = EXIT_CODES)]
    List,
    /// Show one domain held: policy, history, log
    #[command(after_help = EXIT_CODES)]
    Show {
        /// A domain held
        domain: String,
    },
    /// Stop holding a domain; reports and history stay
    #[command(after_help = EXIT_CODES)]
    Remove {
        /// A domain held
        domain: String,
        /// Why, for the log
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// Make the domains held as a TOML file says: prints the difference, then applies it
    #[command(after_help = EXIT_CODES)]
    Apply {
        /// The file: [[domain]] name, mx, mode, max_age, rua
        file: PathBuf,
        /// Only print the difference
        #[arg(long)]
        dry_run: bool,
    },
}

/// Which part of a long list
#[derive(Debug, Clone, Copy, Args)]
pub struct ListPart {
    /// Go on below this number, as printed at the end of a page
    #[arg(long, value_name = "NUMBER")]
    pub before: Option<i64>,
    /// Rows on a page
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
}

/// `report`
#[derive(Debug, Subcommand)]
pub enum Report {
    /// Take in reports from files, folders or maildirs; the same again changes nothing
    #[command(after_help = EXIT_CODES)]
    Import {
        /// Files or folders of mails, JSON, gzip or zip
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// List reports, newest received first
    #[command(after_help = EXIT_CODES)]
    List {
        /// Only this domain
        #[arg(long)]
        domain: Option<String>,
        /// Only reports with failures
        #[arg(long)]
        failed: bool,
        #[command(flatten)]
        part: ListPart,
    },
    /// Show one report, by its number or report-id
    #[command(after_help = EXIT_CODES)]
    Show {
        /// Number or report-id
        id: String,
        /// Print the bytes as they arrived
        #[arg(long)]
        raw: bool,
    },
    /// Print every report: CSV rows of failures and totals, or JSON lines with --json
    #[command(after_help = EXIT_CODES)]
    Export,
    /// The reports that we send: list, show, preview, send, suppress
    #[command(subcommand, after_help = EXIT_CODES)]
    Outgoing(Outgoing),
}

/// `demo`
#[derive(Debug, Args)]
pub struct Demo {
    /// The scenario to play [default: a living world]
    pub scenario: Option<String>,
    /// List the scenarios
    #[arg(long)]
    pub list: bool,
    /// Play, print the story, exit; not 0 if it did not come out as told
    #[arg(long)]
    pub once: bool,
}

/// `config`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Is the configuration usable?
    #[command(after_help = EXIT_CODES)]
    Check,
    /// The values in force, defaults marked
    #[command(after_help = EXIT_CODES)]
    Show,
    /// A file with every key
    #[command(after_help = EXIT_CODES)]
    Example,
}

/// `admin`
#[derive(Debug, Subcommand)]
pub enum Admin {
    /// Access tokens
    #[command(subcommand, after_help = EXIT_CODES)]
    Token(Token),
}

/// `admin token`
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a token; it is printed once
    #[command(after_help = EXIT_CODES)]
    Create {
        /// A name to know it by
        name: String,
    },
    /// List tokens, without their secrets
    #[command(after_help = EXIT_CODES)]
    List,
    /// Remove a token
    #[command(after_help = EXIT_CODES)]
    Remove {
        /// Its name
        name: String,
    },
}

#[cfg(test)]
mod tests {
    #[test]
    fn options_before_and_after_the_subcommand_add_up() {
        let line = "--set a.b=1 serve --set=c.d=2 --set e.f=3 -- --set x=y";
        assert_eq!(super::all_sets(line.split(' ').map(str::to_owned)), ["a.b=1", "c.d=2", "e.f=3"]);
    }
}
