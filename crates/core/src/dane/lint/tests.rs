use super::*;

#[test]
fn pem_blocks_are_read_in_order() {
    let block = |kind: &str, body: &str| format!("-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n");
    let two = block("CERTIFICATE", "MAA=")
        + "a comment\n"
        + &block("PRIVATE KEY", "MAE=")
        + &block("CERTIFICATE", "MAI=");
    assert_eq!(pem_chain(&two), Ok(vec![vec![0x30, 0], vec![0x30, 2]]));
    for (text, why) in [
        ("", PemError::Empty),
        ("no certificate at all", PemError::Empty),
        (&block("PRIVATE KEY", "MAA="), PemError::Empty),
        (&block("CERTIFICATE", "MAA=").repeat(101), PemError::TooMany(100)),
    ] {
        assert_eq!(pem_chain(text), Err(why));
    }
    for text in ["-----BEGIN CERTIFICATE-----\nMAA=\n", &block("CERTIFICATE", "!")] {
        assert!(matches!(pem_chain(text), Err(PemError::Broken(_))), "{text}");
    }
}

/// The vectors kept beside the workspace, where they are.
fn vectors() -> Option<serde_json::Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/vectors.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        eprintln!("skipped: no vectors beside the workspace");
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

fn strings(value: &serde_json::Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|v| v.as_str().unwrap().to_owned()).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

#[test]
fn shared_vectors_come_out() {
    let Some(file) = vectors() else { return };
    let all = file["vectors"].as_array().unwrap();
    let at = "2026-11-23T00:00:00Z".parse().unwrap();
    let mut counts = [0; 3];
    for vector in all {
        let Some(kind) = ["dane-chain", "tlsa-lint", "tlsa-wire"].iter().position(|k| vector["kind"] == *k)
        else {
            continue;
        };
        let (id, input) = (&vector["id"], &vector["input"]);
        if let Some(rdata) = input["rdata_hex"].as_str() {
            let unusable = Tlsa::from_wire(&unhex(rdata)).and_then(|record| record.usable());
            assert!(unusable.is_err(), "{id}");
            counts[kind] += 1;
        }
        if !input.is_object() || input["tlsa"].is_null() {
            continue;
        }
        let of = all.iter().find(|v| v["id"] == input["chain_of"] && !v["id"].is_null()).unwrap_or(vector);
        let chain = pem_chain(&strings(&of["input"]["chain_pem"]).join("\n")).unwrap();
        let name = input["name"].as_str().or(input["reference_name"].as_str()).unwrap();
        let records = strings(&input["tlsa"]);
        let linted = lint(&records, &chain, &DomainName::parse(name).unwrap(), at);
        assert_eq!(linted.verdict, vector["expect"], "{id}: {linted:#?}");
        let ids: Vec<&str> = linted.findings.iter().map(|f| f.id.as_str()).collect();
        for wanted in strings(&vector["findings"]) {
            assert!(ids.contains(&wanted.as_str()), "{id}: {wanted} not in {ids:?}");
        }
        let has_error = linted.findings.iter().any(|f| f.severity == Severity::Error);
        assert_eq!(has_error, linted.verdict != "match", "{id}: {ids:?}");
        counts[kind] += usize::from(input["rdata_hex"].is_null());
    }
    // Three rows of tlsa-lint are statements without a chain.
    assert_eq!(counts, [54, 22, 7]);
}
