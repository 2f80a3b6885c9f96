//! `[collector]`: the socket to which mail servers tell of their sessions.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::policyd::SocketMode;

/// The table.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct CollectorTable {
    /// The datagram socket.
    pub socket: PathBuf,
    /// Its permissions.
    pub mode: SocketMode,
    /// Its owner; `None` is the user of the process.
    pub owner: Option<String>,
    /// Its group; `None` is the group of the process.
    pub group: Option<String>,
}

impl Default for CollectorTable {
    fn default() -> Self {
        Self {
            socket: PathBuf::from("/run/mailward/tlsrpt.sock"),
            mode: SocketMode(mailward_sending::collector::MODE),
            owner: None,
            group: None,
        }
    }
}
