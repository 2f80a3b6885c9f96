//! What changed between two audits: what the monitor tells and what `check --since` prints.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::Finding;

/// What changed between two audits, by finding id and subject.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// New since the last.
    pub added: Vec<Finding>,
    /// In both, as found now.
    pub sustained: Vec<Finding>,
    /// Gone, as found then.
    pub removed: Vec<Finding>,
}

/// Compares two audits' findings. Message and severity may change without making a finding new: it is
/// the same trouble as long as id and subject are the same.
pub fn compare(before: &[Finding], after: &[Finding]) -> Difference {
    fn keys(findings: &[Finding]) -> BTreeSet<(&str, &str)> {
        findings.iter().map(key).collect()
    }
    fn key(finding: &Finding) -> (&str, &str) {
        (finding.id.as_str(), finding.subject.as_str())
    }
    let (old, new) = (keys(before), keys(after));
    let (sustained, added) = after.iter().cloned().partition(|finding| old.contains(&key(finding)));
    let removed = before.iter().filter(|finding| !new.contains(&key(finding))).cloned().collect();
    Difference { added, sustained, removed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Severity;

    #[test]
    fn same_id_and_subject_is_the_same_trouble() {
        let finding =
            |id: &str, subject: &str, message: &str| Finding::new(id, Severity::Warning, subject, message);
        let before = [
            finding("SMTP-003", "mx1.example.com 192.0.2.1", "then"),
            finding("SMTP-009", "mx1.example.com", "then"),
        ];
        let after = [
            finding("SMTP-003", "mx1.example.com 192.0.2.1", "now"),
            finding("SMTP-003", "mx1.example.com 192.0.2.2", "now"),
        ];
        let difference = compare(&before, &after);
        assert_eq!(difference.added, [after[1].clone()]);
        assert_eq!(difference.sustained, [after[0].clone()]);
        assert_eq!(difference.removed, [before[1].clone()]);
        assert_eq!(compare(&[], &[]), Difference::default());
    }
}
