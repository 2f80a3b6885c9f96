//! A line of Postfix' TLS policy table, read as Postfix 3.10 reads it: `LEVEL name=value …`, a value with
//! blanks in braces. A word that it does not know makes the whole line invalid, and mail waits.

/// `smtp_tls_security_level`, for this next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// TLS if it works.
    May,
    /// TLS, whoever it is.
    Encrypt,
    /// By TLSA records where there are some, else as `May`.
    Dane,
    /// By TLSA records, or not at all.
    DaneOnly,
    /// With a trusted certificate for a name of the policy.
    Secure,
}

/// What the policy daemon wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TlsPolicy {
    pub level: Level,
    /// Names that certificates may show.
    pub names: Vec<String>,
    /// Of MTA-STS: whose policy it is, its lines and its patterns, for reports.
    pub sts: Option<Sts>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sts {
    pub domain: String,
    pub lines: Vec<String>,
    pub patterns: Vec<String>,
}

impl TlsPolicy {
    fn level(level: Level) -> Self {
        Self { level, names: vec![], sts: None }
    }

    /// Nothing is demanded.
    pub(super) fn may() -> Self {
        Self::level(Level::May)
    }

    /// Whether an MX host may be used. Postfix from 3.10.5 on goes by the patterns (RFC 8461 §4.1: a star is
    /// one label), and by the names where there are none.
    pub(super) fn allows(&self, host: &str) -> bool {
        let patterns = self.sts.as_ref().map_or(&[][..], |sts| &sts.patterns);
        let matches = |pattern: &String| match pattern.strip_prefix("*.") {
            Some(base) => host.split_once('.').is_some_and(|(_, rest)| rest == base),
            None => pattern == host,
        };
        if patterns.is_empty() { self.names.iter().any(|n| n == host) } else { patterns.iter().any(matches) }
    }
}

/// Reads a reply; why mail waits.
pub(super) fn read(reply: &str) -> Result<TlsPolicy, String> {
    let (status, data) = reply.split_once(' ').unwrap_or((reply, ""));
    match status {
        "OK" => line(data).ok_or_else(|| format!("the policy daemon's answer is not understood: {data}")),
        // smtp_tls_security_level = dane, as the manual has it.
        "NOTFOUND" => Ok(TlsPolicy::level(Level::Dane)),
        _ => Err(format!("the policy daemon says {reply}")),
    }
}

fn line(text: &str) -> Option<TlsPolicy> {
    let mut words = words(text)?.into_iter();
    let mut policy = TlsPolicy::level(match words.next()?.as_str() {
        "may" => Level::May,
        "encrypt" => Level::Encrypt,
        "dane" => Level::Dane,
        "dane-only" => Level::DaneOnly,
        "secure" => Level::Secure,
        _ => return None,
    });
    let mut policy_type = None;
    let mut sts = Sts::default();
    for word in words {
        let (name, value) = word.split_once('=')?;
        let (name, value) = (name.trim(), value.trim().to_owned());
        match name {
            "match" if policy.level == Level::Secure => {
                policy.names = value.split(':').map(str::to_owned).collect();
            }
            "servername" if value == "hostname" => {}
            "policy_type" => policy_type = Some(value),
            "policy_domain" => sts.domain = value,
            "policy_string" => sts.lines.push(value),
            "mx_host_pattern" => sts.patterns.push(value),
            _ => return None,
        }
    }
    match policy_type.as_deref() {
        Some("sts") => policy.sts = Some(sts),
        Some("no-policy-found") | None if sts == Sts::default() => {}
        _ => return None,
    }
    Some(policy)
}

/// Words between blanks; what stands in braces is one.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('{') {
            Some(inside) => inside.split_once('}')?,
            None => rest.split_at(rest.find(' ').unwrap_or(rest.len())),
        };
        words.push(word.trim().to_owned());
        rest = after.trim_start();
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_with_everything() {
        let reply = "OK secure match=mx1.b.test:mx2.b.test servername=hostname policy_type=sts policy_domain=b.test \
            { policy_string = version: STSv1 } { policy_string = mx: *.b.test } mx_host_pattern=*.b.test";
        let policy = read(reply).unwrap();
        assert_eq!((policy.level, policy.names.len()), (Level::Secure, 2));
        let sts = policy.sts.clone().unwrap();
        assert_eq!(sts.domain, "b.test");
        assert_eq!(sts.lines, ["version: STSv1", "mx: *.b.test"]);
        for (host, allowed) in [("mx9.b.test", true), ("a.mx9.b.test", false), ("b.test", false)] {
            assert_eq!(policy.allows(host), allowed, "{host}");
        }
        let by_names = read("OK secure match=mx1.b.test servername=hostname").unwrap();
        assert!(by_names.allows("mx1.b.test") && !by_names.allows("mx9.b.test"));
    }

    #[test]
    fn levels_and_what_is_no_answer() {
        for (reply, level) in [
            ("NOTFOUND ", Some(Level::Dane)),
            ("OK may", Some(Level::May)),
            ("OK encrypt", Some(Level::Encrypt)),
            ("OK dane", Some(Level::Dane)),
            ("OK dane-only", Some(Level::DaneOnly)),
            ("TEMP b.test: no answer from the DNS", None),
            ("PERM unknown map", None),
            ("OK", None),
            ("OK strict", None),
            ("OK dane match=b.test", None),
            ("OK secure match=b.test unknown=1", None),
            ("OK secure match=b.test { policy_string = a", None),
            ("OK secure match=b.test policy_domain=b.test", None),
            ("OK secure match=b.test policy_type=tlsa", None),
        ] {
            assert_eq!(read(reply).ok().map(|policy| policy.level), level, "{reply}");
        }
    }
}
