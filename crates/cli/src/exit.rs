//! How a command ends: one type for exit codes and for errors that people read.

use std::fmt;
use std::process::ExitCode;

/// The end of a command that did its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// 0
    Fine,
    /// 1: findings at or above the threshold, or not safe.
    Findings,
    /// 2: the answer is that usage or configuration is wrong.
    Misconfigured,
    /// 3: unknown.
    Unknown,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Fine => 0,
            Outcome::Findings => 1,
            Outcome::Misconfigured => 2,
            Outcome::Unknown => 3,
        })
    }
}

/// Why a command could not do its work: what happened, and what to type next.
#[derive(Debug)]
pub enum Failure {
    /// 2: usage or configuration.
    Usage(String),
    /// 3: network, DNS, database.
    Unavailable(String),
}

impl Failure {
    /// Usage or configuration.
    pub fn usage(text: impl fmt::Display) -> Self {
        Self::Usage(text.to_string())
    }

    /// Could not find out.
    pub fn unavailable(text: impl fmt::Display) -> Self {
        Self::Unavailable(text.to_string())
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Unavailable(_) => 3,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Unavailable(text) => f.write_str(text),
        }
    }
}

impl From<crate::config::ConfigError> for Failure {
    fn from(error: crate::config::ConfigError) -> Self {
        Self::usage(error)
    }
}

impl From<mailward_store::StoreError> for Failure {
    fn from(error: mailward_store::StoreError) -> Self {
        Self::unavailable(error)
    }
}

impl From<mailward_core::domain::NameError> for Failure {
    fn from(error: mailward_core::domain::NameError) -> Self {
        Self::usage(error)
    }
}

/// The result of a command.
pub type Result<T = Outcome> = std::result::Result<T, Failure>;
