//! A conversation with the mail server: commands, replies, and one deadline for all of it.

use std::fmt;
use std::future::Future;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Duration, Instant, timeout_at};

use super::SubmitServer;
use crate::post::Delivered;
use crate::smtp::reply::{MOST_LINE, Reply, ReplyReader};

pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// When all of it must be over, and how long that was from the start.
#[derive(Clone, Copy)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    pub(super) limit: Duration,
}

/// A stream and the reader of its replies.
pub(super) struct Talk<'a> {
    server: &'a SubmitServer,
    stream: Box<dyn Stream>,
    reader: ReplyReader,
    until: Deadline,
}

impl<'a> Talk<'a> {
    pub(super) fn over(server: &'a SubmitServer, stream: Box<dyn Stream>, until: Deadline) -> Self {
        Self { server, stream, reader: ReplyReader::default(), until }
    }

    pub(super) fn server(&self) -> &SubmitServer {
        self.server
    }

    /// Something that the server does and that is no matter of the mail: tried again later.
    pub(super) fn trouble(&self, what: &str) -> Delivered {
        trouble(self.server, what)
    }

    /// The bare stream for TLS: what was sent ahead of it in clear is never read as if it came through it.
    pub(super) fn into_stream(self) -> Result<Box<dyn Stream>, Delivered> {
        match self.reader.is_empty() {
            true => Ok(self.stream),
            false => Err(self.trouble("sends text ahead of TLS, as somebody in between would")),
        }
    }

    /// Sends a line and waits for its reply. `what` is for people, since a line may be a secret.
    pub(super) async fn command(&mut self, what: &str, line: &str) -> Result<Reply, Delivered> {
        self.write(what, format!("{line}\r\n").as_bytes()).await?;
        self.reply(what).await
    }

    /// Sends bytes. A reply that came before would be taken for the answer to them.
    pub(super) async fn write(&mut self, what: &str, bytes: &[u8]) -> Result<(), Delivered> {
        if !self.reader.is_empty() {
            return Err(self.trouble(&format!("sends replies before {what}, unasked")));
        }
        let (server, until) = (self.server, self.until);
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        in_time(server, until, what, written).await
    }

    /// The reply to `what`.
    pub(super) async fn reply(&mut self, what: &str) -> Result<Reply, Delivered> {
        let mut bytes = [0; MOST_LINE];
        loop {
            match self.reader.next_reply() {
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => {}
                Err(e) => return Err(self.trouble(&format!("answers {what} with {e}"))),
            }
            match in_time(self.server, self.until, what, self.stream.read(&mut bytes)).await? {
                0 => return Err(self.trouble(&format!("hung up at {what}"))),
                length => self.reader.push(&bytes[..length]),
            }
        }
    }
}

/// The result of a step that must end before the deadline of all.
pub(super) async fn in_time<T, E: fmt::Display>(
    server: &SubmitServer,
    until: Deadline,
    what: &str,
    step: impl Future<Output = Result<T, E>>,
) -> Result<T, Delivered> {
    match timeout_at(until.at, step).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(trouble(server, &format!("cannot be spoken to ({what}): {error}"))),
        Err(_) => {
            let limit = until.limit.as_secs();
            Err(trouble(server, &format!("gives no whole answer to {what}: {limit} s are over")))
        }
    }
}

pub(super) fn trouble(server: &SubmitServer, what: &str) -> Delivered {
    Delivered::later(format!("{server} {what}"))
}
