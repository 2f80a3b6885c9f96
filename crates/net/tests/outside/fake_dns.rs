//! A DNS server, UDP and TCP on one loopback port, that says exactly what a closure makes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

pub const A: u16 = 1;
pub const NS: u16 = 2;
pub const CNAME: u16 = 5;
pub const SOA: u16 = 6;
pub const MX: u16 = 15;
pub const TXT: u16 = 16;
pub const AAAA: u16 = 28;
pub const TLSA: u16 = 52;
pub const DNSKEY: u16 = 48;

pub const NOERROR: u8 = 0;
pub const SERVFAIL: u8 = 2;
pub const NXDOMAIN: u8 = 3;
pub const REFUSED: u8 = 5;

/// A question as it came.
#[derive(Clone)]
pub struct Asked {
    pub id: [u8; 2],
    /// The question section, letter for letter.
    pub question: Vec<u8>,
    /// Lower case, no final dot.
    pub name: String,
    pub rtype: u16,
    pub ad: bool,
    pub cd: bool,
    /// The DO bit; `None` without EDNS.
    pub dnssec_ok: Option<bool>,
    pub payload: u16,
    pub tcp: bool,
}

/// What to do with one: any number of datagrams (or framed messages), none for silence.
pub type Script = dyn Fn(&Asked) -> Vec<Vec<u8>> + Send + Sync;

pub struct FakeDns {
    pub address: SocketAddr,
    log: Arc<Mutex<Vec<Asked>>>,
    _tasks: JoinSet<()>,
}

impl FakeDns {
    pub async fn start(script: impl Fn(&Asked) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        let script: Arc<Script> = Arc::new(script);
        let (udp, tcp) = bind_both().await;
        let address = udp.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(udp, Arc::clone(&script), Arc::clone(&log)));
        tasks.spawn(serve_tcp(tcp, script, Arc::clone(&log)));
        Self { address, log, _tasks: tasks }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.log.lock().unwrap().clone()
    }

    /// `name TYPE`, with `+cd` and `/tcp`.
    pub fn log(&self) -> Vec<String> {
        let show = |a: &Asked| {
            let (cd, tcp) = (if a.cd { "+cd" } else { "" }, if a.tcp { "/tcp" } else { "" });
            format!("{} {}{cd}{tcp}", a.name, a.rtype)
        };
        self.asked().iter().map(show).collect()
    }
}

async fn bind_both() -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
}

async fn serve_udp(udp: UdpSocket, script: Arc<Script>, log: Arc<Mutex<Vec<Asked>>>) {
    let mut buffer = [0; 2048];
    loop {
        let Ok((length, from)) = udp.recv_from(&mut buffer).await else { continue };
        let Some(asked) = read_question(&buffer[..length], false) else { continue };
        log.lock().unwrap().push(asked.clone());
        for reply in script(&asked) {
            let _ = udp.send_to(&reply, from).await;
        }
    }
}

async fn serve_tcp(tcp: TcpListener, script: Arc<Script>, log: Arc<Mutex<Vec<Asked>>>) {
    while let Ok((mut stream, _)) = tcp.accept().await {
        let Ok(length) = stream.read_u16().await else { continue };
        let mut message = vec![0; usize::from(length)];
        if stream.read_exact(&mut message).await.is_err() {
            continue;
        }
        let Some(asked) = read_question(&message, true) else { continue };
        log.lock().unwrap().push(asked.clone());
        for reply in script(&asked) {
            let _ = stream.write_u16(u16::try_from(reply.len()).unwrap()).await;
            let _ = stream.write_all(&reply).await;
        }
    }
}

fn read_question(message: &[u8], tcp: bool) -> Option<Asked> {
    let mut at = 12;
    let mut labels = Vec::new();
    while let Some(&length) = message.get(at).filter(|l| **l > 0) {
        let label = message.get(at + 1..at + 1 + usize::from(length))?;
        labels.push(String::from_utf8_lossy(label).to_lowercase());
        at += 1 + usize::from(length);
    }
    let end = at + 5;
    let rtype = u16::from_be_bytes([*message.get(at + 1)?, *message.get(at + 2)?]);
    let opt = message.get(end..).filter(|o| o.len() >= 11 && o[..3] == [0, 0, 41]);
    Some(Asked {
        id: [message[0], message[1]],
        question: message.get(12..end)?.to_vec(),
        name: labels.join("."),
        rtype,
        ad: message[3] & 0x20 != 0,
        cd: message[3] & 0x10 != 0,
        dnssec_ok: opt.map(|o| o[7] & 0x80 != 0),
        payload: opt.map_or(512, |o| u16::from_be_bytes([o[3], o[4]])),
        tcp,
    })
}

