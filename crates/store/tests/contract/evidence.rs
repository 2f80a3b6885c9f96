//! What the gate to enforce is given.

use mailward_core::mta_sts::Mode;
use mailward_core::rollout::{Gate, ReportedDay, ReportedFailure, Trust};
use mailward_core::tlsrpt::ResultType;

use crate::build::{at, believed, day, domain, from, held, item, report, sts};
use crate::engines::Opened;
use crate::observations::{audit, facts, round};

pub async fn everything_is_gathered(store: Opened) {
    let name = domain("d.example");
    let (gate, now) = (Gate::default(), at("03-16"));
    let empty = store.evidence(&name, &gate, now).await.unwrap();
    assert_eq!((empty.mode, empty.testing_since, empty.latest, empty.days.len()), (None, None, None, 0));

    store.put_domain(&held("d.example", "testing"), "cli", "", at("03-01")).await.unwrap();
    for on in ["03-01", "03-07", "03-08", "03-16"] {
        let seen = at(on);
        store.record_observation(&facts(seen), &audit(seen, Vec::new()), &round(seen)).await.unwrap();
    }
    for (id, on) in [("1", "03-07"), ("2", "03-08"), ("3", "03-14"), ("4", "03-15")] {
        store.insert_items(&[item("03-16", report(id, on, &[sts("d.example", 10, 0)]))]).await.unwrap();
    }
    store.excuse_failures(&name, "tlsa-invalid", None, "web", "theirs", now).await.unwrap();
    store.waive_item(&name, 4, "web", "little mail", now).await.unwrap();
    let evidence = store.evidence(&name, &gate, now).await.unwrap();
    assert_eq!((evidence.mode, evidence.testing_since), (Some(Mode::Testing), Some(at("03-01"))));
    assert_eq!(evidence.latest.unwrap().observed_at, now);
    assert_eq!(evidence.probes.iter().map(|p| p.at).collect::<Vec<_>>(), [at("03-08"), now]);
    assert_eq!(evidence.days.iter().map(|d| d.day).collect::<Vec<_>>(), [day("03-08"), day("03-14")]);
    assert_eq!(evidence.excused, [(ResultType::TlsaInvalid, None, "theirs".into())]);
    assert_eq!(evidence.waived, [(4, "little mail".into())].into());

    store.put_domain(&held("d.example", "enforce"), "cli", "", now).await.unwrap();
    let evidence = store.evidence(&name, &gate, now).await.unwrap();
    assert_eq!((evidence.mode, evidence.testing_since), (Some(Mode::Enforce), None));
}

pub async fn reported_of_the_window(store: Opened) {
    store.put_domain(&held("d.example", "testing"), "cli", "", at("03-01")).await.unwrap();
    let told = || sts("d.example", 10, 3).detail("certificate-host-mismatch", Some("mx2"), Some("cn"), 3);
    let items = [
        from("s.example", item("03-14", report("1", "03-13", &[told()]))),
        item("03-14", report("2", "03-13", &[told()])),
        item("03-14", report("3", "03-13", &[sts("d.example", 5, 0)])),
        believed(Trust::Unauthenticated, item("03-14", report("4", "03-13", &[sts("d.example", 7, 0)]))),
        item("03-14", report("5", "03-14", &[told()])),
    ];
    store.insert_items(&items).await.unwrap();
    let (days, failures) = store.reported(&domain("d.example"), day("03-13"), day("03-13")).await.unwrap();
    let reported = |reporter: &str, trust, successful, failed| ReportedDay {
        day: day("03-13"),
        reporter: reporter.into(),
        trust,
        successful,
        failed,
    };
    assert_eq!(
        days,
        [
            reported("r.example", Trust::Unauthenticated, 7, 0),
            reported("r.example", Trust::DkimVerified, 15, 3),
            reported("s.example", Trust::DkimVerified, 10, 3),
        ]
    );
    let failure = |reporter: &str| ReportedFailure {
        day: day("03-13"),
        reporter: reporter.into(),
        trust: Trust::DkimVerified,
        result_type: ResultType::CertificateHostMismatch,
        mx: Some("mx2".into()),
        reason: Some("cn".into()),
        sessions: 3,
    };
    assert_eq!(failures, [failure("r.example"), failure("s.example")]);
    let nothing = store.reported(&domain("x.example"), day("03-13"), day("03-13")).await.unwrap();
    assert_eq!(nothing, (Vec::new(), Vec::new()));
}
