//! A PostgreSQL of our own on a private port.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command::skip;
use crate::mail_world::Ended;
use crate::wait;

/// A running server; its folder goes with it.
pub struct Postgres {
    server: Option<Ended>,
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    pub url: String,
}

/// Starts one, with an empty database. `None` where PostgreSQL is not installed.
pub fn start() -> Option<Postgres> {
    let Some(programs) = programs() else {
        skip("PostgreSQL is not installed");
        return None;
    };
    let folder = tempfile::Builder::new().prefix("mailward-system-postgres-").tempdir().unwrap().keep();
    // PostgreSQL refuses to run as root.
    let root = fs::metadata(&folder).unwrap().uid() == 0;
    if root {
        run(Command::new("chown").arg("postgres").arg(&folder));
    }
    run(as_user(&programs, &folder, "initdb").args([
        "-D",
        "data",
        "-A",
        "trust",
        "-U",
        "mailward",
        "--no-sync",
    ]));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://mailward@127.0.0.1:{port}/postgres");
    let mut postgres = Postgres { server: None, programs, folder, port, url };
    postgres.start_again();
    Some(postgres)
}

fn as_user(programs: &Path, folder: &Path, program: &str) -> Command {
    let program = programs.join(program);
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let mut command = Command::new(if root { Path::new("setpriv") } else { &program });
    if root {
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]).arg(&program);
    }
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

impl Postgres {
    /// Starts it on the data it has.
    pub fn start_again(&mut self) {
        let log = fs::File::create(self.folder.join("log")).unwrap();
        let server = as_user(&self.programs, &self.folder, "postgres")
            .args(["-D", "data", "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"])
            .args(["-c", &format!("port={}", self.port)])
            .args(["-c", &format!("unix_socket_directories={}", self.folder.display())])
            .stderr(log)
            .spawn()
            .unwrap();
        self.server = Some(Ended(server));
        wait::until("PostgreSQL is ready", 20, || {
            let mut ready = Command::new(self.programs.join("pg_isready"));
            ready.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]).status().unwrap().success()
        });
    }

    /// Ends it at once; SIGQUIT lets it end its children.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = Command::new("kill").args(["-s", "QUIT", &server.0.id().to_string()]).status();
            let _ = server.0.wait();
        }
    }
}

fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.filter_map(|v| Some(v.ok()?.path().join("bin")));
    versions.filter(|bin| bin.join("initdb").exists() && bin.join("pg_isready").exists()).max()
}

fn run(command: &mut Command) {
    let output = command.stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
