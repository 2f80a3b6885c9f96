//! The items below a path, one after the other, never more than one in memory.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use super::mbox::Mbox;

/// Folders inside folders.
const DEPTH: usize = 32;
/// Bytes read before a file is known to be a mbox, which may be of any size.
const START: u64 = 16 << 10;

/// One item found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The path, with the number of the mail inside an mbox.
    pub(super) origin: String,
    /// The file's name, unless the item lies inside an mbox.
    pub(super) file_name: Option<String>,
    /// Bytes on disk.
    pub(super) size: u64,
    /// The bytes, or why there are none.
    pub(super) content: Result<Vec<u8>, String>,
}

/// Walks depth first, names in order.
pub(super) struct Walk {
    /// Where it begins.
    start: Option<PathBuf>,
    /// What is left of each folder entered.
    waiting: Vec<Folder>,
    limit: usize,
    mbox: Option<(String, Mbox<BufReader<File>>)>,
}

/// Names that are left of a folder. Only names: the path in front of them is the same for all, and there may
/// be millions.
struct Folder {
    path: PathBuf,
    names: std::vec::IntoIter<Box<OsStr>>,
}

impl Walk {
    /// Items of more than `limit` bytes are cut one byte behind it: the parser says what is wrong.
    pub(super) fn new(path: &Path, limit: usize) -> Self {
        Self { start: Some(path.to_owned()), waiting: Vec::new(), limit, mbox: None }
    }

    fn next_path(&mut self) -> Option<PathBuf> {
        if let Some(start) = self.start.take() {
            return Some(start);
        }
        loop {
            let folder = self.waiting.last_mut()?;
            match folder.names.next() {
                Some(name) => return Some(folder.path.join(&*name)),
                None => self.waiting.pop(),
            };
        }
    }

    /// Goes into a folder; a folder that cannot be read is an item that cannot.
    fn enter(&mut self, path: &Path) -> Option<Found> {
        if self.waiting.len() >= DEPTH {
            return Some(refused(path, format!("the folders are nested deeper than {DEPTH}")));
        }
        let entries = match std::fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) => return Some(refused(path, error.to_string())),
        };
        let is_maildir = ["cur", "new", "tmp"].iter().all(|name| path.join(name).is_dir());
        let mut names: Vec<Box<OsStr>> = Vec::new();
        for entry in entries {
            let name = match entry {
                Ok(entry) => entry.file_name(),
                Err(error) => return Some(refused(path, error.to_string())),
            };
            let mail_folder = is_maildir && path.join(&name).is_dir();
            // Mails in `tmp` are being written; `.Folder` is a folder of a maildir.
            let hidden = name.as_encoded_bytes().starts_with(b".") && !mail_folder;
            let being_written = is_maildir && name == "tmp";
            if !hidden && !being_written {
                names.push(name.into_boxed_os_str());
            }
        }
        names.sort_unstable();
        self.waiting.push(Folder { path: path.to_owned(), names: names.into_iter() });
        None
    }

    fn open(&mut self, path: &Path, size: u64) -> Option<Found> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) => return Some(refused(path, error.to_string())),
        };
        let limit = self.limit as u64 + 1;
        // Room for the file, and to see that it ends.
        let expected = size.saturating_add(64).min(limit);
        let mut content = Vec::with_capacity(usize::try_from(expected).unwrap_or(0));
        let start = START.min(limit);
        if let Err(error) = file.by_ref().take(start).read_to_end(&mut content) {
            return Some(refused(path, error.to_string()));
        }
        if content.starts_with(b"From ") {
            let whole = file.rewind().map(|()| Mbox::new(BufReader::new(file), self.limit));
            return match whole {
                Ok(mbox) => {
                    self.mbox = Some((path.display().to_string(), mbox));
                    None
                }
                Err(error) => Some(refused(path, error.to_string())),
            };
        }
        let begun = content.len() as u64;
        let rest = limit.saturating_sub(begun);
        let read = if begun < start { Ok(0) } else { file.take(rest).read_to_end(&mut content) };
        Some(Found {
            origin: path.display().to_string(),
            file_name: path.file_name().map(|name| name.to_string_lossy().into_owned()),
            size,
            content: read.map(|_| content).map_err(|error| error.to_string()),
        })
    }
}

impl Iterator for Walk {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            if let Some((path, mbox)) = &mut self.mbox {
                if let Some((number, content)) = mbox.next() {
                    let size = content.as_ref().map_or(0, Vec::len) as u64;
                    let origin = format!("{path}#{number}");
                    let content = content.map_err(|error| error.to_string());
                    return Some(Found { origin, file_name: None, size, content });
                }
                self.mbox = None;
            }
            let path = self.next_path()?;
            let meta = match std::fs::metadata(&path) {
                Ok(meta) => meta,
                Err(error) => return Some(refused(&path, error.to_string())),
            };
            // Sockets, pipes and devices are no reports, and reading them might never end.
            let found = if meta.is_dir() {
                self.enter(&path)
            } else if meta.is_file() {
                self.open(&path, meta.len())
            } else {
                Some(refused(&path, "it is no file".to_owned()))
            };
            if found.is_some() {
                return found;
            }
        }
    }
}

fn refused(path: &Path, reason: String) -> Found {
    Found { origin: path.display().to_string(), file_name: None, size: 0, content: Err(reason) }
}
