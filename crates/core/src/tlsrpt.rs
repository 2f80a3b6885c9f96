//! TLS-RPT (RFC 8460): the record that asks for reports, the reports, and how they are counted.

pub mod parse;
pub mod record;
pub mod report;
pub mod result_type;
pub mod write;

pub use parse::{Incoming, Limits, Parsed, parse};
pub use record::{ReportUri, TlsrptRecord};
pub use report::{DateRange, FailureDetails, PolicyResult, PolicyType, Report};
pub use result_type::ResultType;
