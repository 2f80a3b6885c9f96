//! Bytes kept for the record, deflated where that makes them smaller.

use std::cell::RefCell;
use std::io::Read;

use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use flate2::{Compress, Compression, FlushCompress, Status};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Result, StoreError};

/// Below this a stream costs more than it saves.
const WORTH_IT: usize = 256;

thread_local! {
    /// The tables of a packer are many times as large as a mail: each thread keeps one and uses it again.
    static PACKER: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
}

/// The column `deflated` (0 or 1) and the bytes to store. Reports come as gzip most of the time: those
/// stay as they are.
pub(crate) fn pack(bytes: &[u8]) -> (i64, Vec<u8>) {
    if bytes.len() >= WORTH_IT && !bytes.starts_with(&[0x1f, 0x8b]) {
        // One byte less than the original: what does not fit is not worth packing.
        let mut packed = Vec::with_capacity(bytes.len() - 1);
        let outcome = PACKER.with_borrow_mut(|packer| {
            packer.reset();
            packer.compress_vec(bytes, &mut packed, FlushCompress::Finish)
        });
        if matches!(outcome, Ok(Status::StreamEnd)) {
            packed.shrink_to_fit();
            return (1, packed);
        }
    }
    (0, bytes.to_owned())
}

pub(crate) fn unpack(deflated: i64, bytes: Vec<u8>) -> Result<Vec<u8>> {
    if deflated == 0 {
        return Ok(bytes);
    }
    let mut plain = Vec::new();
    DeflateDecoder::new(bytes.as_slice())
        .read_to_end(&mut plain)
        .map_err(|e| StoreError::Corrupt(format!("stored bytes do not unpack: {e}")))?;
    Ok(plain)
}

/// A value as deflated JSON. Facts hold whole certificates, which JSON spells out digit by digit.
pub(crate) fn pack_json<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    let failed = |e: &dyn std::fmt::Display| StoreError::Corrupt(format!("cannot be packed: {e}"));
    serde_json::to_writer(&mut encoder, value).map_err(|e| failed(&e))?;
    encoder.finish().map_err(|e| failed(&e))
}

pub(crate) fn unpack_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let reader = std::io::BufReader::new(DeflateDecoder::new(bytes));
    serde_json::from_reader(reader).map_err(|e| StoreError::Corrupt(format!("packed JSON: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back() {
        let mail = b"the same line again and again\r\n".repeat(100);
        let gzip = [&[0x1f, 0x8b][..], &[0; 1000]].concat();
        for (bytes, deflated) in [(mail, 1), (gzip, 0), (b"short".to_vec(), 0), (Vec::new(), 0)] {
            let (flag, packed) = pack(&bytes);
            assert_eq!(flag, deflated);
            assert!(packed.len() <= bytes.len());
            assert_eq!(unpack(flag, packed).unwrap(), bytes);
        }
        assert!(unpack(1, b"no stream".to_vec()).is_err());
    }
}
