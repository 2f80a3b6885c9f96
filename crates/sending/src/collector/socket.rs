//! The datagram socket: made by us or passed by systemd, and the length of its queue.
//!
//! The kernel limits the queue of such a socket by the number of datagrams, and takes the limit from the
//! network namespace at the moment the socket is made. Its own default is 10, and every new namespace (a
//! container, a pod) starts with that; no call changes it afterwards. A burst of 25 sessions loses some
//! then, however quick the reader is. So the limit is looked at first and raised where that is allowed.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use nix::unistd::{Group, User};

use super::Options;

/// The longest path of a socket, in bytes; the kernel takes no more.
pub const PATH_LIMIT: usize = 107;
/// The mode of a socket when none is configured: every program of this host may tell of sessions.
pub const MODE: u32 = 0o666;
/// With fewer datagrams in the queue, bursts are lost on an ordinary mail server.
pub const QUEUE_ENOUGH: u64 = 512;
/// What the limit is raised to.
pub const QUEUE_WANTED: u64 = 4096;

const QUEUE_LIMIT: &str = "/proc/sys/net/unix/max_dgram_qlen";

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum BindError {
    #[error("the path of the socket has {length} bytes, and {PATH_LIMIT} is the most: {path:?}")]
    PathTooLong { path: PathBuf, length: usize },
    #[error("{0:?} is there and is no socket; move it away or name another path")]
    NoSocket(PathBuf),
    #[error("another process listens on {0:?}; stop it first")]
    InUse(PathBuf),
    #[error("the folder {0:?} of the socket cannot be made: {1}")]
    Folder(PathBuf, io::Error),
    #[error("the socket {0:?} cannot be made: {1}")]
    Bind(PathBuf, io::Error),
    #[error("there is no {kind} {name:?} on this host")]
    NoSuchName { kind: &'static str, name: String },
    #[error("the owner or mode of the socket {0:?} cannot be set: {1}")]
    Permissions(PathBuf, io::Error),
    #[error("the socket that systemd passed cannot be used: {0}")]
    Passed(io::Error),
}

/// A bound socket.
pub(super) struct Socket {
    pub(super) datagrams: UnixDatagram,
    /// What holds for sockets made now, here.
    pub(super) queue_limit: Option<u64>,
    /// The file that we made; removed when this is dropped.
    pub(super) made: Option<Made>,
}

/// A socket's file, by name and by what tells it from a later one of that name.
pub(super) struct Made {
    path: PathBuf,
    inode: Option<(u64, u64)>,
}

impl Socket {
    pub(super) fn open(options: &Options) -> Result<Self, BindError> {
        match passed().map_err(BindError::Passed)? {
            Some(datagrams) => Ok(Self { datagrams, queue_limit: queue_limit(), made: None }),
            None => Self::bind(options),
        }
    }

    fn bind(options: &Options) -> Result<Self, BindError> {
        let path = &options.socket;
        let length = path.as_os_str().len();
        if length > PATH_LIMIT {
            return Err(BindError::PathTooLong { path: path.clone(), length });
        }
        let owner = options.owner.as_deref().map(user).transpose()?;
        let group = options.group.as_deref().map(self::group).transpose()?;
        remove_stale(path)?;
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|e| BindError::Folder(folder.to_owned(), e))?;
        }
        let queue_limit = raised_queue_limit();
        let datagrams = UnixDatagram::bind(path).map_err(|e| BindError::Bind(path.clone(), e))?;
        let denied = |e| BindError::Permissions(path.clone(), e);
        std::fs::set_permissions(path, PermissionsExt::from_mode(options.mode)).map_err(denied)?;
        if owner.is_some() || group.is_some() {
            chown(path, owner, group).map_err(denied)?;
        }
        let made = Some(Made { path: path.clone(), inode: inode(path) });
        Ok(Self { datagrams, queue_limit, made })
    }

    pub(super) fn place(&self) -> String {
        let address = self.datagrams.local_addr().ok();
        let path = address.as_ref().and_then(|a| a.as_pathname()).map(|p| p.display().to_string());
        let path = path.unwrap_or_else(|| "a socket without a name".to_owned());
        if self.made.is_some() { path } else { format!("{path}, passed by systemd") }
    }

    /// What to say when the queue is short. Of a socket that was passed nobody knows: it has the limit of
    /// the namespace in which it was made.
    pub(super) fn advice(&self) -> Option<String> {
        let made_here = self.queue_limit.filter(|_| self.made.is_some());
        let limit = made_here.filter(|limit| *limit < QUEUE_ENOUGH)?;
        Some(format!(
            "the queue of the socket holds {limit} datagrams, so bursts of sessions are lost: run \
             `sysctl -w net.unix.max_dgram_qlen={QUEUE_WANTED}` and restart (in a container: start it with \
             `--sysctl net.unix.max_dgram_qlen={QUEUE_WANTED}`, or let systemd make the socket)"
        ))
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if self.inode.is_some() && inode(&self.path) == self.inode {
            // Senders then hear that there is no socket. Nobody minds one that stays.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The datagram socket among those that systemd passed (`ListenDatagram=`).
fn passed() -> io::Result<Option<UnixDatagram>> {
    if std::env::var_os("LISTEN_FDS").is_none() {
        return Ok(None);
    }
    let mut sockets = listenfd::ListenFd::from_env();
    let mut refused = None;
    for at in 0..sockets.len() {
        match sockets.take_unix_datagram(at) {
            Ok(Some(socket)) => return Ok(Some(socket)),
            Ok(None) => {}
            // Of another kind: somebody else's.
            Err(error) => refused = Some(error),
        }
    }
    if let Some(error) = refused {
        tracing::info!(%error, "no socket passed by systemd is one for datagrams");
    }
    Ok(None)
}

/// Removes the file of a socket on which nobody listens any more.
fn remove_stale(path: &Path) -> Result<(), BindError> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(BindError::NoSocket(path.to_owned()));
    }
    let listens = UnixDatagram::unbound().and_then(|socket| socket.connect(path)).is_ok();
    if listens {
        return Err(BindError::InUse(path.to_owned()));
    }
    std::fs::remove_file(path).map_err(|e| BindError::Bind(path.to_owned(), e))
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|m| (m.dev(), m.ino()))
}

