//! One addition: sessions are summed up, compared with what is stored, capped and written.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::civil::Date;
use mailward_core::PolicyDomain;
use mailward_core::tlsrpt::datagram::{SessionFailure, SessionPolicy};
use mailward_core::tlsrpt::tally::Digest;

use super::texts::{Texts, kind_text, policy_text};
use super::*;
use crate::columns::number;
use crate::engine::Value;

/// Sessions by day and domain.
pub(super) struct Addition<'a>(BTreeMap<(Date, &'a PolicyDomain), DomainSum<'a>>);

struct DomainSum<'a> {
    record: &'a str,
    policies: BTreeMap<(Digest, TallySource), PolicySum<'a>>,
}

struct PolicySum<'a> {
    policy: &'a SessionPolicy,
    sessions: Sessions,
    failures: BTreeMap<Digest, (&'a SessionFailure, u64)>,
}

#[derive(Clone, Copy, Default)]
struct Sessions {
    successful: u64,
    failed: u64,
}

impl Sessions {
    fn add(&mut self, other: Self) {
        self.successful = self.successful.saturating_add(other.successful);
        self.failed = self.failed.saturating_add(other.failed);
    }
}

/// What is stored of a domain on a day.
#[derive(Default)]
struct Stored {
    /// Of its row; `None` when there is none.
    row: Option<(i64, i64, i64)>,
    policies: HashSet<i64>,
    kinds: HashSet<(i64, TallySource, i64)>,
}

/// Rows to write.
#[derive(Default)]
struct Rows {
    domains: Vec<[Value; 5]>,
    open: Vec<[Value; 1]>,
    tallies: BTreeMap<(i64, i64, TallySource), Sessions>,
    failures: BTreeMap<(i64, i64, TallySource, i64), u64>,
    days: BTreeMap<Date, i64>,
    sums: BTreeMap<(Date, String, TallySource), Sessions>,
}

impl<'a> Addition<'a> {
    pub(super) fn of(increments: &'a [Increment]) -> Self {
        let mut domains: BTreeMap<_, DomainSum<'a>> = BTreeMap::new();
        for increment in increments {
            let sum = domains
                .entry((increment.day, &increment.domain))
                .or_insert_with(|| DomainSum { record: "", policies: BTreeMap::new() });
            sum.record = &increment.record;
            let policy =
                sum.policies.entry((increment.policy.digest(), increment.source)).or_insert_with(|| {
                    PolicySum {
                        policy: &increment.policy,
                        sessions: Sessions::default(),
                        failures: BTreeMap::new(),
                    }
                });
            policy.sessions.add(Sessions { successful: increment.successful, failed: increment.failed });
            for (kind, count) in &increment.failures {
                let entry = policy.failures.entry(kind.digest()).or_insert((kind, 0));
                entry.1 = entry.1.saturating_add(*count);
            }
        }
        Self(domains)
    }

    pub(super) async fn run(self, write: &mut Write) -> Result<()> {
        let mut texts = Texts::lock(write, self.digests()).await?;
        let stored = self.stored(&texts, write).await?;
        let nothing = Stored::default();
        let mut rows = Rows::default();
        for ((day, domain), sum) in &self.0 {
            let digest = domain_digest(domain);
            let known = texts.find(&digest).and_then(|number| stored.get(&at(*day, number)));
            let number = texts.number(&digest, *day, || Ok(domain.as_str().to_owned()))?;
            let mut domain = Capped {
                at: at(*day, number),
                day: *day,
                domain,
                stored: known.unwrap_or(&nothing),
                policies: known.and_then(|k| k.row).map_or(0, |row| row.1),
                kinds: known.and_then(|k| k.row).map_or(0, |row| row.2),
                new_policies: HashSet::new(),
            };
            for ((digest, source), policy) in &sum.policies {
                domain.add(&mut texts, &mut rows, digest, *source, policy)?;
            }
            let record = texts.number(&record_digest(sum.record), *day, || Ok(sum.record.to_owned()))?;
            domain.save(&mut rows, number, record);
        }
        texts.save(write).await?;
        rows.save(write).await
    }

    /// Of every text that may be needed.
    fn digests(&self) -> HashSet<Digest> {
        let mut digests = HashSet::new();
        for ((_, domain), sum) in &self.0 {
            digests.extend([domain_digest(domain), record_digest(sum.record)]);
            for ((digest, _), policy) in &sum.policies {
                digests.extend([*digest, without_texts(policy.policy, domain).digest()]);
                for (digest, (kind, _)) in &policy.failures {
                    digests.extend([*digest, kind.other().digest()]);
                }
            }
        }
        digests
    }

