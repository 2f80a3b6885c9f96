//! The files of a certificate directory: which pairs there are, and reading one as a whole.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use mailward_core::chain;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// Largest file read.
const FILE_LIMIT: u64 = 1 << 20;
/// Certificates in one chain.
const CHAIN_LIMIT: usize = 10;

/// Where the two halves of a pair lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// What changes when one of the files does; `None` for a file that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp([Option<FileStamp>; 2]);

/// Device, inode, size, and times of content and entry in seconds and nanoseconds.
type FileStamp = (u64, u64, u64, [i64; 2], [i64; 2]);

/// A certificate with its key.
pub(super) struct Pair {
    pub(super) key: Arc<CertifiedKey>,
    /// Names inside, lower case, wildcards with `*.`.
    pub(super) names: Vec<String>,
    pub(super) not_after: Timestamp,
    /// Both files as read: equal content is no change.
    pub(super) content: [Vec<u8>; 2],
}

impl Files {
    pub(super) fn stamp(&self) -> Stamp {
        let of = |path: &Path| {
            let meta = std::fs::metadata(path).ok()?;
            Some((
                meta.dev(),
                meta.ino(),
                meta.size(),
                [meta.mtime(), meta.mtime_nsec()],
                [meta.ctime(), meta.ctime_nsec()],
            ))
        };
        Stamp([of(&self.certificate), of(&self.key)])
    }
}

/// The pairs of a directory by NAME. Half a pair counts: its other half may be on the way.
pub(super) fn list(directory: &Path) -> io::Result<BTreeMap<String, Files>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let Some(file_name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if file_name.starts_with('.') {
            continue;
        }
        if let Some(name) = file_name.strip_suffix(".crt").or_else(|| file_name.strip_suffix(".key")) {
            let files = Files {
                certificate: directory.join(format!("{name}.crt")),
                key: directory.join(format!("{name}.key")),
            };
            found.insert(name.to_owned(), files);
        } else if path.is_dir() {
            let files = Files { certificate: path.join("fullchain.pem"), key: path.join("privkey.pem") };
            if files.certificate.exists() || files.key.exists() {
                found.entry(file_name.to_owned()).or_insert(files);
            }
        }
    }
    Ok(found)
}

/// Reads a pair, or says in words why it cannot be used.
pub(super) fn read(files: &Files) -> Result<Pair, String> {
    let content = [bytes(&files.certificate)?, bytes(&files.key)?];
    let shown = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&content[0])
        .take(CHAIN_LIMIT)
        .collect::<Result<_, _>>()
        .map_err(|e| format!("{} cannot be read: {e}", shown(&files.certificate)))?;
    let Some(leaf) = certificates.first().cloned() else {
        return Err(format!("{} holds no certificate", shown(&files.certificate)));
    };
    let facts = chain::describe(&leaf).map_err(|e| e.to_string())?;
    let names = names(&leaf)?;
    let key = PrivateKeyDer::from_pem_slice(&content[1])
        .map_err(|e| format!("{} holds no private key: {e}", shown(&files.key)))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = CertifiedKey::from_der(certificates, key, &provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => "the key does not fit the certificate".to_owned(),
        other => format!("the pair cannot be used: {other}"),
    })?;
    Ok(Pair { key: Arc::new(key), names, not_after: facts.not_after, content })
}

fn names(leaf: &CertificateDer<'_>) -> Result<Vec<String>, String> {
    let certificate = webpki::EndEntityCert::try_from(leaf)
        .map_err(|e| format!("the certificate is none for a server: {e}"))?;
    Ok(certificate.valid_dns_names().map(str::to_ascii_lowercase).collect())
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let file = std::fs::File::open(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => format!("{shown} is missing"),
        _ => format!("{shown} cannot be read: {e}"),
    })?;
    let mut content = Vec::new();
    file.take(FILE_LIMIT + 1)
        .read_to_end(&mut content)
        .map_err(|e| format!("{shown} cannot be read: {e}"))?;
    if content.len() as u64 > FILE_LIMIT {
        return Err(format!("{shown} is larger than a certificate can be"));
    }
    Ok(content)
}
