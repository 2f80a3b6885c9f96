//! One connection: frames in, answers out, in their order.
//!
//! One read, one write: the answers to all that came with a read leave together. A question that must be
//! looked up is waited for after what is ready has been sent.

use std::time::Duration;

use mailward_core::postfix::answer;
use mailward_core::postfix::netstring;
use mailward_core::postfix::socketmap::{Map, Question};
use mailward_duty::Stop;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};

use crate::policy::Policies;

/// How long a client may take to read its answers.
const SEND: Duration = Duration::from_secs(30);
/// Room for requests at first; grown for a longer one.
const ROOM: usize = 2048;
/// Answers are sent when so many bytes wait.
const FULL: usize = 64 * 1024;
/// The longest frame: the digits, the colon, the payload, the comma.
const LONGEST: usize = netstring::LIMIT + 7;

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By the client, or for want of something to do, or since we stop.
    Closed,
    /// What came was no netstring.
    Malformed,
}

/// A connection.
pub(super) struct Connection<S> {
    stream: S,
    policies: Policies,
    /// A connection on which nothing happens for so long is closed.
    idle: Duration,
    /// Bytes read and not understood yet: `requests[from..]`.
    requests: Vec<u8>,
    from: usize,
    /// Frames to send.
    answers: Vec<u8>,
    /// One answer before it is framed.
    scratch: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(stream: S, policies: Policies, idle: Duration) -> Self {
        let (requests, answers, scratch) = (Vec::with_capacity(ROOM), Vec::new(), Vec::new());
        Self { stream, policies, idle, requests, from: 0, answers, scratch }
    }

    /// Serves it to its end.
    pub(super) async fn serve(mut self, mut stop: Stop) -> End {
        let limit = self.idle;
        let idle = sleep_until(Instant::now() + limit);
        let stopped = stop.requested();
        tokio::pin!(idle, stopped);
        let mut last = Instant::now();
        loop {
            let read = tokio::select! {
                biased;
                read = self.stream.read_buf(&mut self.requests) => read,
                () = &mut stopped => return End::Closed,
                () = &mut idle => {
                    // The timer is moved when it rings, not at each question.
                    if last.elapsed() >= limit {
                        return End::Closed;
                    }
                    idle.as_mut().reset(last + limit);
                    continue;
                }
            };
            match read {
                Ok(0) | Err(_) => return End::Closed,
                Ok(_) => last = Instant::now(),
            }
            let is_well_formed = self.answer_all().await;
            if !self.send().await {
                return End::Closed;
            }
            if !is_well_formed {
                return End::Malformed;
            }
            self.make_room();
        }
    }

    /// Answers every whole request; `false` when what came cannot become one.
    async fn answer_all(&mut self) -> bool {
        loop {
            let (begin, end) = match netstring::read(&self.requests[self.from..]) {
                Ok(Some((payload, used))) => {
                    let end = self.from + used - 1;
                    (end - payload.len(), end)
                }
                Ok(None) => return true,
                Err(_) => return false,
            };
            self.from = end + 1;
            self.scratch.clear();
            if !self.answer_from_memory(begin, end) {
                let question = Question::parse(&self.requests[begin..end]);
                self.answer(question).await;
            }
            netstring::write(&self.scratch, &mut self.answers);
            if self.answers.len() > FULL && !self.send().await {
                return true;
            }
        }
    }

    /// The quick way: a key as Postfix sends it, which memory knows as it stands.
    fn answer_from_memory(&mut self, begin: usize, end: usize) -> bool {
        let payload = &self.requests[begin..end];
        let Some(blank) = payload.iter().position(|b| *b == b' ') else { return false };
        let Some(map) = Map::parse(&payload[..blank]) else { return false };
        self.policies.tell_from_memory(&payload[blank + 1..], map, &mut self.scratch)
    }

    async fn answer(&mut self, question: Question) {
        match question {
            Question::NextHop { map, domain, port } => {
                // Answers that are ready do not wait for a lookup; a failed client is noticed later.
                let _ = self.send().await;
                self.policies.answer(domain, port, map, &mut self.scratch).await;
            }
            Question::NoPolicy(_) => self.scratch.extend_from_slice(answer::not_found().as_bytes()),
            Question::NotOurs(why) => self.scratch.extend_from_slice(answer::permanent(why).as_bytes()),
        }
    }

    /// Sends what is ready; `false` when the client is gone or does not read.
    async fn send(&mut self) -> bool {
        if self.answers.is_empty() {
            return true;
        }
        let sent = timeout(SEND, self.stream.write_all(&self.answers)).await;
        self.answers.clear();
        if self.answers.capacity() > 2 * FULL {
            self.answers.shrink_to(FULL);
        }
        matches!(sent, Ok(Ok(())))
    }

    /// Forgets what was answered, and makes room for the next read; never more than two requests.
    fn make_room(&mut self) {
        if self.from == self.requests.len() {
            self.requests.clear();
        } else if self.from > 0 {
            self.requests.drain(..self.from);
        }
        self.from = 0;
        if self.requests.is_empty() && self.requests.capacity() > 2 * LONGEST {
            self.requests.shrink_to(ROOM);
        }
        if self.scratch.capacity() > FULL {
            self.scratch.shrink_to(ROOM);
        }
    }
}
