//! DNS messages as bytes: a question going out, an answer coming in. Pure: no sockets, no time.
//!
//! Reading an answer means following its aliases from the name asked to the records, with the bounds
//! that a hostile server makes necessary. `domain` reads the wire format; what an answer *means*
//! (denial, referral, unfinished alias) is decided here.

use domain::base::iana::{Class, OptRcode, Rcode, Rtype};
use domain::base::opt::ExtendedError;
use domain::base::wire::ParseError;
use domain::base::{Header, Message, Name, ParsedName, ToName, UnknownRecordData};
use domain::rdata::{Cname, Mx, Soa};
use mailward_core::dns::{Alias, Denial, DnsError, MxRecord, TlsaRdata, TxtRecord};
use mailward_core::{DomainName, MxHost};

/// A record as it lies in an answer.
pub(super) type Record<'a> = domain::base::record::ParsedRecord<'a, Vec<u8>>;

/// Aliases followed for one question, over all messages it takes.
pub(super) const MOST_ALIASES: usize = 16;

/// EDNS payload size that survives every path (DNS flag day 2020).
const PAYLOAD: u16 = 1232;

/// How long a denial without SOA may be believed, in seconds (RFC 2308 §5 forbids caching it at all;
/// this is what we tell those who keep observations).
const DENIAL_WITHOUT_SOA: u32 = 60;

/// What is asked.
#[derive(Debug, Clone)]
pub(super) struct Query {
    /// The name, any bytes.
    pub(super) name: Name<Vec<u8>>,
    /// The type.
    pub(super) rtype: Rtype,
    /// Whether signatures and the AD bit are wanted.
    pub(super) dnssec: bool,
    /// Checking disabled: the server shall answer without validating.
    pub(super) cd: bool,
}

/// Letter case of the name in a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    /// As it is.
    Plain,
    /// Each letter at random ("0x20"): bits that a forger off the path has to guess as well.
    Mixed,
}

/// A number nobody can foresee. The `domain` crate owns the generator (it makes message ids).
pub(super) fn random_u16() -> u16 {
    let mut header = Header::new();
    header.set_random_id();
    header.id()
}

impl Query {
    /// The message to send, with a length prefix left to the stream transport.
    pub(super) fn to_wire(&self, id: u16, case: Case) -> Vec<u8> {
        let mut message = Vec::with_capacity(12 + self.name.as_slice().len() + 4 + 11);
        message.extend_from_slice(&id.to_be_bytes());
        // RD, and AD as a wish (RFC 6840 §5.7), and CD (RFC 4035 §3.2.2).
        message.push(0x01);
        message.push(if self.dnssec { 0x20 } else { 0 } | if self.cd { 0x10 } else { 0 });
        // One question; one additional record, the OPT.
        message.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 1]);
        let start = message.len();
        message.extend_from_slice(self.name.as_slice());
        if case == Case::Mixed {
            mix_case(&mut message[start..]);
        }
        message.extend_from_slice(&self.rtype.to_int().to_be_bytes());
        message.extend_from_slice(&Class::IN.to_int().to_be_bytes());
        // OPT (RFC 6891 §6.1.2): root, type 41, payload size, extended code and version 0, DO, no options.
        message.extend_from_slice(&[0, 0, 41]);
        message.extend_from_slice(&PAYLOAD.to_be_bytes());
        message.extend_from_slice(&[0, 0, if self.dnssec { 0x80 } else { 0 }, 0, 0, 0]);
        message
    }
}

fn mix_case(name: &mut [u8]) {
    let mut bits = 0u16;
    for (at, byte) in name.iter_mut().enumerate() {
        if at % 16 == 0 {
            bits = random_u16();
        }
        // Length octets are below 64 and never letters.
        if byte.is_ascii_alphabetic() && bits >> (at % 16) & 1 == 1 {
            *byte ^= 0x20;
        }
    }
}

/// The question section of a message we made.
pub(super) fn question_of(query: &[u8]) -> &[u8] {
    // The OPT record behind it is 11 octets.
    query.get(12..query.len().saturating_sub(11)).unwrap_or_default()
}

/// Whether `answer` is an answer to the question with this id, letter for letter.
pub(super) fn answers(answer: &[u8], id: u16, question: &[u8]) -> bool {
    answer.len() >= 12
        && answer[..2] == id.to_be_bytes()
        // QR set, opcode 0.
        && answer[2] & 0xF8 == 0x80
        && answer[4..6] == [0, 1]
        && answer[12..].starts_with(question)
}

