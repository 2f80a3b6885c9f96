//! A mail internet on loopback: signed DNS, a CA, policy hosts, MX hosts, senders and attackers.
//!
//! Tests and `mailward demo` run the product against it. It is not built from the code it tests: it
//! shares the words of `mailward-core` and nothing of the rooms that ask, store or judge. What it does
//! on the wire is written here a second time, from the RFCs.
//!
//! Nothing here binds or connects to an address that is not loopback.

pub mod address;
pub mod attacker;
mod bench;
pub mod ca;
pub mod clock;
pub mod dns;
mod paths;
pub mod policy_host;
pub mod product;
pub mod scenario;
pub mod sender;
pub mod smtp;
mod tls;
pub mod world;

pub use attacker::Tampering;
pub use ca::{CertificateAuthority, CertificateKind, Identity};
pub use clock::WorldClock;
pub use dns::{Dns, Fault, Poison, Security};
pub use paths::{Attacker, ReadMail};
pub use policy_host::{Answer, PolicyHosts};
pub use product::{OutgoingReport, Product, ProductError, ProductResult};
pub use scenario::Scenario;
pub use sender::{Delivery, MailServer, Sender, Sent, SentReport};
pub use smtp::{Behaviour, Message, MxHosts};
pub use world::{World, WorldOptions};
