//! Waiting for another process: look again until it is so, and give up loudly.

use std::time::{Duration, Instant};

/// Looks every 20 ms until `so` is true; panics after so many seconds.
#[track_caller]
pub fn until(what: &str, seconds: u64, mut so: impl FnMut() -> bool) {
    some(what, seconds, || so().then_some(()));
}

/// Looks every 20 ms until there is something; panics after so many seconds.
#[track_caller]
pub fn some<T>(what: &str, seconds: u64, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {seconds} s");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