/// The name on the wire.
pub(super) fn wire_name(name: &DomainName) -> Result<Name<Vec<u8>>, DnsError> {
    let mut wire = Vec::with_capacity(name.as_str().len() + 2);
    for label in name.as_str().split('.') {
        // A DomainName has labels of 1 to 63 octets.
        wire.push(u8::try_from(label.len()).unwrap_or(0));
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    Name::from_octets(wire).map_err(|e| DnsError::Malformed(format!("{name}: {e}")))
}

/// A name from the wire, when it is one that hosts and our records have.
pub(super) fn domain_name(name: &impl ToName) -> Result<DomainName, String> {
    let shown = || name.to_vec().to_string();
    let mut text = String::with_capacity(64);
    for label in name.iter_labels().filter(|l| !l.is_root()) {
        // Judged before parsing: a DomainName reader forgives what people type, such as blanks.
        if !label.as_slice().iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
            return Err(shown());
        }
        if !text.is_empty() {
            text.push('.');
        }
        text.extend(label.as_slice().iter().map(|b| char::from(b.to_ascii_lowercase())));
    }
    DomainName::parse(&text).map_err(|_| shown())
}

/// What an answer says about the name asked.
#[derive(Debug)]
pub(super) struct Reading<T> {
    /// Aliases within this message, in order.
    pub(super) aliases: Vec<Alias>,
    /// The least time to live seen.
    pub(super) ttl: u32,
    /// What comes at their end.
    pub(super) end: End<T>,
}

/// The end of a chain of aliases within one message.
#[derive(Debug)]
pub(super) enum End<T> {
    /// Records.
    Records(Vec<T>),
    /// "No".
    Denial(Denial),
    /// Neither: the server did not follow the alias. Ask for this name.
    Unfinished(Name<Vec<u8>>),
}

