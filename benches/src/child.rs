//! Children of a measurement: servers and worlds in processes of their own.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::measure::Stopwatch;

/// How long a child may take to end after its input did.
const FAREWELL: Duration = Duration::from_secs(30);

/// This program again with other arguments; its input and output are ours.
///
/// It gets a process group of its own: a signal from the terminal ends the measurement, which then tells what it saw of
/// a child that still works. The child ends when its input does, so also when we are killed.
pub fn spawn(arguments: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) -> Result<Child, String> {
    let myself = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut command = Command::new(myself);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
    command.spawn().map_err(|e| e.to_string())
}

/// Lets a child end whose input was dropped; one that does not is killed.
pub fn end(child: &mut Child) {
    let watch = Stopwatch::start();
    while watch.elapsed() < FAREWELL {
        match child.try_wait() {
            Ok(None) => std::thread::sleep(Duration::from_millis(10)),
            Ok(Some(_)) | Err(_) => return,
        }
    }
    let _ = child.kill();
    let _ = child.wait();
}
