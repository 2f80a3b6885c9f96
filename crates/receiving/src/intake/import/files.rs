//! The items below a path, one after the other, never more than one in memory.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::mbox::Mbox;

/// Folders inside folders.
const DEPTH: usize = 32;

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
    /// What is left of each folder entered.
    waiting: Vec<VecDeque<PathBuf>>,
    limit: usize,
    mbox: Option<(String, Mbox<BufReader<File>>)>,
}

impl Walk {
    /// Items of more than `limit` bytes are cut one byte behind it: the parser says what is wrong.
    pub(super) fn new(path: &Path, limit: usize) -> Self {
        Self { waiting: vec![VecDeque::from([path.to_owned()])], limit, mbox: None }
    }

    fn next_path(&mut self) -> Option<PathBuf> {
        loop {
            let path = match self.waiting.last_mut()?.pop_front() {
                Some(path) => path,
                None => {
                    self.waiting.pop();
                    continue;
                }
            };
            return Some(path);
        }
    }

    /// Goes into a folder; a folder that cannot be read is an item that cannot.
    fn enter(&mut self, path: &Path) -> Option<Found> {
        if self.waiting.len() > DEPTH {
            return Some(refused(path, format!("the folders are nested deeper than {DEPTH}")));
        }
        let entries = std::fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut paths: Vec<PathBuf> = match entries {
            Ok(entries) => entries.into_iter().map(|entry| entry.path()).collect(),
            Err(error) => return Some(refused(path, error.to_string())),
        };
        let is_maildir = ["cur", "new", "tmp"].iter().all(|name| path.join(name).is_dir());
        paths.retain(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let mail_folder = is_maildir && path.is_dir();
            // Mails in `tmp` are being written; `.Folder` is a folder of a maildir.
            let hidden = name.starts_with('.') && !mail_folder;
            let being_written = is_maildir && name == "tmp";
            !hidden && !being_written
        });
        paths.sort();
        self.waiting.push(paths.into());
        None
    }

    fn open(&mut self, path: &Path) -> Option<Found> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) => return Some(refused(path, error.to_string())),
        };
        let size = file.metadata().map(|meta| meta.len()).unwrap_or_default();
        let mut start = Vec::new();
        if let Err(error) = file.by_ref().take(5).read_to_end(&mut start) {
            return Some(refused(path, error.to_string()));
        }
        if start == b"From " {
            let whole = File::open(path).map(|file| Mbox::new(BufReader::new(file), self.limit));
            return match whole {
                Ok(mbox) => {
                    self.mbox = Some((path.display().to_string(), mbox));
                    None
                }
                Err(error) => Some(refused(path, error.to_string())),
            };
        }
        let mut content = start;
        let rest = (self.limit + 1).saturating_sub(content.len()) as u64;
        let read = file.take(rest).read_to_end(&mut content);
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
                self.open(&path)
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
