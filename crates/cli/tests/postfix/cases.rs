//! One mail to each of many domains, right and wrong in every way that matters, and what must come of it.
//!
//! Nothing is ever bounced here: what cannot be delivered safely waits.

mod sites;

use mailward_lab::Behaviour::{Good, NoStarttls};
use mailward_lab::CertificateKind::{self, Expired, SelfSigned, WrongName};
use mailward_lab::Security::{Bogus, Signed, Unsigned};
use mailward_lab::{Answer, Behaviour, Security};

use self::sites::{
    alias, alias_from_unsigned, alias_out, bogus_tlsa, both, dane, enforced, first_outside, half_dane,
    insecure_address, ipv6_fails, lenient, never_had, one_of_two, outside, plain, star, tlsa_fails,
    tlsa_fails_at_one, tlsa_is_alias,
};
use crate::house::{House, Site, Tlsa};
use crate::mail_world::in_world;
use crate::mta::{Release, Submission};

use End::{Alias, Clear, Encrypted, Verified, Waits};

/// What becomes of a mail. Hosts are labels in the recipient's domain, or whole names with a final dot.
#[derive(Debug, Clone, Copy)]
enum End {
    /// It arrives at this host, which proved to be the right one.
    Verified(&'static str),
    /// The same through the host `alias` of the domain; then, by what name it was asked for in the handshake.
    Alias(&'static str, &'static str),
    /// It arrives at this host over TLS; who that was is not known.
    Encrypted(&'static str),
    /// It arrives at this host in clear text.
    Clear(&'static str),
    /// It is kept and arrives nowhere; Postfix gives a reason with this in it.
    Waits(&'static str),
}

struct Case {
    name: &'static str,
    security: Security,
    furnish: fn(&Site),
    end: End,
}

const NOT_VERIFIED: &str = "Server certificate not verified";
const NO_TLS: &str = "TLS is required, but was not offered";

const CASES: &[Case] = &[
    // RFC 8461 §5: enforce.
    case("enforce", Signed, |s| enforced(s, Good, CertificateKind::Good), Verified("mx1")),
    case("enforce-unsigned-zone", Unsigned, |s| enforced(s, Good, CertificateKind::Good), Verified("mx1")),
    case("enforce-tls12", Signed, |s| enforced(s, Behaviour::Tls12, CertificateKind::Good), Verified("mx1")),
    case("enforce-wrong-name", Signed, |s| enforced(s, Good, WrongName), Waits(NOT_VERIFIED)),
    case("enforce-expired", Signed, |s| enforced(s, Good, Expired), Waits(NOT_VERIFIED)),
    case("enforce-self-signed", Signed, |s| enforced(s, Good, SelfSigned), Waits(NOT_VERIFIED)),
    case("enforce-other-ca", Signed, |s| enforced(s, Good, CertificateKind::OtherCa), Waits(NOT_VERIFIED)),
    case("enforce-no-starttls", Signed, |s| enforced(s, NoStarttls, CertificateKind::Good), Waits(NO_TLS)),
    case("enforce-mx-outside", Signed, outside, Waits("")),
    case("enforce-first-mx-outside", Signed, first_outside, Verified("mx2")),
    // RFC 8461 §4.1: a star is one label, not several.
    case("star-one-label", Signed, |s| star(s, "b"), Verified("b")),
    case("star-two-labels", Signed, |s| star(s, "a.b"), Waits("")),
    // RFC 8461 §5: testing and none ask for nothing.
    case("testing-self-signed", Signed, |s| lenient(s, "testing", Good), Encrypted("mx1")),
    case("testing-no-starttls", Signed, |s| lenient(s, "testing", NoStarttls), Clear("mx1")),
    case("none-self-signed", Signed, |s| lenient(s, "none", Good), Encrypted("mx1")),
    // RFC 8461 §3.3: a policy that was never had is none.
    case("policy-host-404", Signed, |s| never_had(s, Answer::Status(404)), Encrypted("mx1")),
    case("policy-host-hangs", Signed, |s| never_had(s, Answer::Hang), Encrypted("mx1")),
    // No policy at all.
    case("plain", Signed, |s| plain(s, Good), Encrypted("mx1")),
    case("plain-no-starttls", Signed, |s| plain(s, NoStarttls), Clear("mx1")),
    // RFC 7672: DANE.
    case("dane", Signed, |s| dane(s, Good, SelfSigned, Tlsa::Key), Verified("mx1")),
    case("dane-issuer", Signed, |s| dane(s, Good, CertificateKind::Good, Tlsa::Issuer), Verified("mx1")),
    case("dane-issuer-wrong-name", Signed, |s| dane(s, Good, WrongName, Tlsa::Issuer), Waits(NOT_VERIFIED)),
    case("dane-expired", Signed, |s| dane(s, Good, Expired, Tlsa::Key), Verified("mx1")),
    case("dane-mismatch", Signed, |s| dane(s, Good, SelfSigned, Tlsa::OtherKey), Waits(NOT_VERIFIED)),
    case("dane-no-starttls", Signed, |s| dane(s, NoStarttls, SelfSigned, Tlsa::Key), Waits(NO_TLS)),
    case("dane-unusable", Signed, |s| dane(s, Good, SelfSigned, Tlsa::Unusable), Encrypted("mx1")),
    case("dane-unusable-no-tls", Signed, |s| dane(s, NoStarttls, SelfSigned, Tlsa::Unusable), Waits(NO_TLS)),
    case("dane-unsigned-zone", Unsigned, |s| dane(s, Good, SelfSigned, Tlsa::OtherKey), Encrypted("mx1")),
    // RFC 7672 §2.2.1: the MX record may be forged, the host's records are not, and they are heeded.
    case("half-dane", Unsigned, |s| half_dane(s, Tlsa::Key), Encrypted("mx1.hosts-of-half-dane.test.")),
    case("half-dane-mismatch", Unsigned, |s| half_dane(s, Tlsa::OtherKey), Waits(NOT_VERIFIED)),
    // RFC 7672 §2.1: what cannot be validated is an error, not an absence.
    case("bogus-zone", Bogus, |s| dane(s, Good, SelfSigned, Tlsa::Key), Waits("Name service error")),
    case("bogus-tlsa", Signed, bogus_tlsa, Waits("")),
    case(
        "dane-issuer-key",
        Signed,
        |s| dane(s, Good, CertificateKind::Good, Tlsa::IssuerKey),
        Verified("mx1"),
    ),
    case(
        "dane-other-issuer",
        Signed,
        |s| dane(s, Good, CertificateKind::Good, Tlsa::OtherIssuer),
        Waits(NOT_VERIFIED),
    ),
    case("dane-certificate", Signed, |s| dane(s, Good, SelfSigned, Tlsa::Certificate), Verified("mx1")),
    // RFC 7672 §3.1.1: the key is enough, whatever name is in the certificate.
    case("dane-wrong-name", Signed, |s| dane(s, Good, WrongName, Tlsa::Key), Verified("mx1")),
    case(
        "dane-one-of-two-records",
        Signed,
        |s| dane(s, Good, CertificateKind::Good, Tlsa::OtherKeyOrIssuer),
        Verified("mx1"),
    ),
    // RFC 7672 §2.2: broken TLS is no reason to do without.
    case("dane-handshake-fails", Signed, |s| dane(s, Behaviour::Garbage, SelfSigned, Tlsa::Key), Waits("")),
    case(
        "dane-no-handshake",
        Signed,
        |s| dane(s, Behaviour::DropAtHandshake, SelfSigned, Tlsa::Key),
        Waits(""),
    ),
    // RFC 7672 §2.1.1: an answer that is not had is not "none".
    case("tlsa-servfail", Signed, |s| tlsa_fails(s, &["mx1"]), Waits("")),
    case("tlsa-servfail-twice", Signed, |s| tlsa_fails(s, &["mx1", "mx2"]), Waits("")),
    case("tlsa-servfail-at-one-mx", Signed, tlsa_fails_at_one, Verified("mx2")),
    // RFC 7672 §2.2.2: under an insecure address nobody asks for TLSA records, which may be broken there.
    case("insecure-address", Signed, insecure_address, Encrypted("mx1.hosts-of-insecure-address.test.")),
    case("ipv6-servfail", Signed, ipv6_fails, Verified("mx1")),
    // RFC 7672 §2.2.3: aliases. The base domain is the end of the chain, or else its beginning.
    case("alias", Signed, |s| alias(s, "mx1", Tlsa::Key), Alias("mx1", "mx1")),
    case("alias-mismatch", Signed, |s| alias(s, "mx1", Tlsa::OtherKey), Waits(NOT_VERIFIED)),
    case("alias-has-tlsa", Signed, |s| alias(s, "alias", Tlsa::Key), Alias("mx1", "alias")),
    case(
        "alias-into-unsigned",
        Signed,
        |s| alias_out(s, Tlsa::Key),
        Alias("mx1.hosts-of-alias-into-unsigned.test.", "alias"),
    ),
    case("alias-into-unsigned-bad", Signed, |s| alias_out(s, Tlsa::OtherKey), Waits(NOT_VERIFIED)),
    case("alias-unsigned", Unsigned, alias_from_unsigned, Encrypted("mx1.hosts-of-alias-unsigned.test.")),
    case("tlsa-is-alias", Signed, tlsa_is_alias, Verified("mx1")),
    // What the operator demands, see [`DEMANDS_DANE`].
    case("demanded-and-there", Signed, |s| dane(s, Good, SelfSigned, Tlsa::Key), Verified("mx1")),
    case("demanded-and-absent", Signed, |s| plain(s, Good), Waits("")),
    case("demanded-and-insecure", Unsigned, |s| dane(s, Good, SelfSigned, Tlsa::Key), Waits("")),
    // RFC 8461 §2: neither may weaken the other.
    case("both", Signed, |s| both(s, CertificateKind::Good, Tlsa::Key), Verified("mx1")),
    case("both-dane-saves", Signed, |s| both(s, SelfSigned, Tlsa::Key), Verified("mx1")),
    case("both-dane-fails", Signed, |s| both(s, CertificateKind::Good, Tlsa::OtherKey), Waits(NOT_VERIFIED)),
    case("both-unusable", Signed, |s| both(s, CertificateKind::Good, Tlsa::Unusable), Verified("mx1")),
    case("both-unusable-bad", Signed, |s| both(s, SelfSigned, Tlsa::Unusable), Waits(NOT_VERIFIED)),
    case("both-one-mx-with-dane", Signed, one_of_two, Verified("mx2")),
];

const fn case(name: &'static str, security: Security, furnish: fn(&Site), end: End) -> Case {
    Case { name, security, furnish, end }
}

/// Domains of which the operator demands DANE (`policy set --require dane`).
const DEMANDS_DANE: [&str; 3] = ["demanded-and-there", "demanded-and-absent", "demanded-and-insecure"];

/// All mails at once, then every row is looked at, and all that came out otherwise is told together.
pub fn play(release: Release) {
    let house = House::build(release, |world| {
        for case in CASES {
            (case.furnish)(&Site::new(world, &format!("{}.test", case.name), case.security));
        }
    });
    for name in DEMANDS_DANE {
        let domain = format!("{name}.test");
        let set = ["policy", "set", &domain, "--require", "dane", "--reason", "agreed with them"];
        in_world(&house.world, &set).exits(0);
        house.until_told(&domain, "dane-only");
    }
    let mut submission = Submission::open();
    for case in CASES {
        submission.mail(&recipient(case), case.name);
    }
    let wrong: Vec<String> = CASES.iter().filter_map(|case| look(&house, case).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!house.postfix.log().contains("status=bounced"), "{}", house.postfix.log());
    if release.tells {
        let over_tls = |case: &&Case| matches!(case.end, Verified(_) | Alias(..) | Encrypted(_));
        house.heard_of_sessions(CASES.iter().filter(over_tls).count());
    }
}

fn recipient(case: &Case) -> String {
    format!("someone@{}.test", case.name)
}

fn look(house: &House, case: &Case) -> Result<(), String> {
    let recipient = recipient(case);
    let attempt = house.postfix.next_attempt(&recipient, 0);
    let arrived = house.arrived(&recipient);
    let host = |label: &str| match label.strip_suffix('.') {
        Some(name) => name.to_owned(),
        None => format!("{label}.{}.test", case.name),
    };
    let right = match case.end {
        Waits(reason) => {
            attempt.status == "deferred"
                && attempt.reason.contains(reason)
                && arrived.is_empty()
                && house.postfix.waiting().contains(&recipient)
        }
        Clear(label) => attempt.status == "sent" && arrived == [(host(label), None)],
        Encrypted(label) => {
            let [(at, Some(_))] = &arrived[..] else { return wrong(house, case, &format!("{arrived:?}")) };
            attempt.status == "sent" && *at == host(label) && !verified(house, at)
        }
        Verified(label) => {
            let at = host(label);
            attempt.status == "sent" && arrived == [(at.clone(), Some(at.clone()))] && verified(house, &at)
        }
        Alias(label, asked) => {
            let (at, asked) = (host(label), host(asked));
            attempt.status == "sent" && arrived == [(at, Some(asked))] && verified(house, &host("alias"))
        }
    };
    if right { Ok(()) } else { wrong(house, case, &format!("{attempt:?}, arrived {arrived:?}")) }
}

fn wrong(house: &House, case: &Case, seen: &str) -> Result<(), String> {
    let domain = format!("{}.test", case.name);
    let (answer, log) = (house.ask(&domain), house.postfix.log());
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(&domain)).collect();
    Err(format!(
        "{}: not {:?} but {seen}; mailward says {answer:?}; log:\n{}",
        case.name,
        case.end,
        lines.join("\n")
    ))
}

/// Whether Postfix says that the host proved who it is.
fn verified(house: &House, host: &str) -> bool {
    house.postfix.log().contains(&format!("Verified TLS connection established to {host}["))
}
