//! Asks a policy daemon as Postfix does: one connection, one request, one answer.

use std::time::Duration;

use mailward_core::postfix::netstring;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::config::ListenAddress;

/// A daemon answers within 5 s; more is a daemon that is stuck.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// Nobody listens, or may not be asked.
    #[error("cannot connect to {0}: {1}")]
    NoConnection(ListenAddress, std::io::Error),
    /// The connection ended.
    #[error("{0} gives no answer: {1}")]
    Broken(ListenAddress, std::io::Error),
    /// Somebody else listens there.
    #[error("{0} does not speak socketmap: {1}")]
    Foreign(ListenAddress, netstring::Malformed),
    /// Too late.
    #[error("{0} does not answer within {PATIENCE:?}")]
    Late(ListenAddress),
}

/// The answer to `MAP KEY`, as it stands.
///
/// # Errors
/// When nothing answers there.
pub async fn ask(address: &ListenAddress, map: &str, key: &str) -> Result<String, NoAnswer> {
    let asked = async {
        let failed = |error| NoAnswer::NoConnection(address.clone(), error);
        match address {
            ListenAddress::Unix(path) => {
                exchange(UnixStream::connect(path).await.map_err(failed)?, address, map, key).await
            }
            ListenAddress::Tcp(to) => {
                exchange(TcpStream::connect(to).await.map_err(failed)?, address, map, key).await
            }
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(NoAnswer::Late(address.clone())))
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    address: &ListenAddress,
    map: &str,
    key: &str,
) -> Result<String, NoAnswer> {
    let broken = |error| NoAnswer::Broken(address.clone(), error);
    let mut request = vec![];
    netstring::write(format!("{map} {key}").as_bytes(), &mut request);
    stream.write_all(&request).await.map_err(broken)?;
    let mut bytes = vec![];
    loop {
        let frame = netstring::read_reply(&bytes).map_err(|e| NoAnswer::Foreign(address.clone(), e))?;
        if let Some((answer, _)) = frame {
            return Ok(String::from_utf8_lossy(answer).into_owned());
        }
        if stream.read_buf(&mut bytes).await.map_err(broken)? == 0 {
            return Err(broken(std::io::ErrorKind::UnexpectedEof.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client makes of these bytes.
    async fn answer(bytes: &[u8]) -> Result<String, String> {
        let (here, mut there) = tokio::io::duplex(64);
        let bytes = bytes.to_vec();
        let server = tokio::spawn(async move {
            let mut request = [0; 15];
            there.read_exact(&mut request).await.unwrap();
            assert_eq!(&request, b"12:mailward a.b");
            there.write_all(&bytes).await.unwrap();
        });
        let address = "127.0.0.1:1".parse().unwrap();
        let answer = exchange(here, &address, "mailward", "a.b").await.map_err(|e| e.to_string());
        server.await.unwrap();
        answer
    }

    #[tokio::test]
    async fn answers() {
        assert_eq!(answer(b"9:NOTFOUND ,").await, Ok("NOTFOUND ".to_owned()));
        let long = format!("OK {}", "x".repeat(50_000));
        assert_eq!(answer(format!("{}:{long},", long.len()).as_bytes()).await, Ok(long));
        for (bytes, why) in [
            (&b""[..], "no answer"),
            (b"9:NOT", "no answer"),
            (b"220 mail.example.com ESMTP", "does not speak socketmap"),
            (b"3:abcd", "does not speak socketmap"),
        ] {
            let error = answer(bytes).await.unwrap_err();
            assert!(error.contains(why), "{bytes:?}: {error}");
        }
    }
}
