use jiff::Timestamp;
use mailward_core::PolicyDomain;
use mailward_core::mta_sts::StsPolicy;
use mailward_core::mta_sts::cache::CachedPolicy;

use super::super::entry::{Entry, Held, Key, moment};
use super::*;

const NOW: u32 = 1_800_000_000;

fn entry(domain: &str, mode: Option<&str>, used: u32) -> Packed {
    let mut entry = Entry::new(Key { domain: PolicyDomain::parse(domain).unwrap(), port: 25 });
    entry.used = used;
    entry.held = mode.map(|mode| {
        let body = format!("version: STSv1\nmode: {mode}\nmx: a.example\nmax_age: 604800\n").into_bytes();
        let policy = StsPolicy::parse(&body).unwrap();
        let at: Timestamp = moment(NOW - 1000);
        let cached = CachedPolicy { policy, id: "1".into(), fetched_at: at, record_seen_at: at };
        Held { cached, body }
    });
    entry.pack()
}

fn has(table: &Table, domain: &str) -> bool {
    table.with(domain.as_bytes(), 25, |_| ()).is_some()
}

#[test]
fn an_entry_is_found_by_domain_and_port() {
    let table = Table::new(1 << 20);
    table.put(entry("a.example", None, 5), NOW);
    assert!(has(&table, "a.example"));
    assert!(!has(&table, "b.example"));
    assert!(table.with(b"a.example", 26, |_| ()).is_none());
    let bytes = table.bytes();
    table.put(entry("a.example", None, 3), NOW);
    assert_eq!(
        table.with(b"a.example", 25, |packed| packed.number(at::USED)),
        Some(5),
        "the later use stays"
    );
    assert_eq!(table.bytes(), bytes);
    assert_eq!(table.by_level(), [0, 0, 0, 0, 0, 0, 0, 1]);
    (0..SHARDS).for_each(|shard| table.sweep(shard, |_| false));
    assert_eq!((table.bytes(), table.by_level()), (0, [0; LEVELS]));
}

/// A flood of domains without a policy, and more policies than there is room for.
#[test]
fn what_goes_first_is_what_protects_least() {
    let limit = 4_000_000;
    let table = Table::new(limit);
    let fresh = NOW - 10;
    for n in 0..1000 {
        table.put(entry(&format!("e{n}.example"), Some("enforce"), fresh), NOW);
        table.put(entry(&format!("t{n}.example"), Some("testing"), fresh), NOW);
        table.put(entry(&format!("o{n}.example"), Some("enforce"), NOW - 2 * DAY), NOW);
    }
    let kept = |sort: &str| (0..1000).filter(|n| has(&table, &format!("{sort}{n}.example"))).count();
    for n in 0..60_000 {
        table.put(entry(&format!("n{n}.example"), None, NOW - 5), NOW);
        assert!(table.bytes() <= limit as usize, "at {n}");
    }
    assert_eq!((kept("e"), kept("t"), kept("o")), (1000, 1000, 1000), "a flood drives out itself");
    assert!(table.evicted() > 30_000, "{}", table.evicted());
    for n in 0..20_000 {
        table.put(entry(&format!("x{n}.example"), Some("enforce"), fresh), NOW);
    }
    assert!(table.bytes() <= limit as usize);
    assert_eq!((kept("t"), kept("o")), (0, 0), "then what demands nothing, then what nobody asks for");
    assert!(kept("e") > 0, "of equals some stay");
}

#[test]
fn the_least_recently_used_goes() {
    let table = Table::new(600_000);
    for n in 0..10_000_u32 {
        table.put(entry(&format!("n{n}.example"), None, NOW - 20_000 + n), NOW);
    }
    let recent = (9_000..10_000).filter(|n| has(&table, &format!("n{n}.example"))).count();
    let old = (0..1_000).filter(|n| has(&table, &format!("n{n}.example"))).count();
    assert!(recent > 900 && old == 0, "{recent} of the last, {old} of the first");
}
