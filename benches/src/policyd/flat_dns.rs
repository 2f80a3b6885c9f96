//! A DNS in which every name has the same records: the cheapest world in which a million domains can be.
//!
//! One thread, UDP only: each MX question is answered with one host, each TXT question with an MTA-STS
//! record, each A question with loopback, for an hour.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

/// The host behind every MX answer.
pub const MX_HOST: &str = "mx.hosting.test";
/// The id in every TXT answer.
pub const ID: &str = "20261101T000000";

const A: [u8; 2] = [0, 1];
const MX: [u8; 2] = [0, 15];
const TXT: [u8; 2] = [0, 16];

/// Where it answers, until this process ends.
pub struct FlatDns {
    /// Its address.
    pub address: SocketAddr,
}

impl FlatDns {
    /// Starts it on a thread of its own.
    pub fn start() -> Result<Self, String> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| e.to_string())?;
        let address = socket.local_addr().map_err(|e| e.to_string())?;
        std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                if let Some(answer) = answer(&buffer[..length]) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Ok(Self { address })
    }
}

/// The answer to a message with one question.
fn answer(question: &[u8]) -> Option<Vec<u8>> {
    let name = question.get(12..)?.iter().position(|byte| *byte == 0)?;
    let end = 12 + name + 5;
    let rtype: [u8; 2] = question.get(end - 4..end - 2)?.try_into().ok()?;
    let data = match rtype {
        A => vec![127, 0, 0, 1],
        MX => {
            let mut data = vec![0, 10];
            for label in MX_HOST.split('.') {
                data.push(u8::try_from(label.len()).ok()?);
                data.extend_from_slice(label.as_bytes());
            }
            data.push(0);
            data
        }
        TXT => {
            let text = format!("v=STSv1; id={ID};");
            let mut data = vec![u8::try_from(text.len()).ok()?];
            data.extend_from_slice(text.as_bytes());
            data
        }
        _ => Vec::new(),
    };
    let answers = u8::from(!data.is_empty());
    // The id; an answer, recursion available; one question.
    let mut message = vec![question[0], question[1], 0x81, 0x80, 0, 1, 0, answers, 0, 0, 0, 0];
    message.extend_from_slice(question.get(12..end)?);
    if answers > 0 {
        // The name is the one asked for, at octet 12.
        message.extend_from_slice(&[0xc0, 12]);
        message.extend_from_slice(&rtype);
        message.extend_from_slice(&[0, 1]);
        message.extend_from_slice(&3600u32.to_be_bytes());
        message.extend_from_slice(&u16::try_from(data.len()).ok()?.to_be_bytes());
        message.extend_from_slice(&data);
    }
    Some(message)
}
