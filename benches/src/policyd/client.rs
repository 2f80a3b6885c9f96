//! The client: connections that ask as fast as they are answered, and look at every answer.
//!
//! One thread asks over all connections, so that the server keeps most of a small machine.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use mailward_core::postfix::netstring;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

/// Where a server listens.
#[derive(Debug, Clone)]
pub enum Place {
    /// A unix socket.
    Unix(PathBuf),
    /// TCP.
    Tcp(SocketAddr),
}

/// A stream of either kind.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What is asked.
#[derive(Clone)]
pub struct Load {
    /// The map.
    pub map: &'static str,
    /// The name of a domain by number.
    pub domain: fn(usize) -> String,
    /// Numbers below this are asked for.
    pub domains: usize,
    /// What every answer must begin with.
    pub wanted: &'static str,
    /// Connections.
    pub connections: usize,
    /// Questions that are sent before the first answer is read.
    pub depth: usize,
    /// How long, or how many.
    pub length: Length,
}

/// When a load ends.
#[derive(Debug, Clone, Copy)]
pub enum Length {
    /// After this time; names by chance.
    For(Duration),
    /// When each name was asked for once.
    Each,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Seconds that it took.
    pub wall: f64,
    /// Microseconds from a question, or from a batch of `depth`, to its last answer.
    pub waits: Vec<u32>,
    /// Questions answered.
    pub answers: usize,
}

impl Outcome {
    /// Adds another round.
    pub fn add(&mut self, other: Self) {
        self.wall += other.wall;
        self.waits.extend(other.waits);
        self.answers += other.answers;
    }

    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.answers as f64 / self.wall
    }

    /// The wait that so many of a hundred do not exceed, in microseconds.
    pub fn percentile(&mut self, percent: usize) -> f64 {
        let at = (self.waits.len() * percent / 100).min(self.waits.len().saturating_sub(1));
        match self.waits.is_empty() {
            true => 0.0,
            false => f64::from(*self.waits.select_nth_unstable(at).1),
        }
    }
}

impl Load {
    /// Asks. An answer that is not wanted ends everything.
    pub fn run(&self, place: &Place) -> Result<Outcome, String> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        runtime.block_on(async {
            let mut pipes = Vec::new();
            for _ in 0..self.connections {
                pipes.push(Pipe::connect(place).await?);
            }
            let (next, begun) = (Arc::new(AtomicUsize::new(0)), Instant::now());
            let tasks: Vec<_> = pipes
                .into_iter()
                .enumerate()
                .map(|(number, pipe)| {
                    tokio::spawn(self.clone().on_one(pipe, number, Arc::clone(&next), begun))
                })
                .collect();
            let mut outcome = Outcome::default();
            for task in tasks {
                outcome.add(task.await.map_err(|e| e.to_string())??);
            }
            outcome.wall = begun.elapsed().as_secs_f64();
            Ok(outcome)
        })
    }

    async fn on_one(
        self,
        mut pipe: Pipe,
        number: usize,
        next: Arc<AtomicUsize>,
        begun: Instant,
    ) -> Result<Outcome, String> {
        let mut chance = Chance::new(number);
        let mut outcome = Outcome::default();
        loop {
            let mut asked = 0;
            let sent = Instant::now();
            while asked < self.depth {
                let number = match self.length {
                    Length::For(time) if sent - begun >= time => break,
                    Length::For(_) => chance.below(self.domains),
                    Length::Each => next.fetch_add(1, Relaxed),
                };
                if number >= self.domains {
                    break;
                }
                pipe.ask(self.map, &(self.domain)(number));
                asked += 1;
            }
            if asked == 0 {
                return Ok(outcome);
            }
            pipe.send().await?;
            for _ in 0..asked {
                let answer = pipe.answer().await?;
                if !answer.starts_with(self.wanted.as_bytes()) {
                    return Err(format!("answered {:?}", String::from_utf8_lossy(answer)));
                }
            }
            outcome.answers += asked;
            outcome.waits.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
        }
    }
}

/// One connection.
pub struct Pipe {
    stream: Box<dyn Stream>,
    questions: Vec<u8>,
    received: Vec<u8>,
    from: usize,
}

impl Pipe {
    /// Connects.
    pub async fn connect(place: &Place) -> Result<Self, String> {
        let failed = |e: std::io::Error| format!("{place:?}: {e}");
        let stream: Box<dyn Stream> = match place {
            Place::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(failed)?),
            Place::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(failed)?;
                stream.set_nodelay(true).map_err(failed)?;
                Box::new(stream)
            }
        };
        Ok(Self { stream, questions: Vec::new(), received: Vec::with_capacity(16 * 1024), from: 0 })
    }

    /// A question to be sent.
    pub fn ask(&mut self, map: &str, domain: &str) {
        let length = map.len() + 1 + domain.len();
        let _ = write!(self.questions, "{length}:{map} {domain},");
    }

    /// Sends what was asked.
    pub async fn send(&mut self) -> Result<(), String> {
        self.stream.write_all(&self.questions).await.map_err(|e| format!("cannot ask: {e}"))?;
        self.questions.clear();
        Ok(())
    }

    /// Waits for the next answer.
    pub async fn answer(&mut self) -> Result<&[u8], String> {
        loop {
            let frame = netstring::read_reply(&self.received[self.from..]).map_err(|e| e.to_string())?;
            if let Some((payload, used)) = frame {
                let end = self.from + used - 1;
                self.from += used;
                return Ok(&self.received[end - payload.len()..end]);
            }
            self.received.drain(..self.from);
            self.from = 0;
            match self.stream.read_buf(&mut self.received).await {
                Ok(0) => return Err("the server closed a connection".to_owned()),
                Ok(_) => {}
                Err(error) => return Err(format!("no answer: {error}")),
            }
        }
    }
}

/// Numbers by chance, the same in every run (xorshift).
pub struct Chance(u64);

impl Chance {
    /// Another sequence for each number.
    pub fn new(number: usize) -> Self {
        Self(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number as u64 + 1) | 1)
    }

    /// A number below this.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}