    async fn stored(&self, texts: &Texts, write: &mut Write) -> Result<HashMap<i64, Stored>> {
        // A domain without a number is new, and nothing is stored of it.
        let known =
            |(day, domain): &(Date, &PolicyDomain)| Some(at(*day, texts.find(&domain_digest(domain))?));
        let all: Vec<Value> = self.0.keys().filter_map(known).map(Value::from).collect();
        let found: Vec<(i64, i64, i64, i64)> = write.all_of_list(KNOWN_DOMAINS, all).await?;
        let mut stored: HashMap<i64, Stored> = HashMap::with_capacity(found.len());
        for (at, record, policies, kinds) in found {
            stored.entry(at).or_default().row = Some((record, policies, kinds));
        }
        let there: Vec<Value> = stored.keys().copied().map(Value::from).collect();
        let policies: Vec<(i64, i64)> = write.all_of_list(KNOWN_POLICIES, there).await?;
        for (at, policy) in policies {
            stored.entry(at).or_default().policies.insert(policy);
        }
        // Kinds of a text never seen before are new, and `other` always has room: who makes up a new text
        // for each session does not make us read those before.
        let matters = |(digest, (kind, _)): (&Digest, &(&SessionFailure, u64))| {
            texts.find(digest).is_some() && kind.other() != **kind
        };
        let failing =
            self.0.iter().filter(|(_, sum)| sum.policies.values().flat_map(|p| &p.failures).any(matters));
        let failing = failing
            .filter_map(|(key, _)| known(key))
            .filter(|at| stored.get(at).and_then(|s| s.row).is_some_and(|(_, _, kinds)| kinds > 0));
        let failing: Vec<Value> = failing.map(Value::from).collect();
        let kinds: Vec<(i64, i64, i64, i64)> = write.all_of_list(KNOWN_KINDS, failing).await?;
        for (at, policy, from, kind) in kinds {
            stored.entry(at).or_default().kinds.insert((policy, source(from)?, kind));
        }
        Ok(stored)
    }
}

/// A domain on a day while it is added to, with how much of its caps is used.
struct Capped<'a> {
    at: i64,
    day: Date,
    domain: &'a PolicyDomain,
    stored: &'a Stored,
    policies: i64,
    kinds: i64,
    /// Told apart since, by this addition.
    new_policies: HashSet<i64>,
}

impl Capped<'_> {
    fn add(
        &mut self,
        texts: &mut Texts,
        rows: &mut Rows,
        digest: &Digest,
        source: TallySource,
        sum: &PolicySum<'_>,
    ) -> Result<()> {
        let policy = self.policy(texts, digest, sum.policy)?;
        rows.tallies.entry((self.at, policy, source)).or_default().add(sum.sessions);
        if source != TallySource::Probe {
            let policy_type = sum.policy.policy_type.as_str().to_owned();
            rows.sums.entry((self.day, policy_type, source)).or_default().add(sum.sessions);
        }
        for (digest, (kind, sessions)) in &sum.failures {
            let kind = self.kind(texts, rows, (policy, source), digest, kind)?;
            let count = rows.failures.entry((self.at, policy, source, kind)).or_default();
            *count = count.saturating_add(*sessions);
        }
        Ok(())
    }

    /// The number of the policy under which sessions count.
    fn policy(&mut self, texts: &mut Texts, digest: &Digest, policy: &SessionPolicy) -> Result<i64> {
        let plain = without_texts(policy, self.domain);
        let known = texts
            .find(digest)
            .is_some_and(|n| self.stored.policies.contains(&n) || self.new_policies.contains(&n));
        if !known && plain != *policy {
            if self.policies >= POLICIES_A_DAY as i64 {
                return texts.number(&plain.digest(), self.day, || policy_text(&plain));
            }
            self.policies += 1;
        }
        let number = texts.number(digest, self.day, || policy_text(policy))?;
        self.new_policies.insert(number);
        Ok(number)
    }

    /// The number of the kind under which a failure counts.
    fn kind(
        &mut self,
        texts: &mut Texts,
        rows: &Rows,
        (policy, source): (i64, TallySource),
        digest: &Digest,
        kind: &SessionFailure,
    ) -> Result<i64> {
        let other = kind.other();
        let known = texts.find(digest).is_some_and(|n| {
            self.stored.kinds.contains(&(policy, source, n))
                || rows.failures.contains_key(&(self.at, policy, source, n))
        });
        if !known && other != *kind {
            if self.kinds >= KINDS_A_DAY as i64 {
                return texts.number(&other.digest(), self.day, || kind_text(&other));
            }
            self.kinds += 1;
        }
        texts.number(digest, self.day, || kind_text(kind))
    }

    fn save(self, rows: &mut Rows, domain: i64, record: i64) {
        let row = (record, self.policies, self.kinds);
        if self.stored.row != Some(row) {
            rows.domains.push([self.at, domain, row.0, row.1, row.2].map(Value::from));
        }
        if self.stored.row.is_none() {
            rows.open.push([self.at.into()]);
            *rows.days.entry(self.day).or_default() += 1;
        }
    }
}

impl Rows {
    async fn save(self, write: &mut Write) -> Result<()> {
        write.run_rows(PUT_DOMAINS, self.domains).await?;
        write.run_rows(OPEN, self.open).await?;
        let tallies = self.tallies.into_iter().map(|((at, policy, source), sessions)| {
            let [successful, failed] = [sessions.successful, sessions.failed].map(number);
            [at, policy, source_number(source), successful, failed].map(Value::from)
        });
        write.run_rows(ADD_POLICIES, tallies.collect()).await?;
        let failures = self.failures.into_iter().map(|((at, policy, source, kind), sessions)| {
            [at, policy, source_number(source), kind, number(sessions)].map(Value::from)
        });
        write.run_rows(ADD_KINDS, failures.collect()).await?;
        let days = self.days.into_iter().map(|(day, domains)| [day_number(day), domains].map(Value::from));
        write.run_rows(ADD_DAYS, days.collect()).await?;
        let sums = self.sums.into_iter().map(|((day, policy_type, source), sessions)| {
            let [successful, failed] = [sessions.successful, sessions.failed].map(|n| number(n).into());
            [day_number(day).into(), policy_type.into(), source_number(source).into(), successful, failed]
        });
        write.run_rows(ADD_SUMS, sums.collect()).await
    }
}
