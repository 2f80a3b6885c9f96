//! A PostgreSQL 15 that tests start themselves, on a port of its own; one for all tests of a program.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

/// The URL of a new, empty database; `None` where PostgreSQL is not installed, which is an error in CI.
pub fn new_database() -> Option<String> {
    let server = server();
    if server.is_none() {
        assert!(std::env::var_os("CI").is_none(), "PostgreSQL 15 is not installed");
        eprintln!("skipped: there is no PostgreSQL in {PROGRAMS}");
    }
    server.map(Server::new_database)
}

/// A server that ends with this process, however that ends: its shell waits for the end of our pipe, then
/// ends what it started and removes the folder.
struct Server {
    port: u16,
    _shell: Child,
    databases: AtomicU32,
}

fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(|| Path::new(PROGRAMS).join("postgres").exists().then(Server::start)).as_ref()
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("mailward-postgres-").tempdir().unwrap().keep();
        // PostgreSQL refuses to run as root.
        let root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&folder).unwrap()) == 0;
        if root {
            run(Command::new("chown").arg("postgres").arg(&folder));
        }
        run(&mut as_user(
            root,
            "initdb",
            &folder,
            &["-D", "data", "-A", "trust", "-U", "mailward", "--no-sync"],
        ));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let script = format!(
            "{}{PROGRAMS}/postgres -D data -c port={port} -c listen_addresses=127.0.0.1 \
             -c unix_socket_directories={folder} -c fsync=off -c max_connections=300 >log 2>&1 & \
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
            .unwrap();
        let server = Self { port, _shell: shell, databases: AtomicU32::new(0) };
        for attempt in 0.. {
            let ready = Command::new(format!("{PROGRAMS}/pg_isready"))
                .args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()])
                .status()
                .unwrap();
            if ready.success() {
                break;
            }
            assert!(attempt < 200, "PostgreSQL does not start; see {}", folder.join("log").display());
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    fn new_database(&self) -> String {
        let name = format!("contract{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut psql = Command::new(format!("{PROGRAMS}/psql"))
            .args(["-q", "-h", "127.0.0.1", "-U", "mailward", "-d", "postgres", "-p", &self.port.to_string()])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(psql.stdin.take().unwrap(), "CREATE DATABASE {name};").unwrap();
        assert!(psql.wait().unwrap().success());
        format!("postgres://mailward@127.0.0.1:{}/{name}", self.port)
    }
}

fn as_user(root: bool, program: &str, folder: &PathBuf, arguments: &[&str]) -> Command {
    let program = format!("{PROGRAMS}/{program}");
    let mut command = if root {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", &program]);
        command
    } else {
        Command::new(program)
    };
    command.args(arguments).current_dir(folder);
    command
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
