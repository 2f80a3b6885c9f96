//! Where the policy daemon listens: unix sockets and TCP.
//!
//! A socket file that was left behind is replaced, one that somebody listens at is not. The mode decides
//! who may ask; by default everybody on this machine, for what is answered is public knowledge.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener, UnixStream};

/// A place to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A unix socket.
    Unix {
        /// Where.
        path: PathBuf,
        /// Permission bits; 0o666 lets everybody on this machine ask.
        mode: u32,
        /// Name or number of its group; `None` is the group of the process.
        group: Option<String>,
    },
    /// TCP.
    Tcp(SocketAddr),
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}

/// A socket that listens.
#[derive(Debug)]
pub(super) enum Listener {
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener),
}

impl Listener {
    /// Opens it.
    pub(super) async fn bind(listen: &Listen) -> io::Result<Self> {
        match listen {
            Listen::Unix { path, mode, group } => {
                clear(path).await?;
                let listener = UnixListener::bind(path).map_err(|e| at(path, e))?;
                if let Some(group) = group {
                    chown(path, None, Some(group_number(group)?)).map_err(|e| at(path, e))?;
                }
                let permissions = std::fs::Permissions::from_mode(*mode);
                std::fs::set_permissions(path, permissions).map_err(|e| at(path, e))?;
                Ok(Self::Unix(listener, path.clone()))
            }
            Listen::Tcp(address) => {
                let named = |e: io::Error| io::Error::new(e.kind(), format!("{address}: {e}"));
                TcpListener::bind(address).await.map(Self::Tcp).map_err(named)
            }
        }
    }

    /// Where it listens, as people write it.
    pub(super) fn address(&self) -> String {
        match self {
            Self::Unix(_, path) => format!("unix:{}", path.display()),
            Self::Tcp(listener) => listener.local_addr().map(|a| a.to_string()).unwrap_or_default(),
        }
    }

    /// Takes the socket file away.
    pub(super) fn remove(&self) {
        if let Self::Unix(_, path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Removes a socket file at which nobody listens.
async fn clear(path: &Path) -> io::Result<()> {
    let Ok(what) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !what.file_type().is_socket() {
        return Err(at(
            path,
            io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"),
        ));
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|e| at(path, e))
        }
        Ok(_) => Err(at(path, io::Error::new(io::ErrorKind::AddrInUse, "another process listens there"))),
        Err(error) => Err(at(path, error)),
    }
}

fn at(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// The number of a group, from `/etc/group` where it is a name.
fn group_number(group: &str) -> io::Result<u32> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    let groups = std::fs::read_to_string("/etc/group")?;
    let number = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(group)).then(|| fields.nth(1)).flatten()?.parse().ok()
    });
    number.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no group {group}")))
}
