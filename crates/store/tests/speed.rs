//! Pages stay quick with many failures behind them. The bound is far above what a release build needs (see
//! the example `measure`); it catches a scan where an index was meant.

#![allow(clippy::unwrap_used)]

#[path = "../examples/measure/load.rs"]
mod load;

use load::Load;
use mailward_store::Store;

#[tokio::test]
async fn pages_answer_with_a_hundred_thousand_failures_behind_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&format!("sqlite:{}/mailward.db", folder.path().display())).await.unwrap();
    let load = Load { domains: 100, reporters: 20, reports: 1_000, details: 100, days: 10 };
    load.hold(&store).await.unwrap();
    for first in (0..load.reports).step_by(250) {
        let items: Vec<_> = (first..first + 250).map(|number| load.item(number)).collect();
        store.insert_items(&items).await.unwrap();
    }
    for (question, milliseconds) in load::ask(&store).await.unwrap() {
        println!("{milliseconds:8.2} ms  {question}");
        assert!(milliseconds < 150.0, "{question} took {milliseconds:.1} ms");
    }
    let lines = store.domain_lines(load::TODAY).await.unwrap();
    assert!(lines.len() == 100 && lines.iter().any(|line| line.month.1 > 0), "the load is there");
    let problems =
        store.problems(None, load::TODAY.saturating_sub(jiff::ToSpan::days(28)), 2_000).await.unwrap();
    assert_eq!(problems.len(), 1_500, "5 types at 3 hosts of 100 domains");
    store.close().await;
}
