//! A small stub of the lab's own: for its senders, its tests and whoever wants to look without the
//! resolver under test.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::name::Name;
use super::record::{rtype, type_number};

/// What is said besides the question.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// DO: send signatures, say AD.
    pub dnssec_ok: bool,
    /// CD: do not validate.
    pub checking_disabled: bool,
}

/// The data of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// A or AAAA.
    Address(IpAddr),
    /// MX: preference and host.
    Mx(u16, Name),
    /// TXT, strings joined.
    Text(Vec<u8>),
    /// CNAME.
    Alias(Name),
    /// Another type: its number and octets.
    Other(u16, Vec<u8>),
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Response code.
    pub rcode: u8,
    /// AD.
    pub authentic: bool,
    /// Owner and data of the answer section, RRSIG left out.
    pub answer: Vec<(Name, Data)>,
    /// Number of RRSIG records in the whole message.
    pub signatures: usize,
    /// Number of NSEC records in the whole message.
    pub denials: usize,
}

impl Reply {
    /// The addresses in the answer.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let address = |data: &Data| if let Data::Address(ip) = data { Some(*ip) } else { None };
        self.answer.iter().filter_map(|(_, data)| address(data)).collect()
    }

    /// The texts in the answer, what is no UTF-8 replaced.
    pub fn texts(&self) -> Vec<String> {
        let text = |data: &Data| match data {
            Data::Text(octets) => Some(String::from_utf8_lossy(octets).into_owned()),
            _ => None,
        };
        self.answer.iter().filter_map(|(_, data)| text(data)).collect()
    }

    /// The MX records in the answer, best preference first.
    pub fn mx(&self) -> Vec<(u16, Name)> {
        let mx = |data: &Data| match data {
            Data::Mx(preference, host) => Some((*preference, host.clone())),
            _ => None,
        };
        let mut hosts: Vec<(u16, Name)> = self.answer.iter().filter_map(|(_, data)| mx(data)).collect();
        hosts.sort();
        hosts
    }
}

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks one question of a server on loopback: over UDP, then over TCP if the answer was cut off.
///
/// # Errors
/// When the address is not loopback, nothing answers in time, or the answer cannot be read.
pub async fn ask(server: SocketAddr, name: &str, rtype: &str, flags: Flags) -> io::Result<Reply> {
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
    if !server.ip().is_loopback() {
        return Err(invalid(format!("{server} is not loopback")));
    }
    let name = Name::parse(name).map_err(invalid)?;
    let query = query(&name, type_number(rtype).map_err(invalid)?, flags);
    let answer = async {
        let message = over_udp(server, &query).await?;
        let cut_off = message.get(2).is_some_and(|flags| flags & 0x02 != 0);
        let message = if cut_off { over_tcp(server, &query).await? } else { message };
        read(&message).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "malformed answer"))
    };
    tokio::time::timeout(PATIENCE, answer).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// The id needs no secrecy on loopback, where the socket is connected.
const ID: [u8; 2] = [0x4d, 0x57];

fn query(name: &Name, rtype: u16, flags: Flags) -> Vec<u8> {
    let mut query = ID.to_vec();
    query.extend_from_slice(&[0x01, u8::from(flags.checking_disabled) << 4 | 0x20]);
    query.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 1]);
    name.write(&mut query);
    query.extend_from_slice(&rtype.to_be_bytes());
    query.extend_from_slice(&1u16.to_be_bytes());
    query.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, 0, 0, u8::from(flags.dnssec_ok) << 7, 0, 0, 0]);
    query
}

async fn over_udp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if buffer[..length].starts_with(&ID) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn over_tcp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], query].concat()).await?;
    let mut message = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

fn read(message: &[u8]) -> Option<Reply> {
    let count = |at: usize| message.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]));
    let mut at = 12;
    for _ in 0..count(4)? {
        at = skip_name(message, at)? + 4;
    }
    let answers = count(6)?;
    let others = count(8)?.checked_add(count(10)?)?;
    let mut reply = Reply {
        rcode: message.get(3)? & 0x0f,
        authentic: message.get(3)? & 0x20 != 0,
        answer: vec![],
        signatures: 0,
        denials: 0,
    };
    for number in 0..u32::from(answers) + u32::from(others) {
        let owner = name_at(message, at)?;
        at = skip_name(message, at)?;
        let kind = count(at)?;
        let length = usize::from(count(at + 8)?);
        let start = at + 10;
        at = start + length;
        let octets = message.get(start..at)?;
        match kind {
            rtype::RRSIG => reply.signatures += 1,
            rtype::NSEC => reply.denials += 1,
            _ if number < u32::from(answers) => {
                reply.answer.push((owner, data(message, kind, start, octets)?))
            }
            _ => {}
        }
    }
    Some(reply)
}

fn data(message: &[u8], kind: u16, start: usize, octets: &[u8]) -> Option<Data> {
    Some(match kind {
        rtype::A => Data::Address(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?).into()),
        rtype::AAAA => Data::Address(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).into()),
        rtype::MX => {
            Data::Mx(u16::from_be_bytes([*octets.first()?, *octets.get(1)?]), name_at(message, start + 2)?)
        }
        rtype::CNAME => Data::Alias(name_at(message, start)?),
        rtype::TXT => {
            let (mut text, mut rest) = (Vec::new(), octets);
            while let Some((length, after)) = rest.split_first() {
                let (string, after) = after.split_at_checked(usize::from(*length))?;
                text.extend_from_slice(string);
                rest = after;
            }
            Data::Text(text)
        }
        _ => Data::Other(kind, octets.to_vec()),
    })
}

/// Where a name that may be compressed ends (RFC 1035 §4.1.4).
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += usize::from(length) + 1,
            192.. => return Some(at + 2),
            _ => return None,
        }
    }
}

fn name_at(message: &[u8], mut at: usize) -> Option<Name> {
    let mut plain = Vec::new();
    let mut jumps = 0;
    loop {
        match *message.get(at)? {
            0 => break,
            length @ 1..=63 => {
                let end = at + usize::from(length) + 1;
                plain.extend_from_slice(message.get(at..end)?);
                at = end;
            }
            high @ 192.. => {
                jumps += 1;
                if jumps > 32 {
                    return None;
                }
                at = usize::from(u16::from_be_bytes([high & 0x3f, *message.get(at + 1)?]));
            }
            _ => return None,
        }
    }
    plain.push(0);
    Name::from_wire(&plain).map(|(name, _)| name)
}
