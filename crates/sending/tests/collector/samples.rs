//! Recorded datagrams of the library and of real Postfix: each is counted, as its own JSON says.

use std::collections::BTreeMap;
use std::path::PathBuf;

use mailward_core::PolicyDomain;
use serde_json::Value;

use crate::house::{DAY, House, failure, success};

/// By domain: sessions that went well, those that did not, failures told.
type Sums = BTreeMap<String, [u64; 3]>;

/// What a datagram says, read without any code of ours.
fn told(datagram: &[u8], sums: &mut Sums) {
    let value: Value = serde_json::from_str(&String::from_utf8_lossy(datagram)).unwrap();
    let sum = sums.entry(value["d"].as_str().unwrap().to_ascii_lowercase()).or_default();
    for policy in value["policies"].as_array().unwrap() {
        sum[if policy["f"] == 0 { 0 } else { 1 }] += 1;
        sum[2] += policy["failure-details"].as_array().map_or(0, |list| list.len() as u64);
    }
}

fn recorded() -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/samples/datagrams");
    let files = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|e| e == "jsonl"));
    let lines =
        |path| std::fs::read(path).unwrap().split(|b| *b == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
    files.flat_map(lines).filter(|line| !line.is_empty()).collect()
}

/// In the forms that versions differ in: no `dpv`, no `policy-domain`, bytes that are no UTF-8, several
/// policies, failures of an attempt that went well elsewhere, long ones.
fn own() -> Vec<Vec<u8>> {
    let long: Vec<String> =
        (0..400).map(|n| format!("\"mx{n}.many.test with a rather long tail to it\"")).collect();
    let mut rows: Vec<Vec<u8>> = vec![
        success("ok.test"),
        success("OK.test"),
        failure("fail.test", "250-mx.fail.test at your service\r\n250 STARTTLS"),
        br#"{"d": "none.test","pr": "v=TLSRPTv1;","policies":[{"policy-type":9,"t":0,"f":0}]}"#.to_vec(),
        br#"{"d": "two.test","pr": "x","policies":[{"policy-type":1,"policy-string":["3 1 1 AB"],"f":0},{"policy-type":2,"f":1}]}"#.to_vec(),
        br#"{"d": "twice.test","pr": "x","policies":[{"policy-type":1,"failure-details":[{"c":204},{"c":999}],"t":2,"f":0}]}"#.to_vec(),
        format!(r#"{{"d": "many.test","pr": "x","policies":[{{"policy-type":2,"mx-host":[{}],"f":0}}]}}"#, long.join(","))
            .into_bytes(),
    ];
    let odd = [
        br#"{"d": "odd.test","pr": "v=TLSRPTv1 "#.as_slice(),
        b"\xff\xfe",
        br#"","policies":[{"policy-type":9,"f":1}],"new": {}}"#,
    ];
    rows.push(odd.concat());
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_session_is_counted() {
    let mut datagrams = own();
    let recorded = recorded();
    if recorded.is_empty() {
        eprintln!("there are no recorded datagrams beside the workspace; only our own rows are sent");
    }
    datagrams.extend(recorded);
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path()).await;
    let (server, mut truth) = (house.server(), Sums::new());
    server.set_nonblocking(false).unwrap();
    for datagram in &datagrams {
        // Twice, so that the second is known already.
        for _ in 0..2 {
            server.send(datagram).unwrap();
            told(datagram, &mut truth);
        }
    }
    for (name, sums) in &truth {
        house.until(DAY, name, sums[0] + sums[1]).await;
        let domain = PolicyDomain::parse(name).unwrap();
        let tally = house.store.tally(DAY, &domain).await.unwrap().unwrap();
        let sum = |f: &dyn Fn(&mailward_core::tlsrpt::tally::PolicyTally) -> u64| {
            tally.policies.iter().map(f).sum()
        };
        let seen: [u64; 3] =
            [sum(&|p| p.successful), sum(&|p| p.failed), sum(&|p| p.failures.iter().map(|(_, n)| n).sum())];
        assert_eq!(seen, *sums, "{name}");
    }
    assert_eq!(house.store.tally_overview(DAY, DAY).await.unwrap()[0].domains, truth.len() as u64);
    house.close().await;
}
