//! A running `mailward serve` or `mailward demo`, heard line by line, ended by its id.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::wait;

/// One running process. Dropping it kills it.
pub struct Daemon {
    child: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
}

impl Daemon {
    pub fn start(command: &mut Command) -> Self {
        Self::start_with(command, Stdio::null())
    }

    pub fn start_with(command: &mut Command, stdin: Stdio) -> Self {
        let mut child = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = heard(child.stdout.take().unwrap());
        let stderr = heard(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    pub fn stdout(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }

    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// The rest of the first line on standard output that holds this text, once it is there.
    #[track_caller]
    pub fn says(&mut self, text: &str, seconds: u64) -> String {
        let (stdout, stderr) = (Arc::clone(&self.stdout), Arc::clone(&self.stderr));
        wait::some(&format!("{text:?}"), seconds, || {
            let heard = stdout.lock().unwrap();
            let ended = self.child.try_wait().unwrap();
            let line = heard.split_inclusive('\n').find(|l| l.ends_with('\n') && l.contains(text));
            assert!(
                line.is_some() || ended.is_none(),
                "ended with {ended:?} before {text:?}: {heard} {}",
                stderr.lock().unwrap()
            );
            line.map(|l| l.split_once(text).unwrap().1.trim().to_owned())
        })
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Asks it to end, and demands that it does within 15 s without an error.
    #[track_caller]
    pub fn terminate(mut self) -> String {
        self.signal("TERM");
        let began = Instant::now();
        let status = self.ended(15);
        assert!(status.success(), "{status}: {}", self.stderr());
        assert!(began.elapsed() < Duration::from_secs(15));
        assert!(!self.stderr().contains("panicked"), "{}", self.stderr());
        self.stderr()
    }

    #[track_caller]
    pub fn ended(&mut self, seconds: u64) -> ExitStatus {
        wait::some("the end of the process", seconds, || self.child.try_wait().unwrap())
    }

    /// Ends it without warning.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

fn heard(stream: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let writer = Arc::clone(&text);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = vec![];
        while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            writer.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    text
}
