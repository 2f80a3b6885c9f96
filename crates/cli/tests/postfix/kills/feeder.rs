//! Mail servers at work while mailward dies and comes back: a real Postfix that is handed mail, and a second
//! one that only tells of its sessions, so that it is known exactly when it told of which.

use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::mta::Submission;

/// Between two sessions told of.
const PAUSE: Duration = Duration::from_millis(5);
/// Sessions told of for each mail handed to the real Postfix.
const PER_MAIL: usize = 20;

/// Works on a thread until told to stop.
pub struct Feeder {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    told: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Feeder {
    /// Tells a socket of sessions with these domains in turn, and sends mail to those in turn.
    pub fn start(socket: PathBuf, domains: Vec<String>, recipients: Vec<String>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::new(Mutex::new(Vec::<(Instant, String)>::new()));
        let (stopped, log) = (Arc::clone(&stop), Arc::clone(&told));
        let thread = std::thread::spawn(move || {
            let mut submission = Submission::open();
            for number in 0.. {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let domain = &domains[number % domains.len()];
                if tell(&socket, domain, number % 3 == 0) {
                    log.lock().unwrap().push((Instant::now(), domain.clone()));
                }
                if number % PER_MAIL == 0 {
                    submission.mail(&recipients[number / PER_MAIL % recipients.len()], "flow");
                }
                std::thread::park_timeout(PAUSE);
            }
        });
        Self { stop, thread: Some(thread), told }
    }

    /// Ends it. Returns when it told of which domain; only what the socket took.
    pub fn stop(mut self) -> Vec<(Instant, String)> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        std::mem::take(&mut self.told.lock().unwrap())
    }
}

/// As Postfix does it: a socket for each session, and no waiting.
pub fn tell(socket: &Path, domain: &str, failed: bool) -> bool {
    let failure = r#","failure-details":[{"c":203,"n": "mx1.flow.test","r": "192.0.2.9"}],"t":1,"f":1"#;
    let end = if failed { failure } else { r#","t":0,"f":0"# };
    let datagram = format!(
        r#"{{"d": "{domain}","pr": "v=TLSRPTv1; rua=mailto:tls@{domain}","policies":[{{"policy-type":9,"policy-domain": "{domain}"{end}}}]}}"#
    );
    let send = || {
        let sender = UnixDatagram::unbound()?;
        sender.set_nonblocking(true)?;
        sender.connect(socket)?;
        sender.send(datagram.as_bytes())
    };
    send().is_ok()
}

/// How many of each domain.
pub fn by_domain<'a>(told: impl Iterator<Item = &'a (Instant, String)>) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for (_, domain) in told {
        *sums.entry(domain.clone()).or_default() += 1;
    }
    sums
}
