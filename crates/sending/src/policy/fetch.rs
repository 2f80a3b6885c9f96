//! Fetches within bounds: so many at once in all, few at one address, none at an address that is dead.
//!
//! Thousands of domains share a policy host. When it dies, each of them must learn that at once instead
//! of waiting behind four others, and nobody else's fetch may suffer. So an address that failed three
//! times in a row (no connection, or no answer in time) is left alone for a minute. A failure of one
//! domain's certificate or policy says nothing about the address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mailward_core::PolicyDomain;
use mailward_core::facts::FetchCause;
use mailward_core::mta_sts::StsPolicy;
use mailward_core::mta_sts::cache::FetchTrouble;
use mailward_net::{Outside, sts};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// Fetches at once over all hosts.
const OVERALL: usize = 64;
/// Fetches at once at one host.
const AT_ONE_HOST: usize = 4;
/// Who waits for one host at most; more are told that it is too busy.
const WAITING: usize = 256;
/// Failures in a row after which a host counts as dead.
const STRIKES: u32 = 3;
/// How long it is left alone.
const PAUSE: Duration = Duration::from_secs(60);
/// How long a fetch may wait for its turn.
const TURN: Duration = Duration::from_secs(20);
/// Hosts remembered.
const HOSTS: usize = 4096;

/// What a fetch brought: the policy and its body.
pub(super) type Fetched = Result<(StsPolicy, Vec<u8>), FetchTrouble>;

/// The way to policy hosts.
pub(super) struct Fetcher {
    outside: Outside,
    overall: Semaphore,
    hosts: Mutex<HashMap<IpAddr, Host>>,
}

/// What is known of one policy host, by the least of its addresses.
struct Host {
    turns: Arc<Semaphore>,
    waiting: usize,
    strikes: u32,
    dead_until: Option<Instant>,
}

impl Fetcher {
    pub(super) fn new(outside: Outside) -> Self {
        Self { outside, overall: Semaphore::new(OVERALL), hosts: Mutex::default() }
    }

    /// The outside it goes to.
    pub(super) fn outside(&self) -> &Outside {
        &self.outside
    }

    /// Fetches the policy of a domain, within bounds.
    pub(super) async fn fetch(&self, domain: &PolicyDomain) -> Fetched {
        let addresses = sts::policy_addresses(&self.outside.resolver, domain).await;
        let Some(host) = addresses.iter().min().copied() else {
            return sts::sts_policy(&self.outside, domain, &addresses).await;
        };
        let turns = self.enter(host)?;
        let waits = Waits { fetcher: self, host };
        let until = Instant::now() + TURN;
        let busy = || FetchTrouble::Fetch(FetchCause::Timeout);
        let turn = timeout_at(until, turns.acquire()).await.map_err(|_| busy())?;
        // The host may have died while others had their turn.
        self.alive(host)?;
        let overall = timeout_at(until, self.overall.acquire()).await.map_err(|_| busy())?;
        let fetched = sts::sts_policy(&self.outside, domain, &addresses).await;
        self.note(host, &fetched);
        drop((turn, overall, waits));
        fetched
    }

    /// Joins those who wait for a host.
    fn enter(&self, host: IpAddr) -> Result<Arc<Semaphore>, FetchTrouble> {
        self.alive(host)?;
        let mut hosts = self.lock();
        if hosts.len() >= HOSTS {
            hosts.retain(|_, host| host.waiting > 0 || host.dead_until.is_some_and(|at| at > Instant::now()));
        }
        let host = hosts.entry(host).or_insert_with(|| Host {
            turns: Arc::new(Semaphore::new(AT_ONE_HOST)),
            waiting: 0,
            strikes: 0,
            dead_until: None,
        });
        if host.waiting >= WAITING {
            return Err(FetchTrouble::Fetch(FetchCause::Timeout));
        }
        host.waiting += 1;
        Ok(Arc::clone(&host.turns))
    }

    fn alive(&self, host: IpAddr) -> Result<(), FetchTrouble> {
        let hosts = self.lock();
        let dead_until = hosts.get(&host).and_then(|host| host.dead_until);
        match dead_until.is_some_and(|until| Instant::now() < until) {
            true => Err(FetchTrouble::Fetch(FetchCause::Connect)),
            false => Ok(()),
        }
    }

    fn note(&self, address: IpAddr, fetched: &Fetched) {
        let mut hosts = self.lock();
        let Some(host) = hosts.get_mut(&address) else { return };
        let is_dead = matches!(
            fetched,
            Err(FetchTrouble::Fetch(FetchCause::Connect | FetchCause::Timeout | FetchCause::PrivateAddress))
        );
        if !is_dead {
            (host.strikes, host.dead_until) = (0, None);
            return;
        }
        // After the pause one more failure is enough.
        host.strikes = (host.strikes + 1).min(STRIKES);
        if host.strikes == STRIKES {
            tracing::warn!(%address, "the policy host is dead: left alone for a minute");
            host.dead_until = Some(Instant::now() + PAUSE);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Host>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who waits for a host; leaves when dropped, also half-way.
struct Waits<'a> {
    fetcher: &'a Fetcher,
    host: IpAddr,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if let Some(host) = self.fetcher.lock().get_mut(&self.host) {
            host.waiting -= 1;
        }
    }
}
