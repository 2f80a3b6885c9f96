use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::MxHost;
use crate::delivery::Reason;
use crate::mta_sts::{Mode, StsPolicy};

fn domain() -> PolicyDomain {
    PolicyDomain::parse("example.com").unwrap()
}

fn decided(level: Level, names: &[&str], sts: Option<StsPolicy>) -> DeliveryPolicy {
    DeliveryPolicy {
        level,
        hosts: Vec::new(),
        names: names.iter().map(ToString::to_string).collect(),
        names_alone: false,
        sts,
        branch: None,
        reasons: vec![Reason::MxFailed("no name server answered in time".into())],
        valid_until: Timestamp::UNIX_EPOCH,
    }
}

fn enforce(patterns: &[&str]) -> StsPolicy {
    let mx = patterns.iter().map(|p| p.parse().unwrap()).collect();
    StsPolicy { mode: Mode::Enforce, mx, max_age: 604_800, extensions: Vec::new() }
}

#[test]
fn canonical_forms() {
    let sts = enforce(&["mail.example.com", "*.example.net"]);
    let body = sts.render();
    let names = ["mail.example.com", "mx2.example.net"];
    for (level, plain, reporting) in [
        (Level::DaneOnly, "OK dane-only", "OK dane-only"),
        (Level::Dane, "OK dane", "OK dane"),
        (Level::Encrypt, "OK encrypt", "OK encrypt"),
        (Level::May, "OK may", "OK may"),
        (Level::NoDemand, "NOTFOUND ", "NOTFOUND "),
        (
            Level::Secure,
            "OK secure match=mail.example.com:mx2.example.net servername=hostname",
            "OK secure match=mail.example.com:mx2.example.net servername=hostname \
             policy_type=sts policy_domain=example.com \
             { policy_string = version: STSv1 } { policy_string = mode: enforce } \
             { policy_string = mx: mail.example.com } { policy_string = mx: *.example.net } \
             { policy_string = max_age: 604800 } \
             mx_host_pattern=mail.example.com mx_host_pattern=*.example.net",
        ),
        (
            Level::Defer,
            "TEMP example.com: the MX records could not be looked up: no name server answered in time",
            "TEMP example.com: the MX records could not be looked up: no name server answered in time",
        ),
    ] {
        let policy = decided(level, &names, Some(sts.clone()));
        let answer = |map| render(&domain(), &policy, Some(body.as_bytes()), map);
        assert_eq!(answer(Map::Plain), plain);
        assert_eq!(answer(Map::TlsRpt), reporting);
    }
}

#[test]
fn nothing_to_match_never_matches() {
    let policy = decided(Level::Secure, &[], Some(enforce(&["mx.example.com"])));
    let answer = render(&domain(), &policy, None, Map::Plain);
    assert_eq!(answer, "OK secure match=mta-sts-no-mx-match.invalid servername=hostname");
}

/// Postfix 3.10.5 and later take any host that the patterns allow, unless there are none.
#[test]
fn where_a_host_was_left_out_no_pattern_opens_it() {
    let mut policy = decided(Level::Secure, &["a.example.com"], Some(enforce(&["*.example.com"])));
    policy.names_alone = true;
    let answer = render(&domain(), &policy, Some(b"mode: enforce"), Map::TlsRpt);
    assert_eq!(
        answer,
        "OK secure match=a.example.com servername=hostname policy_type=sts policy_domain=example.com \
         { policy_string = mode: enforce }"
    );
}

#[test]
fn lines_that_postfix_could_misread_are_left_out() {
    for (line, shown) in [
        ("mode: enforce", true),
        ("x-new: hello, world = 1", true),
        ("a=b", true),
        ("x-evil: } secure match=evil {", false),
        ("x: {", false),
        ("x: }", false),
        ("mode:\tenforce", false),
        ("x: a\0b", false),
        ("x: \u{7f}", false),
        ("x: \u{1b}[31m", false),
        ("x: caf\u{e9}", false),
        ("x: \u{a0}", false),
        ("   ", false),
        ("", false),
    ] {
        let mut answer = Vec::new();
        add_report_attributes("d.example", ["mx.d.example"].into_iter(), line.as_bytes(), &mut answer);
        let expected = match shown {
            true => format!(" {{ policy_string = {line} }}"),
            false => String::new(),
        };
        let expected =
            format!(" policy_type=sts policy_domain=d.example{expected} mx_host_pattern=mx.d.example");
        assert_eq!(String::from_utf8_lossy(&answer), expected, "{line:?}");
    }
}

