//! A clock that is moved from outside, by a library of ours that is preloaded into one process.
//!
//! The product has no test switch, and no day is slept through here. Only the wall clock is moved; what
//! waits for a span of time waits as ever.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::Timestamp;

use crate::compile::compile;

/// What a process that began with it takes for the time.
pub struct MovedClock {
    library: PathBuf,
    /// How far it is ahead, in nanoseconds.
    path: PathBuf,
    file: File,
}

impl MovedClock {
    /// A clock that shows this time now.
    pub fn showing(time: Timestamp, directory: &Path) -> Self {
        let library = compile("clock/moved.c", &directory.join("moved.so"), &["-shared", "-fPIC"]);
        let path = directory.join("clock");
        let clock = Self { library, file: File::create(&path).unwrap(), path };
        clock.show(time);
        clock
    }

    /// Moves it.
    pub fn show(&self, time: Timestamp) {
        let ahead = i64::try_from(time.duration_since(Timestamp::now()).as_nanos()).unwrap();
        self.file.write_all_at(&ahead.to_ne_bytes(), 0).unwrap();
    }

    /// Lets a process that is going to be started live by it.
    pub fn preload(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("MOVED_CLOCK", &self.path);
    }
}
