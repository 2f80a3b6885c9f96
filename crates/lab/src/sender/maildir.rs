//! Mailboxes of report addresses: a maildir for each domain.

use std::io;
use std::path::{Path, PathBuf};

/// Makes the maildir of a domain if it is not there.
pub(super) fn make(maildirs: &Path, domain: &str) -> io::Result<PathBuf> {
    let directory = maildirs.join(domain);
    for part in ["tmp", "new", "cur"] {
        std::fs::create_dir_all(directory.join(part))?;
    }
    Ok(directory)
}

/// Puts a mail there as `name`, as mail servers do it: it is whole as soon as it can be seen.
pub(crate) fn put(maildirs: &Path, domain: &str, name: &str, text: &[u8]) -> io::Result<()> {
    let directory = make(maildirs, domain)?;
    let unfinished = directory.join("tmp").join(name);
    std::fs::write(&unfinished, text)?;
    std::fs::rename(unfinished, directory.join("new").join(name))
}