/// A type of record that we ask for.
pub(super) trait Wanted: Sized {
    /// Its number.
    const TYPE: Rtype;
    /// How many are looked at.
    const MOST: usize;
    /// Reads one.
    fn read(record: &Record<'_>) -> Result<Self, ParseError>;
    /// Puts the set into its order and cuts it to [`Self::MOST`].
    fn arrange(records: &mut Vec<Self>) {
        records.truncate(Self::MOST);
    }
}

/// Reads the answer to a question for `name`.
pub(super) fn read<T: Wanted>(
    message: &Message<Vec<u8>>,
    name: &Name<Vec<u8>>,
) -> Result<Reading<T>, DnsError> {
    let malformed = |e: ParseError| DnsError::Malformed(e.to_string());
    let nx_domain = match message.header().rcode() {
        Rcode::NOERROR => false,
        Rcode::NXDOMAIN => true,
        _ => return Err(DnsError::Refused(rcode_text(message))),
    };
    // Counts in the header may promise more than there is: the iterator ends in an error then.
    let records: Vec<Record<'_>> =
        message.answer().map_err(malformed)?.collect::<Result<_, _>>().map_err(malformed)?;

    let mut owner: Name<Vec<u8>> = name.clone();
    let mut aliases = Vec::new();
    let mut ttl = u32::MAX;
    loop {
        let mut found = Vec::new();
        let mut alias = None;
        for record in &records {
            if record.class() != Class::IN || record.owner() != owner {
                continue;
            }
            if record.rtype() == T::TYPE {
                ttl = ttl.min(seconds(record));
                found.push(T::read(record).map_err(malformed)?);
            } else if record.rtype() == Rtype::CNAME && alias.is_none() {
                alias = Some(record);
            }
        }
        // A name with records and an alias is a mistake of the zone; the records are what the
        // resolver gave us, so they count.
        if !found.is_empty() {
            T::arrange(&mut found);
            return Ok(Reading { aliases, ttl, end: End::Records(found) });
        }
        let Some(record) = alias else { break };
        if aliases.len() == MOST_ALIASES {
            return Err(DnsError::AliasLoop);
        }
        let target = cname_target(record).map_err(malformed)?;
        ttl = ttl.min(seconds(record));
        let step = |n: &Name<Vec<u8>>| {
            domain_name(n).map_err(|n| DnsError::Malformed(format!("an alias with the name {n}")))
        };
        aliases.push(Alias { owner: step(&owner)?, target: step(&target)? });
        owner = target;
    }

    let denied = if nx_domain { Denial::NxDomain } else { Denial::NoData };
    match denial_ttl(message).map_err(malformed)? {
        Authority::Soa(seconds) => Ok(Reading { aliases, ttl: ttl.min(seconds), end: End::Denial(denied) }),
        // A delegation is no denial: this server does not resolve.
        Authority::Referral if !nx_domain && !message.header().aa() => {
            Err(DnsError::Refused("with a referral: it does not resolve".into()))
        }
        _ if !nx_domain && !aliases.is_empty() => Ok(Reading { aliases, ttl, end: End::Unfinished(owner) }),
        _ => Ok(Reading { aliases, ttl: ttl.min(DENIAL_WITHOUT_SOA), end: End::Denial(denied) }),
    }
}

enum Authority {
    Soa(u32),
    Referral,
    Silent,
}

/// How long a denial holds (RFC 2308 §5), or what stands there instead of an SOA.
fn denial_ttl(message: &Message<Vec<u8>>) -> Result<Authority, ParseError> {
    let mut authority = Authority::Silent;
    for record in message.authority()? {
        let record = record?;
        match record.rtype() {
            Rtype::SOA => {
                let owner_ttl = seconds(&record);
                if let Some(soa) = record.into_record::<Soa<ParsedName<&[u8]>>>()? {
                    return Ok(Authority::Soa(owner_ttl.min(soa.data().minimum().as_secs())));
                }
            }
            Rtype::NS => authority = Authority::Referral,
            _ => {}
        }
    }
    Ok(authority)
}

/// The time to live; what has the top bit set counts as 0 (RFC 2181 §8).
fn seconds(record: &Record<'_>) -> u32 {
    let ttl = record.ttl().as_secs();
    if ttl >= 1 << 31 { 0 } else { ttl }
}

fn cname_target(record: &Record<'_>) -> Result<Name<Vec<u8>>, ParseError> {
    let cname = record.to_record::<Cname<ParsedName<&[u8]>>>()?;
    cname.map(|c| c.data().cname().to_vec()).ok_or_else(|| ParseError::form_error("no CNAME"))
}

fn rdata(record: &Record<'_>) -> Result<Vec<u8>, ParseError> {
    let raw = record.to_record::<UnknownRecordData<&[u8]>>()?;
    raw.map(|r| r.data().data().to_vec()).ok_or_else(|| ParseError::form_error("no data"))
}

/// The response code with the extended text: `SERVFAIL`, or `REFUSED (Prohibited)`.
pub(super) fn rcode_text(message: &Message<Vec<u8>>) -> String {
    let code = message
        .opt()
        .map_or_else(|| OptRcode::from(message.header().rcode()), |opt| opt.rcode(message.header()));
    match extended_error(message) {
        Some(text) => format!("{code} ({text})"),
        None => code.to_string(),
    }
}

/// The extended errors of an answer (RFC 8914), as text for people.
pub(super) fn extended_error(message: &Message<Vec<u8>>) -> Option<String> {
    let opt = message.opt()?;
    let texts: Vec<String> = opt
        .opt()
        .iter::<ExtendedError<&[u8]>>()
        .take(4)
        .filter_map(Result::ok)
        .map(|e| ede_text(&e))
        .collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// `DNSSEC Bogus: signature expired`, without control characters and of bounded length: the text
/// comes from outside.
pub(super) fn ede_text<Octs: AsRef<[u8]>>(error: &ExtendedError<Octs>) -> String {
    let code = error.code().to_string();
    match error.text_slice().filter(|t| !t.is_empty()) {
        None => code,
        Some(text) => {
            let text = String::from_utf8_lossy(&text[..text.len().min(255)]);
            let text: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
            format!("{code}: {text}")
        }
    }
}

/// An A record.
#[derive(Debug)]
pub(super) struct A(pub(super) std::net::Ipv4Addr);

impl Wanted for A {
    const TYPE: Rtype = Rtype::A;
    const MOST: usize = 500;
    fn read(record: &Record<'_>) -> Result<Self, ParseError> {
        let octets: [u8; 4] =
            rdata(record)?.try_into().map_err(|_| ParseError::form_error("A of another length"))?;
        Ok(Self(octets.into()))
    }
}

/// An AAAA record.
#[derive(Debug)]
pub(super) struct Aaaa(pub(super) std::net::Ipv6Addr);

impl Wanted for Aaaa {
    const TYPE: Rtype = Rtype::AAAA;
    const MOST: usize = 500;
    fn read(record: &Record<'_>) -> Result<Self, ParseError> {
        let octets: [u8; 16] =
            rdata(record)?.try_into().map_err(|_| ParseError::form_error("AAAA of another length"))?;
        Ok(Self(octets.into()))
    }
}

/// A CNAME record itself, not what stands at its target.
#[derive(Debug)]
pub(super) struct CnameRecord(pub(super) DomainName);

impl Wanted for CnameRecord {
    const TYPE: Rtype = Rtype::CNAME;
    const MOST: usize = 1;
    fn read(record: &Record<'_>) -> Result<Self, ParseError> {
        let target = domain_name(&cname_target(record)?);
        target.map(Self).map_err(|_| ParseError::form_error("an alias into a name that no host has"))
    }
}

impl Wanted for TxtRecord {
    const TYPE: Rtype = Rtype::TXT;
    const MOST: usize = 50;
    fn read(record: &Record<'_>) -> Result<Self, ParseError> {
        let data = rdata(record)?;
        let mut joined = Vec::with_capacity(data.len());
        let mut rest = &data[..];
        // No string at all is against RFC 1035 §3.3.14, and says as little as an empty one.
        while let Some((&length, after)) = rest.split_first() {
            let Some((string, after)) = after.split_at_checked(usize::from(length)) else {
                return Err(ParseError::form_error("a TXT string runs over its record"));
            };
            joined.extend_from_slice(string);
            rest = after;
        }
        Ok(Self(joined))
    }
}

impl Wanted for MxRecord {
    const TYPE: Rtype = Rtype::MX;
    const MOST: usize = 500;
    fn read(record: &Record<'_>) -> Result<Self, ParseError> {
        let record =
            record.to_record::<Mx<ParsedName<&[u8]>>>()?.ok_or_else(|| ParseError::form_error("no MX"))?;
        let exchange = domain_name(record.data().exchange()).map(MxHost);
        Ok(Self { preference: record.data().preference(), exchange })
    }
    /// By preference, then by name, so that two looks can be compared although servers rotate.
    fn arrange(records: &mut Vec<Self>) {
        let name = |r: &Self| match &r.exchange {
            Ok(host) => host.to_string(),
            Err(text) => text.clone(),
        };
        records.sort_by_cached_key(|r| (r.preference, name(r)));
        records.truncate(Self::MOST);
    }
}

impl Wanted for TlsaRdata {
    const TYPE: Rtype = Rtype::TLSA;
    const MOST: usize = 100;
    fn read(record: &Record<'_>) -> Result<Self, ParseError> {
        rdata(record).map(Self)
    }
    /// Kept in the order of the answer; a set too large is cut to those an SMTP sender can use,
    /// strongest digest first, so that the choice does not depend on the server's rotation.
    fn arrange(records: &mut Vec<Self>) {
        if records.len() <= Self::MOST {
            return;
        }
        tracing::warn!(records = records.len(), kept = Self::MOST, "TLSA set cut");
        let rank = |r: &Self| {
            let field = |at: usize| r.0.get(at).copied().unwrap_or(u8::MAX);
            let usage = match field(0) {
                3 => 0,
                2 => 1,
                _ => 2,
            };
            let matching = match field(2) {
                2 => 0,
                1 => 1,
                0 => 2,
                _ => 3,
            };
            (r.0.len() < 4, usage, matching)
        };
        records.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.0.cmp(&b.0)));
        records.truncate(Self::MOST);
    }
}