pub fn wire_name(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.split('.').filter(|l| !l.is_empty()) {
        wire.push(u8::try_from(label.len()).unwrap());
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire
}

/// An answer under construction.
#[derive(Clone)]
pub struct Reply {
    pub id: [u8; 2],
    pub question: Vec<u8>,
    pub rcode: u8,
    pub aa: bool,
    pub tc: bool,
    pub ad: bool,
    answer: (u16, Vec<u8>),
    authority: (u16, Vec<u8>),
    extended_error: Option<(u16, String)>,
}

impl Reply {
    pub fn to(asked: &Asked) -> Self {
        Self {
            id: asked.id,
            question: asked.question.clone(),
            rcode: NOERROR,
            aa: false,
            tc: false,
            ad: false,
            answer: (0, Vec::new()),
            authority: (0, Vec::new()),
            extended_error: None,
        }
    }

    pub fn rcode(mut self, rcode: u8) -> Self {
        self.rcode = rcode;
        self
    }

    pub fn secure(mut self) -> Self {
        self.ad = true;
        self
    }

    pub fn truncated(mut self) -> Self {
        self.tc = true;
        self
    }

    pub fn answer(mut self, owner: &str, rtype: u16, ttl: u32, data: &[u8]) -> Self {
        push(&mut self.answer, owner, rtype, ttl, data);
        self
    }

    pub fn authority(mut self, owner: &str, rtype: u16, ttl: u32, data: &[u8]) -> Self {
        push(&mut self.authority, owner, rtype, ttl, data);
        self
    }

    pub fn soa(self, zone: &str, ttl: u32, minimum: u32) -> Self {
        let mut data = wire_name("ns.example");
        data.extend(wire_name("hostmaster.example"));
        for number in [1, 3600, 600, 86400, minimum] {
            data.extend(u32::to_be_bytes(number));
        }
        self.authority(zone, SOA, ttl, &data)
    }

    pub fn extended_error(mut self, code: u16, text: &str) -> Self {
        self.extended_error = Some((code, text.to_owned()));
        self
    }

    pub fn build(&self) -> Vec<u8> {
        let mut m = self.id.to_vec();
        m.push(0x81 | if self.aa { 4 } else { 0 } | if self.tc { 2 } else { 0 });
        m.push(0x80 | if self.ad { 0x20 } else { 0 } | self.rcode);
        m.extend([0, 1]);
        m.extend(self.answer.0.to_be_bytes());
        m.extend(self.authority.0.to_be_bytes());
        m.extend([0, 1]);
        m.extend(&self.question);
        m.extend(&self.answer.1);
        m.extend(&self.authority.1);
        let mut options = Vec::new();
        if let Some((code, text)) = &self.extended_error {
            options.extend([0, 15]);
            options.extend(u16::try_from(text.len() + 2).unwrap().to_be_bytes());
            options.extend(code.to_be_bytes());
            options.extend(text.as_bytes());
        }
        m.extend([0, 0, 41, 4, 208, 0, 0, 0, 0]);
        m.extend(u16::try_from(options.len()).unwrap().to_be_bytes());
        m.extend(options);
        m
    }

    pub fn once(&self) -> Vec<Vec<u8>> {
        vec![self.build()]
    }
}

fn push(section: &mut (u16, Vec<u8>), owner: &str, rtype: u16, ttl: u32, data: &[u8]) {
    section.0 += 1;
    section.1.extend(wire_name(owner));
    section.1.extend(rtype.to_be_bytes());
    section.1.extend([0, 1]);
    section.1.extend(ttl.to_be_bytes());
    section.1.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    section.1.extend(data);
}

pub fn txt(text: &[u8]) -> Vec<u8> {
    text.chunks(255).flat_map(|c| [&[u8::try_from(c.len()).unwrap()], c].concat()).collect()
}

pub fn mx(preference: u16, host: &str) -> Vec<u8> {
    [&preference.to_be_bytes()[..], &wire_name(host)].concat()
}
