//! The client's side of Postfix' socketmap protocol: `LENGTH:MAP KEY,` and a reply of the same frame.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Postfix waits for 100 s; a policy daemon that takes more than five is broken.
const PATIENCE: Duration = Duration::from_secs(10);
/// Postfix' own limit (`socketmap_max_reply_size`).
const LARGEST: usize = 100_000;

/// Asks one question on a connection of its own.
pub(super) async fn ask(socket: &Path, map: &str, key: &str) -> io::Result<String> {
    let asked = async {
        let mut stream = UnixStream::connect(socket).await?;
        let request = format!("{map} {key}");
        stream.write_all(format!("{}:{request},", request.len()).as_bytes()).await?;
        let mut reply = Vec::new();
        loop {
            if let Some(text) = unframed(&reply)? {
                return Ok(text);
            }
            if stream.read_buf(&mut reply).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// What stands in a frame; `None` while it is not complete.
fn unframed(reply: &[u8]) -> io::Result<Option<String>> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "the policy daemon's reply is no netstring");
    let Some(colon) = reply.iter().position(|octet| *octet == b':') else {
        return if reply.len() > 6 { Err(wrong()) } else { Ok(None) };
    };
    let digits = std::str::from_utf8(&reply[..colon]).map_err(|_| wrong())?;
    let length: usize = digits.parse().map_err(|_| wrong())?;
    if length > LARGEST {
        return Err(wrong());
    }
    let rest = &reply[colon + 1..];
    match rest.get(length) {
        None => Ok(None),
        Some(b',') => Ok(Some(String::from_utf8_lossy(&rest[..length]).into_owned())),
        Some(_) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames() {
        for (bytes, text) in [
            (&b""[..], Some(None)),
            (b"9:NOTFOUND", Some(None)),
            (b"9:NOTFOUND ,", Some(Some("NOTFOUND "))),
            (b"8:NOTFOUNDx,", None),
            (b"a:b,", None),
            (b"1000000:", None),
            (b"220 mail.test", None),
        ] {
            assert_eq!(unframed(bytes).ok(), text.map(|t| t.map(str::to_owned)), "{bytes:?}");
        }
    }
}
