use super::*;

const SUCCESS: &str = r#"{"dpv": "1","d": "A.Example.","pr": "v=TLSRPTv1; rua=mailto:r@a.example","policies":[{"policy-type":2,"policy-domain": "a.example","policy-string":["version: STSv1","mode: enforce"],"mx-host":["*.a.example"],"t":0,"f":0}]}"#;

fn with(policies: &str) -> String {
    format!(r#"{{"d": "a.example","pr": "v=TLSRPTv1; rua=mailto:r@a.example","policies":{policies}}}"#)
}

fn failing(details: &str) -> String {
    with(&format!(r#"[{{"policy-type":9,"failure-details":[{details}],"t":1,"f":1}}]"#))
}

#[test]
fn a_success_is_read_whole() {
    let read = parse(SUCCESS.as_bytes()).unwrap();
    assert_eq!((read.domain.as_str(), read.odd_version), ("a.example", None));
    assert_eq!(read.record, "v=TLSRPTv1; rua=mailto:r@a.example");
    let [session] = &read.policies[..] else { panic!("one policy") };
    assert!(!session.failed && session.failures.is_empty());
    assert_eq!(session.policy.policy_type, PolicyType::Sts);
    assert_eq!(session.policy.policy_string, ["version: STSv1", "mode: enforce"]);
    assert_eq!(session.policy.mx_host, ["*.a.example"]);
}

#[test]
fn accepted() {
    let deep = format!(r#"[{{"policy-type":1,"f":0,"new":{}{}}}]"#, "[".repeat(5), "]".repeat(5));
    for (policies, why) in [
        (r#"[{"policy-type":9,"f":0}]"#, "no policy domain"),
        (r#"[{"policy-type":9,"f":1}]"#, "a failure without details"),
        (r#"[{"policy-type":1,"f":0},{"policy-type":2,"f":1}]"#, "two policies"),
        (r#"[{"policy-type":9,"f":0,"t":7,"new":{"a":[1]}}]"#, "unknown members"),
        (r#"[{"policy-type":9,"policy-domain": "not a name","f":0}]"#, "a policy domain that is none"),
        (deep.as_str(), "eight deep"),
    ] {
        let read = parse(with(policies).as_bytes());
        assert!(read.is_ok(), "{why}: {read:?}");
        let [session, ..] = &read.as_ref().unwrap().policies[..] else { panic!("{why}") };
        assert_eq!(session.policy.policy_domain.as_str(), "a.example", "{why}");
    }
    let other = parse(SUCCESS.replace(r#""1""#, r#""2""#).as_bytes()).unwrap();
    assert_eq!(other.odd_version.as_deref(), Some("2"), "counted, and told");
}

#[test]
fn rejected() {
    let long = format!("{}{}", SUCCESS, " ".repeat(LIMIT));
    let bomb = "[".repeat(100_000);
    let deep = with(&format!(r#"[{{"policy-type":1,"f":0,"new":{}{}}}]"#, "[".repeat(6), "]".repeat(6)));
    let missing = |member: &str| SUCCESS.replace(member, r#""x":"#);
    for (bytes, why) in [
        (String::new(), Rejected::Empty),
        (long, Rejected::TooLong),
        (bomb, Rejected::TooDeep),
        (deep, Rejected::TooDeep),
        ("7".to_owned(), Rejected::NoJson),
        ("[]".to_owned(), Rejected::NoJson),
        ("null".to_owned(), Rejected::NoJson),
        (format!("{SUCCESS}x"), Rejected::NoJson),
        (missing(r#""d":"#), Rejected::NoJson),
        (missing(r#""pr":"#), Rejected::NoJson),
        (missing(r#""policies":"#), Rejected::NoJson),
        (SUCCESS.replace(r#""A.Example.""#, "null"), Rejected::NoJson),
        (SUCCESS.replace("A.Example.", "a b"), Rejected::NoDomain),
        (SUCCESS.replace("A.Example.", "192.0.2.1"), Rejected::NoDomain),
        (with("[]"), Rejected::NoPolicies),
        (with(r#"[{"policy-type":3,"f":0}]"#), Rejected::PolicyType),
        (with(r#"[{"policy-type":9,"f":2}]"#), Rejected::Result),
        (with(r#"[{"policy-type":9}]"#), Rejected::NoJson),
    ] {
        assert_eq!(parse(bytes.as_bytes()), Err(why), "{}", &bytes[..bytes.len().min(120)]);
    }
}

#[test]
fn failures() {
    let full = r#"{"c":204,"s": "127.0.0.1","n": "mx.a.example","h": "250-mx.a.example hello [id 7]\r\n250 SIZE","r": "2001:DB8::1","a": "https://x","f": "why"}"#;
    let read = parse(failing(full).as_bytes()).unwrap();
    assert_eq!(
        read.policies[0].failures,
        [SessionFailure {
            result_type: ResultType::CertificateExpired,
            sending_mta_ip: "127.0.0.1".parse().ok(),
            receiving_mx_hostname: Some("mx.a.example".into()),
            receiving_mx_helo: Some("mx.a.example hello [id 7]".into()),
            receiving_ip: "2001:db8::1".parse().ok(),
            additional_information: Some("https://x".into()),
            failure_reason_code: Some("why".into()),
        }]
    );
    for (code, name, reason) in [
        (201, "starttls-not-supported", None),
        (202, "certificate-host-mismatch", None),
        (203, "certificate-not-trusted", None),
        (205, "validation-failure", None),
        (301, "sts-policy-fetch-error", None),
        (302, "sts-policy-invalid", None),
        (303, "sts-webpki-invalid", None),
        (304, "tlsa-invalid", None),
        (305, "dnssec-invalid", None),
        (306, "dane-required", None),
        (901, "validation-failure", Some("libtlsrpt-901")),
        (7, "validation-failure", Some("libtlsrpt-7")),
    ] {
        let read = parse(failing(&format!(r#"{{"c":{code}}}"#)).as_bytes()).unwrap();
        let failure = &read.policies[0].failures[0];
        assert_eq!(failure.result_type.as_str(), name, "{code}");
        assert_eq!(failure.failure_reason_code.as_deref(), reason, "{code}");
    }
}

#[test]
fn texts_of_peers_are_bounded() {
    let long = "x".repeat(10_000);
    let read = parse(failing(&format!(r#"{{"c":201,"h":"{long}","n":"{long}"}}"#)).as_bytes()).unwrap();
    let failure = &read.policies[0].failures[0];
    assert_eq!(failure.receiving_mx_helo.as_ref().map(String::len), Some(LONGEST_HELO));
    assert_eq!(failure.receiving_mx_hostname.as_ref().map(String::len), Some(LONGEST_TEXT));
    // Bytes that are no UTF-8 are replaced, and the session counts.
    let mut bytes = failing(r#"{"c":201,"h":"250 caf~"}"#).into_bytes();
    let at = bytes.iter().position(|b| *b == b'~').unwrap();
    bytes[at] = 0xe9;
    let read = parse(&bytes).unwrap();
    assert_eq!(read.policies[0].failures[0].receiving_mx_helo.as_deref(), Some("caf\u{fffd}"));
    for (answer, name) in [
        ("220 x", Some("x")),
        ("250-", None),
        ("\r\n", None),
        ("mx.example", Some("mx.example")),
        ("25é x", Some("25é x")),
    ] {
        assert_eq!(helo(answer).as_deref(), name, "{answer:?}");
    }
}
