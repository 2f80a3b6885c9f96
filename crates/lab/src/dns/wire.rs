//! Messages as they travel (RFC 1035 §4, RFC 6891), written by hand: the lab shares no code with the
//! resolver it tests.

use super::name::Name;
use super::record::rtype;
use super::zone::Records;

/// Response codes used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Rcode {
    #[default]
    NoError,
    ServFail,
    NxDomain,
    Refused,
}

impl Rcode {
    fn number(self) -> u8 {
        match self {
            Self::NoError => 0,
            Self::ServFail => 2,
            Self::NxDomain => 3,
            Self::Refused => 5,
        }
    }
}

/// What a query asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub name: Name,
    pub rtype: u16,
    pub recursion_desired: bool,
    pub checking_disabled: bool,
    pub authentic_data: bool,
    pub edns: bool,
    pub dnssec_ok: bool,
    /// Octets the asker takes over UDP.
    pub payload: u16,
    /// Octets of the question section, echoed as they came (letter case included).
    pub section: Vec<u8>,
}

const HEADER: usize = 12;
const SMALLEST_PAYLOAD: u16 = 512;
/// More is cut off over UDP, as public resolvers do.
const LARGEST_PAYLOAD: u16 = 1232;

/// Reads a query; `None` when it deserves no answer.
pub(crate) fn read_query(octets: &[u8]) -> Option<Question> {
    let header = octets.get(..HEADER)?;
    let is_query = header[2] & 0xf8 == 0;
    let one_question = header[4..6] == [0, 1];
    if !is_query || !one_question {
        return None;
    }
    let (name, length) = Name::from_wire(&octets[HEADER..])?;
    let fixed = octets.get(HEADER + length..HEADER + length + 4)?;
    let end = HEADER + length + 4;
    let mut question = Question {
        name,
        rtype: u16::from_be_bytes([fixed[0], fixed[1]]),
        recursion_desired: header[2] & 1 != 0,
        authentic_data: header[3] & 0x20 != 0,
        checking_disabled: header[3] & 0x10 != 0,
        edns: false,
        dnssec_ok: false,
        payload: SMALLEST_PAYLOAD,
        section: octets[HEADER..end].to_vec(),
    };
    // The OPT record is looked for only where clients put it: right after the question.
    if let Some([0, 0, 41, size_high, size_low, _, _, flags, ..]) = octets.get(end..) {
        question.edns = true;
        question.dnssec_ok = flags & 0x80 != 0;
        let size = u16::from_be_bytes([*size_high, *size_low]);
        question.payload = size.clamp(SMALLEST_PAYLOAD, LARGEST_PAYLOAD);
    }
    Some(question)
}

/// What is answered.
#[derive(Debug, Default)]
pub(crate) struct Message {
    pub rcode: Rcode,
    pub authoritative: bool,
    pub authentic: bool,
    pub answer: Vec<Records>,
    pub authority: Vec<Records>,
    /// Extended DNS error (RFC 8914).
    pub extended_error: Option<u16>,
    /// Octets that are no message follow the header.
    pub garbage: bool,
}

/// A response ready to be sent: to be completed with id and question of each query.
pub(crate) struct Encoded {
    octets: Vec<u8>,
    question_end: usize,
}

impl Encoded {
    /// The response to the query with this id and question section.
    pub(crate) fn complete(&self, id: [u8; 2], section: &[u8]) -> Vec<u8> {
        let mut octets = self.octets.clone();
        octets[..2].copy_from_slice(&id);
        octets[HEADER..self.question_end].copy_from_slice(section);
        octets
    }

    /// Only header and question, with TC set: ask again over TCP (RFC 2181 §9).
    pub(crate) fn truncated(&self, id: [u8; 2], section: &[u8]) -> Vec<u8> {
        let mut octets = self.complete(id, section);
        octets.truncate(self.question_end);
        octets[2] |= 0x02;
        octets[6..HEADER].fill(0);
        octets
    }

    pub(crate) fn length(&self) -> usize {
        self.octets.len()
    }
}

/// Writes a response.
pub(crate) fn encode(question: &Question, message: &Message) -> Encoded {
    let mut octets = vec![0; HEADER];
    octets[2] = 0x80 | u8::from(message.authoritative) << 2 | u8::from(question.recursion_desired);
    octets[3] = u8::from(question.recursion_desired) << 7
        | u8::from(message.authentic) << 5
        | u8::from(question.checking_disabled) << 4
        | message.rcode.number();
    octets[5] = 1;
    octets.extend_from_slice(&question.section);
    let question_end = octets.len();
    if message.garbage {
        octets[7] = 9;
        octets.extend_from_slice(&[0xc0, 0xff, 0x00, 0x10, 0xff]);
        return Encoded { octets, question_end };
    }
    let answers = section(&mut octets, question, &message.answer);
    octets[6..8].copy_from_slice(&answers.to_be_bytes());
    let authorities = section(&mut octets, question, &message.authority);
    octets[8..10].copy_from_slice(&authorities.to_be_bytes());
    if question.edns {
        octets[11] = 1;
        octets.push(0);
        octets.extend_from_slice(&rtype::OPT.to_be_bytes());
        octets.extend_from_slice(&LARGEST_PAYLOAD.to_be_bytes());
        octets.extend_from_slice(&[0, 0, u8::from(question.dnssec_ok) << 7, 0]);
        let [high, low] = message.extended_error.unwrap_or_default().to_be_bytes();
        match message.extended_error {
            Some(_) => octets.extend_from_slice(&[0, 6, 0, 15, 0, 2, high, low]),
            None => octets.extend_from_slice(&[0, 0]),
        }
    }
    Encoded { octets, question_end }
}

fn section(octets: &mut Vec<u8>, question: &Question, records: &[Records]) -> u16 {
    let mut count = 0;
    for records in records {
        // RFC 4035 §3.2.1: no DNSSEC records to those who did not ask for them.
        if records.rtype == rtype::NSEC && !question.dnssec_ok && question.rtype != rtype::NSEC {
            continue;
        }
        for data in &records.set.data {
            record(octets, question, &records.owner, records.rtype, records.set.ttl, data);
            count += 1;
        }
        if question.dnssec_ok
            && let Some(signature) = &records.signature
        {
            record(octets, question, &records.owner, rtype::RRSIG, records.set.ttl, signature);
            count += 1;
        }
    }
    count
}

fn record(octets: &mut Vec<u8>, question: &Question, owner: &Name, rtype: u16, ttl: u32, data: &[u8]) {
    if *owner == question.name {
        octets.extend_from_slice(&[0xc0, 12]);
    } else {
        owner.write(octets);
    }
    octets.extend_from_slice(&rtype.to_be_bytes());
    octets.extend_from_slice(&1u16.to_be_bytes());
    octets.extend_from_slice(&ttl.to_be_bytes());
    octets.extend_from_slice(&u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
    octets.extend_from_slice(data);
}