#[test]
fn every_line_end_ends_a_line() {
    let mut answer = Vec::new();
    add_report_attributes("d.example", std::iter::empty(), b" a: 1 \r\nb: 2\rc: 3\n\n\nd: 4", &mut answer);
    assert_eq!(
        String::from_utf8_lossy(&answer),
        " policy_type=sts policy_domain=d.example { policy_string = a: 1 } { policy_string = b: 2 } \
         { policy_string = c: 3 } { policy_string = d: 4 }"
    );
}

/// The lines go first, then mail waits.
#[test]
fn answers_have_a_limit() {
    let long = |n: usize| format!("mx{n:04}.{}.example", "a".repeat(50));
    let answer = |hosts: usize| {
        let patterns: Vec<String> = (0..hosts).map(long).collect();
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        let sts = enforce(&patterns);
        let body = sts.render();
        let policy = decided(Level::Secure, &["mx0000.example"], Some(sts));
        render(&domain(), &policy, Some(body.as_bytes()), Map::TlsRpt)
    };
    for (hosts, lines, patterns) in [(400, 403, 400), (800, 0, 800), (1150, 0, 1150), (1300, 0, 0)] {
        let answer = answer(hosts);
        assert!(answer.len() <= LIMIT, "{hosts}: {}", answer.len());
        assert_eq!(answer.matches("{ policy_string").count(), lines, "{hosts}");
        assert_eq!(answer.matches("mx_host_pattern=").count(), patterns, "{hosts}");
        assert_eq!(answer.starts_with("TEMP example.com: "), patterns == 0, "{hosts}");
    }
}

#[test]
fn reasons_are_one_short_line() {
    for (reason, answer) in [
        ("the name servers fail", "TEMP the name servers fail"),
        ("a\r\nOK may", "TEMP a??OK may"),
        ("caf\u{e9} \0 {", "TEMP caf? ? {"),
    ] {
        assert_eq!(temporary(reason), answer);
    }
    assert_eq!(permanent(&"x".repeat(1000)).len(), "PERM ".len() + LONGEST_REASON);
}

/// One line of printable ASCII whose braces balance and never nest: what Postfix reads without a doubt.
fn check(answer: &str) -> Result<(), TestCaseError> {
    prop_assert!(answer.len() <= LIMIT);
    prop_assert!(answer.bytes().all(|b| matches!(b, b' '..=b'~')), "{answer:?}");
    if answer.starts_with("OK ") {
        let mut open = false;
        for b in answer.bytes().filter(|b| matches!(b, b'{' | b'}')) {
            prop_assert_eq!(b == b'{', !open);
            open = b == b'{';
        }
        prop_assert!(!open);
    }
    let first = answer.split(' ').next().unwrap_or_default();
    prop_assert!(["OK", "NOTFOUND", "TEMP", "PERM"].contains(&first));
    Ok(())
}

proptest! {
    #[test]
    fn an_answer_is_always_one_plain_line(
        body in prop_oneof![
            "[ -~\\r\\n]{0,400}".prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..400),
        ],
        patterns in proptest::collection::vec("(\\*\\.)?[ -~]{1,20}|[a-z]{1,9}\\.[a-z]{2,5}", 0..20),
        names in proptest::collection::vec("[ -~]{1,30}|[a-z]{1,9}\\.[a-z]{2,5}", 0..8),
        why in "\\PC{0,300}|.{0,50}",
        level in 0usize..7,
    ) {
        use Level::{Dane, DaneOnly, Defer, Encrypt, May, NoDemand, Secure};
        let level = [DaneOnly, Dane, Secure, Encrypt, May, NoDemand, Defer][level];
        // Only what parses can stand in a decision.
        let mx = patterns.iter().filter_map(|p| p.parse().ok()).collect();
        let sts = StsPolicy { mode: Mode::Enforce, mx, max_age: 1, extensions: Vec::new() };
        let names: Vec<String> =
            names.iter().filter_map(|n| MxHost::parse(n).ok()).map(|n| n.to_string()).collect();
        let mut policy = decided(level, &[], Some(sts));
        policy.names = names;
        policy.reasons = vec![Reason::MxFailed(why)];
        for map in [Map::Plain, Map::TlsRpt] {
            check(&render(&domain(), &policy, Some(&body), map))?;
        }
    }

    /// A policy as served, whatever it says, is a policy or reaches no answer at all.
    #[test]
    fn what_is_fetched_is_read_before_it_is_told(
        lines in proptest::collection::vec("mx: [ -~]{0,30}|x[a-z]{1,5}: [ -~]{0,30}|x: \\PC{0,20}", 0..3),
    ) {
        let body = format!("version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 9\n{}", lines.join("\n"));
        if let Ok(sts) = StsPolicy::parse(body.as_bytes()) {
            let policy = decided(Level::Secure, &["a.example"], Some(sts));
            check(&render(&domain(), &policy, Some(body.as_bytes()), Map::TlsRpt))?;
        }
    }
}
