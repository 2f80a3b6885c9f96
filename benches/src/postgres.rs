//! A PostgreSQL of our own, as durable as one in earnest, that ends and goes with this process.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

/// A running server. Its shell waits for the end of our pipe, then ends what it started and removes the
/// folder.
pub struct Postgres {
    port: u16,
    _shell: Child,
}

impl Postgres {
    /// Starts one, if it is installed.
    pub fn start() -> Result<Option<Self>, String> {
        if !Path::new(PROGRAMS).join("postgres").exists() {
            return Ok(None);
        }
        let text = |e: std::io::Error| e.to_string();
        let folder = tempfile::Builder::new().prefix("mailward-postgres-").tempdir().map_err(text)?.keep();
        // PostgreSQL refuses to run as root.
        let root = std::fs::metadata(&folder).map_err(text)?.uid() == 0;
        if root {
            ran(Command::new("chown").arg("postgres").arg(&folder))?;
        }
        let initdb = ["-D", "data", "-A", "trust", "-U", "mailward"];
        ran(as_postgres(root, "initdb").args(initdb).current_dir(&folder))?;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(text)?;
        let port = listener.local_addr().map_err(text)?.port();
        drop(listener);
        let script = format!(
            "{}{PROGRAMS}/postgres -D data -c port={port} -c listen_addresses=127.0.0.1 \
             -c unix_socket_directories={folder} -c shared_buffers=256MB -c max_wal_size=2GB >log 2>&1 & \
             pid=$!; read end; kill -INT $pid; wait $pid; cd /; rm -rf {folder}",
            if root { "setpriv --reuid postgres --regid postgres --clear-groups " } else { "" },
            folder = folder.display(),
        );
        let shell = Command::new("sh")
            .args(["-c", &script])
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(text)?;
        let server = Self { port, _shell: shell };
        server.wait(&folder)?;
        Ok(Some(server))
    }

    fn wait(&self, folder: &Path) -> Result<(), String> {
        for _ in 0..600 {
            let mut ready = Command::new(format!("{PROGRAMS}/pg_isready"));
            ready.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
            if ready.status().map_err(|e| e.to_string())?.success() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(format!("PostgreSQL does not start; see {}", folder.join("log").display()))
    }

    /// A new database.
    pub fn database(&self, name: &str) -> Result<String, String> {
        let mut create = Command::new(format!("{PROGRAMS}/createdb"));
        ran(create.args(["-h", "127.0.0.1", "-U", "mailward", "-p", &self.port.to_string(), name]))?;
        Ok(format!("postgres://mailward@127.0.0.1:{}/{name}", self.port))
    }
}

fn as_postgres(root: bool, program: &str) -> Command {
    let program = format!("{PROGRAMS}/{program}");
    if !root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", &program]);
    command
}

fn ran(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}
