//! What arrived long ago is dropped, when the daemon starts and when a day begins.

use mailward_core::Clock;
use mailward_lab::{World, WorldOptions};
use mailward_receiving::StopSignal;
use mailward_receiving::intake::{Arrival, Outcome, Source};
use mailward_receiving::retention::{QUARANTINE, RAW, Retention};
use mailward_store::reports::ReportFilter;

use crate::house::{eventually, intake, open};
use crate::posts::report;

#[tokio::test(flavor = "multi_thread")]
async fn old_bytes_go_and_what_was_read_stays() {
    let world = World::start(&WorldOptions::default()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory).await;
    let intake = intake(&world, &store);
    let arrive = async |bytes: String| {
        let bytes = bytes.into_bytes();
        let arrival = Arrival {
            bytes,
            source: Source::Import,
            origin: "a".into(),
            file_name: Some("a.json".into()),
            media_type: None,
            held_domain: None,
        };
        match intake.accept(arrival).await.unwrap() {
            Outcome::Stored(receipt) => receipt.stored,
            Outcome::NotAReport(findings, _) => panic!("{findings:?}"),
        }
    };
    let whole = report("a", "example.com", "Reporter");
    let readable = arrive(whole.clone()).await;
    let broken = arrive(whole.replace("\"policies\"", "\"polices\"")).await;
    assert_eq!((readable.quarantined, broken.quarantined), (false, true));
    let state = async || {
        (
            store.raw_item(readable.item).await.unwrap().is_some(),
            store.quarantine(None, 9).await.unwrap().rows.len(),
        )
    };
    // To the day before it is old, then a day more; each time as if the daemon was started.
    for (age, expected) in [(QUARANTINE, (true, 0)), (RAW.checked_sub(QUARANTINE).unwrap(), (false, 0))] {
        let day = jiff::SignedDuration::from_hours(24);
        let before = state().await;
        world.clock.advance(age.checked_sub(day).unwrap());
        let clock = world.clock.clone();
        let more = day + jiff::SignedDuration::from_secs(1);
        for (step, wanted) in [(jiff::SignedDuration::ZERO, before), (more, expected)] {
            world.clock.advance(step);
            let (signal, stop) = StopSignal::new();
            let running = tokio::spawn(Retention::new(store.clone(), clock.clone()).run(stop));
            let what = format!("{wanted:?} at {}", clock.now());
            eventually(&what, async || (state().await == wanted).then_some(())).await;
            signal.stop();
            // A round that has begun is ended first: nothing more happens.
            running.await.unwrap();
            assert_eq!(state().await, wanted, "{what}");
        }
    }
    let reports = store.reports(&ReportFilter::default(), None, 9).await.unwrap().rows;
    assert_eq!(reports.len(), 1, "the report itself stays");
}
