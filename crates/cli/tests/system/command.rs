//! Runs `mailward` as a shell does: a clean environment, a directory of its own, bytes in and out.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// What came of one run.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Standard output as one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("no JSON document ({e}): {:?}; stderr {:?}", self.stdout, self.stderr))
    }

    /// Standard output as one JSON document a line.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line:?}")))
            .collect()
    }

    /// Demands an exit code, and shows everything when it is another.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }
}

/// The command with an empty environment but for a home that is not there, in a directory without a
/// configuration.
pub fn mailward() -> Command {
    let mut command = Command::new(binary());
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/nonexistent").current_dir("/");
    command
}

pub fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_mailward")
}

/// Runs to its end, without a terminal and with nothing on standard input.
#[track_caller]
pub fn run<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Ran {
    run_command(mailward().args(arguments), b"")
}

/// Runs to its end with these bytes on standard input.
#[track_caller]
pub fn run_with_input<S: AsRef<std::ffi::OsStr>>(arguments: &[S], input: &[u8]) -> Ran {
    run_command(mailward().args(arguments), input)
}

#[track_caller]
pub fn run_command(command: &mut Command, input: &[u8]) -> Ran {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // On a thread: a child that writes before it reads must not block us. One that reads nothing may
    // close the pipe.
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Ran {
        code: status.code().unwrap_or(-1),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// A directory beside the workspace with material that is not part of it, where there is one.
pub fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(path);
    path.exists().then_some(path)
}

/// Says why a test is not run; on CI everything must be there.
#[track_caller]
pub fn skip(reason: &str) {
    assert!(std::env::var_os("CI").is_none(), "{reason}");
    println!("skipped: {reason}");
}

/// The ids of the findings of a document.
pub fn ids(document: &Value) -> Vec<&str> {
    document["findings"].as_array().unwrap().iter().map(|f| f["id"].as_str().unwrap()).collect()
}
