//! One entry of the cache as it lies in memory: a single allocation, read in place.
//!
//! A sender of some size has a million of these, so an entry has a fixed head of numbers and behind it
//! the texts it needs: the domain, the answer's names, the MX hosts, the policy as fetched. Parsed values
//! would take five times as much. A question is answered by copying from here ([`Packed::render`]); whoever
//! changes an entry unpacks it (`super::entry`), and packs a new one.
//!
//! Times are seconds of the Unix epoch in 32 bits, which last until 2106.

use mailward_core::delivery::Level;
use mailward_core::postfix::answer;
use mailward_core::postfix::socketmap::Map;

/// Bytes of the head.
pub(super) const HEAD: usize = 80;

/// What an allocation and its place in the table cost beside the bytes.
pub(super) const OVERHEAD: usize = 40;

/// The bit that says that an answer has names and no patterns.
pub(super) const NAMES_ALONE: u8 = 0x80;

/// The length that says "the same text as the names".
pub(super) const SAME: u32 = u32::MAX;

/// Places of the numbers in the head.
pub(super) mod at {
    /// `Level`, or [`super::NO_LEVEL`].
    pub(crate) const LEVEL: usize = 0;
    /// The DANE branch, or 255.
    pub(crate) const DANE: usize = 1;
    /// Why no policy applies; see `super::super::entry`. With [`super::NAMES_ALONE`].
    pub(crate) const NO_STS: usize = 2;
    /// `Mode` of the policy held, or 255.
    pub(crate) const MODE: usize = 3;
    /// Port, two bytes.
    pub(crate) const PORT: usize = 4;
    /// Lengths.
    pub(crate) const DOMAIN: usize = 6;
    pub(crate) const ID: usize = 7;
    pub(crate) const NAMES: usize = 8;
    pub(crate) const MX: usize = 12;
    pub(crate) const PATTERNS: usize = 16;
    pub(crate) const BODY: usize = 20;
    pub(crate) const FAILURE: usize = 24;
    /// Times.
    pub(crate) const DECIDED: usize = 28;
    pub(crate) const UNTIL: usize = 32;
    pub(crate) const REFRESH: usize = 36;
    pub(crate) const DNS_AT: usize = 40;
    pub(crate) const DNS_UNTIL: usize = 44;
    pub(crate) const BRANCH_AT: usize = 48;
    pub(crate) const BRANCH_TTL: usize = 52;
    pub(crate) const FETCHED: usize = 56;
    pub(crate) const RECORD_SEEN: usize = 60;
    pub(crate) const MAX_AGE: usize = 64;
    pub(crate) const STS_UNTIL: usize = 68;
    pub(crate) const STORED: usize = 72;
    pub(crate) const USED: usize = 76;
}

/// No decision yet: known from the store only.
pub(super) const NO_LEVEL: u8 = 7;

/// Kinds of [`at::LEVEL`], for counting.
pub(super) const LEVELS: usize = 8;

/// The levels by their number.
pub(super) const BY_NUMBER: [Level; 7] =
    [Level::DaneOnly, Level::Dane, Level::Secure, Level::Encrypt, Level::May, Level::NoDemand, Level::Defer];

/// The number of a level.
pub(super) fn number(level: Level) -> u8 {
    match level {
        Level::DaneOnly => 0,
        Level::Dane => 1,
        Level::Secure => 2,
        Level::Encrypt => 3,
        Level::May => 4,
        Level::NoDemand => 5,
        Level::Defer => 6,
    }
}

/// An entry in one allocation.
#[derive(Debug, Clone)]
pub(super) struct Packed(pub(super) Box<[u8]>);

impl Packed {
    /// A number of the head.
    pub(super) fn number(&self, place: usize) -> u32 {
        match self.0.get(place..place + 4) {
            Some(&[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]),
            _ => 0,
        }
    }

    /// Changes a number of the head.
    pub(super) fn set(&mut self, place: usize, number: u32) {
        if let Some(bytes) = self.0.get_mut(place..place + 4) {
            bytes.copy_from_slice(&number.to_le_bytes());
        }
    }

    /// A byte of the head.
    pub(super) fn byte(&self, place: usize) -> u8 {
        self.0.get(place).copied().unwrap_or_default()
    }

    /// The port.
    pub(super) fn port(&self) -> u16 {
        u16::from_le_bytes([self.byte(at::PORT), self.byte(at::PORT + 1)])
    }

