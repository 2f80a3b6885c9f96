//! The certificate chains of the shared vectors, presented by MX hosts with their TLSA records in signed zones:
//! what a real Postfix behind our policy daemon does with the mail must be what the vector says, and what our
//! own verdict is.
//!
//! Nobody has the private keys of these chains (they are OpenSSL's test data), so a server cannot present
//! them: `twin` makes each again with keys of our own. Without the vectors there is nothing to do here; the
//! DANE rows of `cases` run everywhere.

mod twin;

use std::path::Path;

use mailward_lab::Behaviour::Good;
use mailward_lab::{CertificateKind, Identity, Security, World};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;

use self::twin::{Workshop, unhex};
use crate::command::{run, shared};
use crate::house::{House, Site};
use crate::mta::{Release, Submission};

/// A chain with its records, as it is staged.
struct Case {
    id: String,
    /// Next hop, MX host and reference name in one. As long as the name in the vectors.
    domain: String,
    records: Vec<String>,
    identity: Identity,
    expect: String,
}

pub fn play(release: Release) {
    let Some(path) = shared("vectors/vectors.json") else {
        return println!("skipped: no vectors beside the workspace");
    };
    let cases = cases(&path);
    assert_eq!(cases.len(), 54);
    let house = House::build(release, |world| cases.iter().for_each(|case| furnish(world, case)));
    let mut submission = Submission::open();
    for case in &cases {
        submission.mail(&recipient(case), &case.id);
    }
    let wrong: Vec<String> = cases.iter().filter_map(|case| look(&house, case).err()).collect();
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(!house.postfix.log().contains("status=bounced"), "{}", house.postfix.log());
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn cases(path: &Path) -> Vec<Case> {
    let document: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let vectors = document["vectors"].as_array().unwrap();
    let vectors: Vec<&Value> = vectors.iter().filter(|vector| vector["kind"] == "dane-chain").collect();
    let chain = |vector: &Value| -> Vec<Vec<u8>> {
        let pem = texts(&vector["input"]["chain_pem"]).join("\n");
        CertificateDer::pem_slice_iter(pem.as_bytes()).map(|der| der.unwrap().to_vec()).collect()
    };
    let records = || vectors.iter().flat_map(|vector| texts(&vector["input"]["tlsa"]));
    let raw = |selector: &str| {
        let all = records().filter_map(|record| {
            let parts: Vec<&str> = record.split(' ').collect();
            (parts[1] == selector && parts[2] == "0").then(|| unhex(parts[3]))
        });
        all.collect::<Vec<_>>()
    };
    let certificates = vectors.iter().flat_map(|vector| chain(vector)).chain(raw("0"));
    let workshop = Workshop::new(certificates, raw("1"));
    let case = |vector: &&Value| {
        let id = vector["id"].as_str().unwrap().to_owned();
        let domain = format!("dane{}.test", &id[id.len() - 2..]);
        let originals = chain(vector);
        let twins = originals.iter().map(|der| CertificateDer::from(workshop.twin(der, &domain))).collect();
        Case {
            records: texts(&vector["input"]["tlsa"]).iter().map(|r| workshop.record(r, &domain)).collect(),
            identity: Identity::made_elsewhere(twins, workshop.private_key(&originals[0])).unwrap(),
            expect: vector["expect"].as_str().unwrap().to_owned(),
            domain,
            id,
        }
    };
    vectors.iter().map(case).collect()
}

fn furnish(world: &World, case: &Case) {
    let domain = &case.domain;
    Site::new(world, domain, Security::Signed);
    let address = world.mx(domain, Good, CertificateKind::Good).unwrap();
    world.mx_hosts.set_certificate(address, case.identity.clone());
    world.set(domain, "MX", &[&format!("10 {domain}.")]).unwrap();
    let records: Vec<&str> = case.records.iter().map(String::as_str).collect();
    world.set(&format!("_25._tcp.{domain}"), "TLSA", &records).unwrap();
}

fn recipient(case: &Case) -> String {
    format!("someone@{}", case.domain)
}

/// What our own verdict is.
fn verdict(house: &House, case: &Case) -> String {
    let file = house.world.directory.join(format!("{}.pem", case.id));
    std::fs::write(&file, case.identity.certificate_pem()).unwrap();
    let file = file.display().to_string();
    let mut arguments = vec!["lint", "tlsa", "--json", "--name", &case.domain, "--chain", &file];
    for record in &case.records {
        arguments.extend(["--record", record]);
    }
    run(&arguments).json()["verdict"].as_str().unwrap().to_owned()
}

fn look(house: &House, case: &Case) -> Result<(), String> {
    let recipient = recipient(case);
    let attempt = house.postfix.next_attempt(&recipient, 0);
    let log = house.postfix.log();
    let established =
        |how: &str| log.contains(&format!("{how} TLS connection established to {}[", case.domain));
    // RFC 7672 §2.2: what cannot be used demands TLS, and no more.
    let right = match case.expect.as_str() {
        "match" => attempt.status == "sent" && established("Verified"),
        "unusable" => attempt.status == "sent" && !established("Verified"),
        _ => attempt.status == "deferred" && attempt.reason.contains("Server certificate not verified"),
    };
    let arrived = house.arrived(&recipient);
    let encrypted = arrived.len() == usize::from(attempt.status == "sent")
        && arrived.iter().all(|(_, tls)| tls.is_some());
    let verdict = verdict(house, case);
    if right && encrypted && verdict == case.expect {
        return Ok(());
    }
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(&case.domain)).collect();
    Err(format!(
        "{}: the vector says {}, our verdict is {verdict}, Postfix {attempt:?}, arrived {arrived:?}; policyd says {:?}\n{}",
        case.id,
        case.expect,
        house.ask(&case.domain),
        lines.join("\n")
    ))
}
