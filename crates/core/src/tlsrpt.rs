//! TLS-RPT (RFC 8460): the record that asks for reports, the reports, and how they are counted.

pub mod authenticity;
pub mod datagram;
mod file_name;
pub mod lint;
pub mod mail_facts;
pub mod outgoing;
pub mod parse;
pub mod record;
pub mod report;
pub mod result_type;
pub mod seen;
pub mod tally;
mod uri;
pub mod write;

pub use authenticity::{
    Judgement, SignatureFacts, SignatureVerdict, contact_domain, content_hash, decide, judge, submitter,
};
pub use file_name::FileName;
pub use lint::{ReportLint, ReportVerdict, lint_report};
pub use mail_facts::MailFacts;
pub use parse::{Incoming, Limits, Parsed, parse};
pub use record::{RecordError, ReportUri, TlsrptRecord};
pub use report::{DateRange, FailureDetails, PolicyResult, PolicyType, Report};
pub use result_type::ResultType;
