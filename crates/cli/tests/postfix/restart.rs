//! `mailward serve` is killed under load. Mail waits meanwhile; in the end every mail has arrived, and none
//! of them in clear text.

use std::collections::BTreeSet;

use mailward_lab::Behaviour::Good;
use mailward_lab::CertificateKind::{self, SelfSigned};
use mailward_lab::Security;

use crate::house::{House, Site, Tlsa};
use crate::mta::{Release, Submission};
use crate::wait;

/// In all, to three domains in turn.
const MAILS: usize = 201;
/// The domain with DANE would be safe without us, too: Postfix must still not go on without an answer.
const DOMAINS: [&str; 3] = ["sts.test", "dane.test", "both.test"];

pub fn play(release: Release) {
    let mut house = House::build(release, |world| {
        let sts = Site::new(world, DOMAINS[0], Security::Signed);
        sts.mx("mx1", Good, CertificateKind::Good);
        sts.policy("enforce", "1", &["mx1"]);
        let dane = Site::new(world, DOMAINS[1], Security::Signed);
        let address = dane.mx("mx1", Good, SelfSigned);
        dane.tlsa("mx1", address, Tlsa::Key);
        let both = Site::new(world, DOMAINS[2], Security::Signed);
        let address = both.mx("mx1", Good, CertificateKind::Good);
        both.tlsa("mx1", address, Tlsa::Key);
        both.policy("enforce", "1", &["mx1"]);
    });
    let load = std::thread::spawn(|| {
        let mut submission = Submission::open();
        for number in 0..MAILS {
            submission.mail(&recipient(number), &format!("number {number}"));
        }
    });
    // Killed while mails are on their way, and again while those that waited are tried.
    for share in [MAILS / 10, MAILS / 2] {
        wait::until("some mails arrive", 60, || {
            house.postfix.flush();
            arrived(&house).len() >= share
        });
        house.kill_mailward();
        let deferred = || house.postfix.log().matches("status=deferred").count();
        let before = deferred();
        wait::until("mails wait", 60, || deferred() > before || arrived(&house).len() == MAILS);
        house.start_mailward();
    }
    load.join().unwrap();
    wait::until("every mail has arrived", 120, || {
        house.postfix.flush();
        arrived(&house).len() == MAILS
    });
    let log = house.postfix.log();
    assert!(log.contains("status=deferred"), "nothing was ever held up: {log}");
    assert!(!log.contains("status=bounced"), "{log}");
    wait::until("the queue is empty", 60, || house.postfix.waiting().is_empty());
    for number in 0..MAILS {
        for (_, mail) in house.world.mx_hosts.delivered_to(&recipient(number)) {
            assert!(mail.tls.is_some(), "number {number} went out in clear text");
        }
    }
}

fn recipient(number: usize) -> String {
    format!("number{number}@{}", DOMAINS[number % DOMAINS.len()])
}

/// The numbers of the mails that have arrived. A mail may arrive twice, as ever with SMTP, but not never.
fn arrived(house: &House) -> BTreeSet<usize> {
    (0..MAILS).filter(|&number| !house.world.mx_hosts.delivered_to(&recipient(number)).is_empty()).collect()
}