fn user(name: &str) -> Result<u32, BindError> {
    let unknown = || BindError::NoSuchName { kind: "user", name: name.to_owned() };
    let found = || User::from_name(name).ok().flatten().map(|user| user.uid.as_raw());
    name.parse().ok().or_else(found).ok_or_else(unknown)
}

fn group(name: &str) -> Result<u32, BindError> {
    let unknown = || BindError::NoSuchName { kind: "group", name: name.to_owned() };
    let found = || Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
    name.parse().ok().or_else(found).ok_or_else(unknown)
}

/// How many datagrams a socket made now holds.
fn queue_limit() -> Option<u64> {
    std::fs::read_to_string(QUEUE_LIMIT).ok()?.trim().parse().ok()
}

/// The same, raised where that is needed and allowed: by root, in a namespace of its own or of the host.
fn raised_queue_limit() -> Option<u64> {
    let limit = queue_limit()?;
    if limit < QUEUE_WANTED && std::fs::write(QUEUE_LIMIT, QUEUE_WANTED.to_string()).is_ok() {
        let raised = queue_limit()?;
        tracing::info!(
            from = limit,
            to = raised,
            "raised net.unix.max_dgram_qlen, the limit of a socket's queue"
        );
        return Some(raised);
    }
    Some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(path: PathBuf) -> Options {
        Options { socket: path, mode: 0o660, owner: None, group: None }
    }

    fn refusal(options: &Options) -> String {
        Socket::bind(options).err().expect("refused").to_string()
    }

    #[test]
    fn the_file_has_its_mode_and_goes_with_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below/tlsrpt.sock");
        let mut wanted = options(path.clone());
        let own = std::fs::metadata(folder.path()).unwrap();
        (wanted.owner, wanted.group) = (Some(own.uid().to_string()), Some(own.gid().to_string()));
        let socket = Socket::bind(&wanted).unwrap();
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o660);
        assert_eq!(socket.place(), path.display().to_string());
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_file_is_replaced_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tlsrpt.sock");
        drop(UnixDatagram::bind(&path).unwrap());
        let socket = Socket::bind(&options(path.clone())).unwrap();
        assert!(refusal(&options(path.clone())).contains("another process listens"));
        // Somebody else's file of the same name stays when we end.
        std::fs::remove_file(&path).unwrap();
        let _other = UnixDatagram::bind(&path).unwrap();
        drop(socket);
        assert!(path.exists());
        let file = folder.path().join("file");
        std::fs::write(&file, "precious").unwrap();
        assert!(refusal(&options(file.clone())).contains("is no socket"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let of_length = |length: usize| {
            let rest = length - folder.path().as_os_str().len() - 1;
            folder.path().join("x".repeat(rest))
        };
        assert!(Socket::bind(&options(of_length(PATH_LIMIT))).is_ok());
        let long = refusal(&options(of_length(PATH_LIMIT + 1)));
        assert!(long.contains("108 bytes, and 107 is the most"), "{long}");
        let base = options(folder.path().join("s"));
        for (wrong, part) in [
            (Options { owner: Some("no such user".into()), ..base.clone() }, "no user \"no such user\""),
            (Options { group: Some("no such group".into()), ..base.clone() }, "no group"),
            (Options { socket: "/proc/no/such/s".into(), ..base.clone() }, "folder"),
        ] {
            let said = refusal(&wrong);
            assert!(said.contains(part), "{said}");
        }
    }
}
