//! Posting a report to an address that stands in the record itself.

use mailward_core::tlsrpt::outgoing::Answer::{Accepted, Later, Refused};
use mailward_net::post::post;

use crate::fake_https::{End, FakeHttps, Serve};
use crate::world::{Authority, Way};

const TAKEN: &[u8] = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";

/// An endpoint at an address, with a certificate for these.
async fn endpoint(authority: &Authority, at: &str, names: &[&str]) -> FakeHttps {
    let config = authority.issue(names).server(&[]);
    FakeHttps::start_at(at.parse().unwrap(), config, Serve::Http(TAKEN.to_vec(), End::Properly)).await
}

#[tokio::test]
async fn the_certificate_of_an_address_must_name_the_address() {
    let authority = Authority::new();
    let outside = Way::to(&authority).open();
    for (names, answer, part) in [
        (&["127.0.0.1"][..], Accepted, "201"),
        (&["r.test", "127.0.0.1"], Accepted, "201"),
        (&["127.0.0.2", "r.test"], Later(None), "does not hold: it names 127.0.0.2, r.test"),
        (&["*.0.0.1"], Later(None), "does not hold"),
    ] {
        let endpoint = endpoint(&authority, "127.0.0.1:0", names).await;
        let uri = format!("https://127.0.0.1:{}/v1", endpoint.address.port());
        let delivered = post(&outside, &uri, "application/tlsrpt+gzip", vec![]).await;
        assert_eq!(delivered.answer, answer, "{names:?}: {delivered:?}");
        assert!(delivered.text.contains(part), "{names:?}: {delivered:?}");
        let host = format!("host: {}", endpoint.address);
        let requests = endpoint.requests();
        assert_eq!(requests.len(), usize::from(answer == Accepted), "{names:?}");
        assert!(requests.iter().all(|head| head.to_ascii_lowercase().contains(&host)), "{requests:?}");
    }
    if tokio::net::TcpListener::bind("[::1]:0").await.is_ok() {
        let endpoint = endpoint(&authority, "[::1]:0", &["::1"]).await;
        let uri = format!("https://[0:0::1]:{}/v1", endpoint.address.port());
        let delivered = post(&outside, &uri, "application/tlsrpt+gzip", vec![]).await;
        assert_eq!(delivered.answer, Accepted, "{delivered:?}");
    }
}

#[tokio::test]
async fn addresses_inside_are_refused_in_every_form() {
    let authority = Authority::new();
    let outside = Way::to(&authority).with(|options| options.allow_private_addresses = false).open();
    let endpoint = endpoint(&authority, "127.0.0.1:0", &["127.0.0.1"]).await;
    let port = endpoint.address.port();
    for (host, part) in [
        ("127.0.0.1", "private or reserved"),
        ("127.9.9.9", "private or reserved"),
        ("0.0.0.0", "private or reserved"),
        ("[::1]", "private or reserved"),
        ("[::]", "private or reserved"),
        ("[::ffff:127.0.0.1]", "private or reserved"),
        ("[::ffff:7f00:1]", "private or reserved"),
        ("[::127.0.0.1]", "private or reserved"),
        ("[64:ff9b::7f00:1]", "private or reserved"),
        ("[2002:7f00:1::]", "private or reserved"),
        ("[fe80::1]", "private or reserved"),
        ("[fd00:ec2::254]", "private or reserved"),
        ("169.254.169.254", "private or reserved"),
        ("10.0.0.1", "private or reserved"),
        ("127.1", "neither a name nor an address"),
        ("2130706433", "neither a name nor an address"),
        ("0177.0.0.1", "neither a name nor an address"),
        ("0x7f.0.0.1", "neither a name nor an address"),
        ("0x7f000001", "neither a name nor an address"),
        ("127.0.0.1.", "neither a name nor an address"),
    ] {
        let uri = format!("https://{host}:{port}/v1");
        let delivered = post(&outside, &uri, "application/tlsrpt+gzip", vec![]).await;
        assert_eq!(delivered.answer, Refused, "{host}: {delivered:?}");
        assert!(delivered.text.contains(part), "{host}: {delivered:?}");
    }
    assert_eq!(endpoint.connections(), 0);
}
