use std::collections::BTreeMap;

use super::*;
use crate::chain::ChainFault;
use crate::facts::FetchCause;
use crate::tlsrpt::ResultType;

fn sentences(text: &str) -> usize {
    text.split_inclusive(['.', ';']).filter(|part| part.trim().len() > 8).count()
}

#[test]
fn every_name_is_explained_in_three_sentences() {
    let names = all_names();
    for name in &names {
        let found = explain(name).unwrap();
        let whole = sentences(&found.meaning) + sentences(&found.fault) + found.mend.len();
        assert!(whole >= 3, "{name}: {found:#?}");
        assert!(!found.meaning.is_empty() && !found.fault.is_empty() && !found.mend.is_empty(), "{name}");
        assert!(found.fault.ends_with('.'), "{name}: {}", found.fault);
        if let Some(stands_for) = &found.stands_for {
            assert!(
                ResultType::REGISTERED.iter().any(|known| known.as_str() == stands_for),
                "{name}: {stands_for}"
            );
        }
    }
    assert!(names.len() > 250, "{}", names.len());
}

#[test]
fn no_name_means_two_things() {
    let mut seen = BTreeMap::new();
    for name in all_names() {
        assert_eq!(seen.insert(normal(&name), ()), None, "{name} stands twice");
    }
}

#[test]
fn result_types_explain_themselves() {
    for result_type in ResultType::REGISTERED {
        let found = explain(result_type.as_str()).unwrap();
        assert_eq!((found.id.as_str(), found.stands_for), (result_type.as_str(), None));
    }
}

#[test]
fn every_reason_code_of_ours_is_known() {
    let at = jiff::Timestamp::UNIX_EPOCH;
    let chain = [
        ChainFault::Expired(at),
        ChainFault::NotYetValid(at),
        ChainFault::HostMismatch(Vec::new()),
        ChainFault::UnknownIssuer,
        ChainFault::SelfSigned,
        ChainFault::IncompleteChain,
        ChainFault::BadSignature,
        ChainFault::NotACa,
        ChainFault::Purpose,
        ChainFault::Malformed(String::new()),
    ];
    let fetch = [
        FetchCause::Dns,
        FetchCause::Connect,
        FetchCause::PrivateAddress,
        FetchCause::Tls("handshake_failure".into()),
        FetchCause::Status(404),
        FetchCause::Redirect(301, "https://www.example.com/".into()),
        FetchCause::MediaType(None),
        FetchCause::Encoding("gzip".into()),
        FetchCause::TooLarge,
        FetchCause::Timeout,
        FetchCause::Http(String::new()),
    ];
    let codes = chain
        .iter()
        .map(|fault| fault.reason_code().to_owned())
        .chain(fetch.iter().map(FetchCause::reason_code));
    let words = [
        "sts-mx-mismatch",
        "plaintext-after-starttls",
        "record-lookup",
        "bogus-mx",
        "bogus-address",
        "bogus-tlsa",
        "tlsa-unusable",
        "tlsa-no-match",
        "tls-eof",
        "tls-alert-protocol_version",
    ];
    for code in codes.chain(words.map(str::to_owned)) {
        let found = explain(&code).unwrap_or_else(|unknown| panic!("{code}: {unknown}"));
        assert!(found.stands_for.is_some(), "{code}");
    }
}

#[test]
fn what_people_paste_is_found() {
    for (asked, proper, stands_for) in [
        ("sts-mx-001", "STS-MX-001", Some("validation-failure")),
        ("STS-TXT-001", "STS-TXT-001", None),
        ("Certificate_Expired", "certificate-expired", None),
        (" \"validation-failure\" ", "validation-failure", None),
        ("starttls-not-offered", "starttls-not-offered", Some("starttls-not-supported")),
        ("certificate-not-for-domain", "certificate-not-for-domain", Some("certificate-host-mismatch")),
        ("sts-policy-fetch", "sts-policy-fetch", Some("sts-policy-fetch-error")),
        (
            "Server certificate not verified",
            "server-certificate-not-verified",
            Some("certificate-not-trusted"),
        ),
        ("http-404", "http-status", Some("sts-policy-fetch-error")),
        ("450 4.7.323", "450-4.7.323", Some("tlsa-invalid")),
    ] {
        let found = explain(asked).unwrap();
        assert_eq!((found.names[0].as_str(), found.stands_for.as_deref()), (proper, stands_for), "{asked}");
        assert_eq!(found.id, asked.trim());
    }
}

#[test]
fn the_unknown_names_the_nearest() {
    for (asked, nearest) in [
        ("sts-txt-0001", "STS-TXT-001"),
        ("certificate-exipred", "certificate-expired"),
        ("starttls", "no-starttls"),
        ("dane-requird", "dane-required"),
    ] {
        let unknown = explain(asked).unwrap_err();
        assert_eq!((unknown.nearest[0].as_str(), unknown.nearest.len()), (nearest, 3), "{asked}");
    }
    for hostile in ["", "\u{1b}[2J", &"x".repeat(100_000)] {
        let unknown = explain(hostile).unwrap_err();
        assert!(unknown.to_string().len() < 1200 && !unknown.to_string().contains('\u{1b}'));
    }
}

#[test]
fn the_form_is_the_documented_one() {
    let json = serde_json::to_value(explain("SMTP-003").unwrap()).unwrap();
    let members: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        members,
        ["schema", "id", "names", "title", "meaning", "fault", "mend", "stands_for", "reference"]
    );
    assert_eq!(json["schema"], "mailward.explain/1");
}
