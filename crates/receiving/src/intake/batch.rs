//! Group commit: items that arrive together share one transaction.
//!
//! While one transaction is written, the next items gather; a lone item waits for nobody. Everybody is
//! answered only when their item is on disk.

use mailward_store::reports::{IncomingItem, PreparedItem, Stored};
use mailward_store::{Store, StoreError};
use tokio::sync::{mpsc, oneshot};

use super::IntakeError;

/// Items in one transaction.
const ITEMS: usize = 500;
/// Bytes in one transaction, so that large items do not pile up in memory.
const BYTES: usize = 32 << 20;
/// Items waiting for a transaction; more wait at the door.
const WAITING: usize = 256;

struct Job {
    item: IncomingItem,
    done: oneshot::Sender<Result<Stored, IntakeError>>,
}

/// Hands items to the one task that writes. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Batcher {
    jobs: mpsc::Sender<Job>,
    store: Store,
}

impl Batcher {
    /// Starts the task; it ends when the last handle is dropped.
    pub(super) fn start(store: Store) -> Self {
        let (jobs, waiting) = mpsc::channel(WAITING);
        tokio::spawn(write(store.clone(), waiting));
        Self { jobs, store }
    }

    /// Stores one item durably.
    pub(super) async fn insert(&self, item: IncomingItem) -> Result<Stored, IntakeError> {
        let (done, result) = oneshot::channel();
        let gone = || IntakeError::Unavailable("the writer has ended".to_owned());
        self.jobs.send(Job { item, done }).await.map_err(|_| gone())?;
        result.await.map_err(|_| gone())?
    }

    /// Stores a batch that is one already, in one transaction.
    pub(super) async fn insert_all(&self, items: Vec<PreparedItem>) -> Result<Vec<Stored>, StoreError> {
        self.store.insert_prepared(items).await
    }
}

async fn write(store: Store, mut waiting: mpsc::Receiver<Job>) {
    while let Some(first) = waiting.recv().await {
        let mut size = first.item.raw.len();
        let mut jobs = vec![first];
        while jobs.len() < ITEMS && size < BYTES {
            let Ok(job) = waiting.try_recv() else { break };
            size += job.item.raw.len();
            jobs.push(job);
        }
        let (items, answers): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.item, job.done)).unzip();
        metrics::histogram!("mailward_intake_batch_items").record(items.len() as f64);
        let results = insert(&store, &items).await;
        for (answer, result) in answers.into_iter().zip(results) {
            // Whoever asked may have gone away; the item is stored all the same.
            let _ = answer.send(result);
        }
    }
}

/// All in one transaction; if one item spoils it, each on its own, so that it spoils nobody else's.
async fn insert(store: &Store, items: &[IncomingItem]) -> Vec<Result<Stored, IntakeError>> {
    match store.insert_items(items).await {
        Ok(stored) if stored.len() == items.len() => return stored.into_iter().map(Ok).collect(),
        Ok(_) => {}
        Err(StoreError::Unavailable(why)) => {
            return items.iter().map(|_| Err(IntakeError::Unavailable(why.clone()))).collect();
        }
        Err(error) => tracing::warn!(%error, "a batch of reports is written item by item"),
    }
    let mut results = Vec::with_capacity(items.len());
    for item in items {
        results.push(match store.insert_items(std::slice::from_ref(item)).await {
            Ok(stored) => stored.into_iter().next().ok_or_else(|| IntakeError::Faulty("not stored".into())),
            Err(StoreError::Unavailable(why)) => Err(IntakeError::Unavailable(why)),
            Err(error) => Err(IntakeError::Faulty(error.to_string())),
        });
    }
    results
}
