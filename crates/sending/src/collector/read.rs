//! The reading thread: it empties the socket and does nothing else.
//!
//! It parses nothing and waits for nobody, for whatever it does instead of reading may cost datagrams. Up
//! to 64 are had by one call to the kernel. They are handed over in batches, since waking the counting
//! thread costs more than a datagram does.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use mailward_core::Clock;
use mailward_core::tlsrpt::datagram::LIMIT;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg};
use tokio::time::Instant;

use super::handover::{Batch, Handover, day};
use super::meters::Meters;

/// Datagrams by one call.
const AT_ONCE: usize = 64;
/// A batch is handed over when it has so many, …
const FULL: u64 = 512;
/// … or is so heavy, …
const HEAVY: usize = 1 << 20;
/// … or so old.
const GATHER: Duration = Duration::from_millis(10);
/// After being told to stop, reading what is queued may take this long.
const DRAIN: Duration = Duration::from_secs(2);

/// What the thread has.
pub(super) struct Reader {
    pub(super) socket: UnixDatagram,
    /// Ends when it shall stop.
    pub(super) stop: UnixStream,
    pub(super) handover: Arc<Handover>,
    pub(super) meters: Arc<Meters>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Reader {
    /// Reads until told to stop and the socket is empty; tells the counting thread that this was all.
    ///
    /// # Errors
    /// When the socket cannot be read at all.
    pub(super) fn run(self) -> io::Result<()> {
        let outcome = self.read();
        self.handover.end();
        outcome
    }

    fn read(&self) -> io::Result<()> {
        let mut mouth = Mouth::new();
        let mut batch: Option<(Batch, Instant)> = None;
        loop {
            let rest = batch.as_ref().map(|(_, since)| GATHER.saturating_sub(since.elapsed()));
            let (readable, stop) = self.wait(rest)?;
            if readable {
                self.empty_once(&mut mouth, &mut batch)?;
            }
            let due = |(batch, since): &(Batch, Instant)| {
                batch.datagrams() >= FULL || batch.weight() >= HEAVY || since.elapsed() >= GATHER
            };
            if batch.as_ref().is_some_and(due) {
                self.hand_over(&mut batch);
            }
            if stop {
                let deadline = Instant::now() + DRAIN;
                while Instant::now() < deadline && self.empty_once(&mut mouth, &mut batch)? > 0 {
                    self.hand_over(&mut batch);
                }
                self.hand_over(&mut batch);
                return Ok(());
            }
        }
    }

    /// Waits for datagrams, for the end, or for so long; tells which of the first two it was.
    fn wait(&self, timeout: Option<Duration>) -> io::Result<(bool, bool)> {
        let mut ready = [
            PollFd::new(self.socket.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.stop.as_fd(), PollFlags::POLLIN),
        ];
        // Rounded up: a wait of no milliseconds is none.
        let timeout = timeout.map_or(PollTimeout::NONE, |time| {
            PollTimeout::try_from(time + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut ready, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok((ready[0].any().unwrap_or(false), ready[1].any().unwrap_or(false)))
    }

    /// One call to the kernel; how many datagrams it gave.
    fn empty_once(&self, mouth: &mut Mouth, batch: &mut Option<(Batch, Instant)>) -> io::Result<usize> {
        let today = day(self.clock.as_ref());
        if batch.as_ref().is_some_and(|(batch, _)| batch.day != today) {
            self.hand_over(batch);
        }
        let (into, _) = batch.get_or_insert_with(|| (Batch::new(today), Instant::now()));
        let outcome = mouth.receive(&self.socket, |datagram, truncated| {
            if truncated {
                self.meters.truncated();
            } else {
                into.push(datagram);
            }
        });
        if into.is_empty() {
            *batch = None;
        }
        match outcome {
            Ok(received) => Ok(received),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    fn hand_over(&self, batch: &mut Option<(Batch, Instant)>) {
        let Some((batch, _)) = batch.take() else { return };
        let datagrams = batch.datagrams();
        if !self.handover.give(batch) {
            self.meters.dropped(datagrams);
        }
    }
}

/// Buffers for one call. Of each, memory is used only as far as a datagram ever reached.
struct Mouth {
    buffers: Box<[Vec<u8>; AT_ONCE]>,
    headers: MultiHeaders<()>,
}

impl Mouth {
    fn new() -> Self {
        Self {
            buffers: Box::new(std::array::from_fn(|_| vec![0; LIMIT])),
            headers: MultiHeaders::preallocate(AT_ONCE, None),
        }
    }

    /// Receives what there is, without waiting; `each` gets the bytes and whether there were more.
    fn receive(&mut self, socket: &UnixDatagram, mut each: impl FnMut(&[u8], bool)) -> nix::Result<usize> {
        let mut slices = self.buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        let flags = MsgFlags::MSG_DONTWAIT;
        let messages = recvmmsg(socket.as_raw_fd(), &mut self.headers, slices.iter_mut(), flags, None)?;
        let mut received = 0;
        for message in messages {
            received += 1;
            each(message.iovs().next().unwrap_or_default(), message.flags.contains(MsgFlags::MSG_TRUNC));
        }
        Ok(received)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_of_any_length_come_whole_or_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let socket = UnixDatagram::bind(&path).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        sender.connect(&path).unwrap();
        // The largest that a sender can send at all without a larger buffer of its own.
        nix::sys::socket::setsockopt(&sender, nix::sys::socket::sockopt::SndBuf, &(1 << 20)).unwrap();
        let mut mouth = Mouth::new();
        assert_eq!(mouth.receive(&socket, |_, _| ()), Err(Errno::EAGAIN));
        for length in [0, 1, 200, 200_000, LIMIT, LIMIT + 1, 3] {
            let sent = vec![b'x'; length];
            match sender.send(&sent) {
                Ok(_) => {}
                // Where the kernel allows no buffer as large as that.
                Err(error) if length >= LIMIT && error.raw_os_error() == Some(nix::libc::EMSGSIZE) => {
                    continue;
                }
                Err(error) => panic!("{length}: {error}"),
            }
            let mut seen = Vec::new();
            let outcome =
                mouth.receive(&socket, |datagram, truncated| seen.push((datagram.len(), truncated)));
            assert_eq!(outcome, Ok(1), "{length}");
            assert_eq!(seen, [(length.min(LIMIT), length > LIMIT)], "{length}");
        }
    }
}
