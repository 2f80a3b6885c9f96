//! The window through which the dashboard sees the running policy cache: its words in those of the pages.

use mailward_core::PolicyDomain;
use mailward_core::delivery::Override;
use mailward_sending::policy::{Document, OperatorLine, Policies, Recent, SCHEMA, Source};
use mailward_web::{CacheSize, Explaining, Lookup, LookupHost, OperatorWord, RecentDecision, Sending};

use crate::config::ListenAddress;

/// Where MX hosts of a next hop without a port are asked.
const PORT: u16 = 25;

/// The window.
pub struct Window {
    policies: Policies,
    listen: Vec<ListenAddress>,
}

impl Window {
    /// Onto this cache, which Postfix asks there.
    pub fn new(policies: Policies, listen: Vec<ListenAddress>) -> Self {
        Self { policies, listen }
    }
}

impl Sending for Window {
    fn places(&self) -> Vec<String> {
        self.listen.iter().map(ListenAddress::as_postfix_writes_it).collect()
    }

    fn size(&self) -> CacheSize {
        let counts = self.policies.counts();
        CacheSize {
            entries: counts.entries,
            bytes: counts.bytes,
            lookups: counts.lookups,
            evicted: counts.evicted,
        }
    }

    fn recent(&self) -> Vec<RecentDecision> {
        self.policies.recent().into_iter().map(decision).collect()
    }

    fn explain<'a>(&'a self, domain: &'a PolicyDomain) -> Explaining<'a> {
        Box::pin(async move { lookup(self.policies.explain(domain, PORT).await) })
    }
}

fn decision(recent: Recent) -> RecentDecision {
    let Recent { at, domain, port, decision, level, trace, took_ms } = recent;
    RecentDecision { at, domain, port, decision, level, trace, took_ms }
}

fn lookup(document: Document) -> Lookup {
    let host = |line: mailward_sending::policy::HostLine| LookupHost {
        host: line.host,
        allowed: line.allowed,
        requirement: line.requirement,
        why: line.why,
    };
    let word = |line: OperatorLine| OperatorWord {
        over: Override { require: line.require, until: line.until, reason: line.reason },
        author: line.author,
    };
    Lookup {
        schema: SCHEMA,
        domain: document.domain,
        decision: document.decision,
        policy: document.policy,
        mx: document.mx.into_iter().map(host).collect(),
        postfix: document.postfix,
        postfix_tlsrpt: document.postfix_tlsrpt,
        operator: document.operator.map(word),
        expires_at: document.expires_at,
        trace: document.trace,
        source: match document.source {
            Source::Cache => "cache",
            Source::Live => "live",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The API and `mailward lookup --json` tell the same document.
    #[test]
    fn a_document_keeps_every_word() {
        let text = serde_json::json!({
            "schema": SCHEMA, "domain": "a.example", "decision": "mta-sts-enforce",
            "policy": {"mode": "enforce", "mx": ["*.a.example"], "max_age": 86400, "extensions": []},
            "mx": [{"host": "mx.a.example", "allowed": true, "requirement": "TLS", "why": "it matches"}],
            "postfix": "OK secure", "postfix_tlsrpt": "OK secure policy_type=sts",
            "operator": {"require": "sts", "until": "2026-11-25T00:00:00Z", "reason": "agreed", "author": "anna"},
            "expires_at": "2026-11-26T00:00:00Z", "trace": ["one", "so two"], "source": "cache",
        });
        let document: Document = serde_json::from_value(text.clone()).unwrap();
        assert_eq!(serde_json::to_value(&document).unwrap(), text, "the row is a whole document");
        assert_eq!(serde_json::to_value(lookup(document)).unwrap(), text);
    }
}