/// A DNSKEY record; only its presence matters here.
#[derive(Debug)]
pub(super) struct Dnskey;

impl Wanted for Dnskey {
    const TYPE: Rtype = Rtype::DNSKEY;
    const MOST: usize = 20;
    fn read(_: &Record<'_>) -> Result<Self, ParseError> {
        Ok(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query() -> Query {
        let name = wire_name(&DomainName::parse("_mta-sts.long-name-with-letters.example").unwrap()).unwrap();
        Query { name, rtype: Rtype::TXT, dnssec: true, cd: false }
    }

    #[test]
    fn a_mixed_question_differs_in_case_only_and_needs_its_own_answer() {
        let query = query();
        let plain = query.to_wire(7, Case::Plain);
        let mixed = (0..20).map(|_| query.to_wire(7, Case::Mixed)).find(|m| *m != plain).unwrap();
        assert!(mixed.eq_ignore_ascii_case(&plain));
        let reply = |wire: &[u8]| {
            let mut reply = wire.to_vec();
            reply[2] |= 0x80;
            reply
        };
        for (sent, came, good) in
            [(&plain, &plain, true), (&mixed, &mixed, true), (&mixed, &plain, false), (&plain, &mixed, false)]
        {
            assert_eq!(answers(&reply(came), 7, question_of(sent)), good);
            assert!(!answers(&reply(came), 8, question_of(sent)), "another id");
            assert!(!answers(came, 7, question_of(sent)), "a question is no answer");
        }
    }
}
