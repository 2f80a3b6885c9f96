//! What the mail around a report says of itself; whether it is true, [`super::authenticity`] judges.

/// Facts of the mail around a report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MailFacts {
    /// Domain of the From address, lower case.
    pub from_domain: Option<String>,
    /// `TLS-Report-Domain`, as written.
    pub report_domain: Option<String>,
    /// `TLS-Report-Submitter`, as written.
    pub report_submitter: Option<String>,
    /// Message-ID.
    pub message_id: Option<String>,
    /// Whether the report was found inside a forwarded message/rfc822 part: the outer signature says
    /// nothing about the reporter then (REP-008).
    pub forwarded: bool,
}