    /// The domain, in its canonical form.
    pub(super) fn domain(&self) -> &[u8] {
        self.piece(HEAD, self.byte(at::DOMAIN).into())
    }

    /// The domain as text.
    pub(super) fn domain_text(&self) -> &str {
        text(self.domain())
    }

    /// The level; `None` before the first decision.
    pub(super) fn level(&self) -> Option<Level> {
        BY_NUMBER.get(usize::from(self.byte(at::LEVEL))).copied()
    }

    /// Whether the answer has names and no patterns, since these would open a host that was left out.
    pub(super) fn names_alone(&self) -> bool {
        self.byte(at::NO_STS) & NAMES_ALONE != 0
    }

    /// Bytes it takes, about.
    pub(super) fn cost(&self) -> usize {
        self.0.len() + OVERHEAD
    }

    /// The texts behind the head, in order: domain, names, id, MX, patterns, body, failure. What most answers
    /// need stands together: among a million entries an answer waits for memory and for little else.
    pub(super) fn texts(&self) -> Texts<'_> {
        let mut from = HEAD;
        let mut take = |length: usize| {
            let piece = self.piece(from, length);
            from += piece.len();
            piece
        };
        let long = |place| match self.number(place) {
            SAME => None,
            length => Some(usize::try_from(length).unwrap_or(0)),
        };
        let domain = take(self.byte(at::DOMAIN).into());
        let names = take(long(at::NAMES).unwrap_or(0));
        let id = take(self.byte(at::ID).into());
        let mx = long(at::MX).map_or(names, &mut take);
        let patterns = long(at::PATTERNS).map_or(names, &mut take);
        let body = take(long(at::BODY).unwrap_or(0));
        let failure = take(long(at::FAILURE).unwrap_or(0));
        Texts {
            domain: text(domain),
            id: text(id),
            names: text(names),
            mx: text(mx),
            patterns: text(patterns),
            body,
            failure,
        }
    }

    /// Appends the answer for one of the maps that Postfix asks; nothing is allocated but the room.
    pub(super) fn render(&self, map: Map, to: &mut Vec<u8>) {
        let fixed: &[u8] = match self.level() {
            Some(Level::DaneOnly) => b"OK dane-only",
            Some(Level::Dane) => b"OK dane",
            Some(Level::Encrypt) => b"OK encrypt",
            Some(Level::May) => b"OK may",
            Some(Level::NoDemand) | None => b"NOTFOUND ",
            Some(Level::Secure) => return self.render_secure(map, to),
            Some(Level::Defer) => {
                let texts = self.texts();
                let reason = answer::temporary(&format!("{}: {}", texts.domain, texts.names));
                return to.extend_from_slice(reason.as_bytes());
            }
        };
        to.extend_from_slice(fixed);
    }

    fn render_secure(&self, map: Map, to: &mut Vec<u8>) {
        let (begin, texts) = (to.len(), self.texts());
        answer::secure(texts.names, to);
        if map == Map::TlsRpt && !texts.body.is_empty() {
            let alone = self.names_alone();
            let patterns = texts.patterns.split(':').filter(|pattern| !pattern.is_empty() && !alone);
            answer::add_report_attributes(texts.domain, patterns, texts.body, to);
        }
        if to.len() - begin > answer::LIMIT {
            to.truncate(begin);
            to.extend_from_slice(answer::too_long(texts.domain).as_bytes());
        }
    }

    fn piece(&self, from: usize, length: usize) -> &[u8] {
        self.0.get(from..from + length).unwrap_or_default()
    }
}

/// What stands behind the head.
#[derive(Debug, Clone, Copy)]
pub(super) struct Texts<'a> {
    /// The domain.
    pub(super) domain: &'a str,
    /// The id of the record with which the policy was fetched.
    pub(super) id: &'a str,
    /// At `Level::Secure` the names, joined by colons; at `Level::Defer` the cause.
    pub(super) names: &'a str,
    /// The MX hosts of the last certain answer, joined by colons.
    pub(super) mx: &'a str,
    /// The patterns of the policy, joined by colons.
    pub(super) patterns: &'a str,
    /// The policy as fetched.
    pub(super) body: &'a [u8],
    /// The failure, as JSON.
    pub(super) failure: &'a [u8],
}

/// Everything but bodies was text when it was packed.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}
