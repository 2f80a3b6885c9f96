//! A certification authority, and the way out as a test needs it. Time stands still in June 2026.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mailward_core::chain::TrustAnchors;
use mailward_core::clock::FixedClock;
use mailward_net::dns::{DnsOptions, Dnssec, Resolver};
use mailward_net::smtp::ProbeTimeouts;
use mailward_net::tls::Roots;
use mailward_net::{Outside, OutsideOptions};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

pub const NOW: &str = "2026-06-01T12:00:00Z";

/// A certificate authority.
pub struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A chain and the key of its leaf.
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: KeyPair,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = params(&[]);
        params.distinguished_name.push(DnType::CommonName, "Test root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    pub fn issue(&self, names: &[&str]) -> Identity {
        self.issue_with(names, |_| {})
    }

    pub fn issue_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = params(names);
        change(&mut params);
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        Identity { chain: vec![leaf.der().clone()], key }
    }

    pub fn roots(&self) -> Arc<Roots> {
        let (anchors, refused) = TrustAnchors::from_der([&self.certificate]);
        assert_eq!(refused, 0);
        Arc::new(Roots::new(anchors).unwrap())
    }
}

pub fn self_signed(names: &[&str]) -> Identity {
    let key = KeyPair::generate().unwrap();
    let leaf = params(names).self_signed(&key).unwrap();
    Identity { chain: vec![leaf.der().clone()], key }
}

fn params(names: &[&str]) -> CertificateParams {
    let mut params =
        CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
}

impl Identity {
    pub fn server(&self, alpn: &[&[u8]]) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        Arc::new(config)
    }
}

/// The way out, with deadlines that a test can wait for.
pub struct Way {
    pub dns: Vec<SocketAddr>,
    pub roots: Arc<Roots>,
    pub options: OutsideOptions,
}

impl Way {
    pub fn to(authority: &Authority) -> Self {
        let probe = ProbeTimeouts {
            connect: Duration::from_secs(2),
            greeting: Duration::from_secs(2),
            command: Duration::from_secs(2),
            tls: Duration::from_secs(2),
            session: Duration::from_secs(6),
        };
        let options = OutsideOptions {
            helo: "probe.test".into(),
            smtp_port: 9,
            https_port: 9,
            allow_private_addresses: true,
            fetch_timeout: Duration::from_secs(4),
            probe,
        };
        Self { dns: vec!["127.0.0.1:9".parse().unwrap()], roots: authority.roots(), options }
    }

    pub fn smtp(mut self, port: u16) -> Self {
        self.options.smtp_port = port;
        self
    }

    pub fn https(mut self, port: u16) -> Self {
        self.options.https_port = port;
        self
    }

    pub fn dns(mut self, server: SocketAddr) -> Self {
        self.dns = vec![server];
        self
    }

    pub fn with(mut self, change: impl FnOnce(&mut OutsideOptions)) -> Self {
        change(&mut self.options);
        self
    }

    pub fn open(self) -> Outside {
        let clock = Arc::new(FixedClock(NOW.parse().unwrap()));
        let options =
            DnsOptions { servers: self.dns, dnssec: Dnssec::TrustAd, timeout: Duration::from_secs(4) };
        let resolver = Resolver::new(&options, clock.clone()).unwrap();
        Outside { resolver, roots: self.roots, options: Arc::new(self.options), clock }
    }
}
