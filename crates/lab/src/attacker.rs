//! Attackers: in the path of chosen senders to a chosen host, or in the hands of their resolver.
//!
//! Routing cannot be changed without privileges, so a lab sender asks here for the way to an address.
//! Whoever stands in the path is a real proxy with real connections; a forged MX answer comes from a
//! real resolver at another address.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::address::{listen, only_loopback};
use crate::dns::Poison;
use crate::paths::{Attacker, Overheard, Reach};
use crate::world::World;

/// What an attacker does to connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tampering {
    /// Overwrites the STARTTLS keyword and refuses the command.
    StripStarttls,
    /// Puts this line behind the 220 to STARTTLS, in the same segment.
    Inject(String),
}

impl World {
    /// Puts somebody into the path of these senders (by domain) to an MX host.
    ///
    /// # Errors
    /// When no address can be bound.
    pub fn intercept(
        &self,
        senders: &[&str],
        victim: Ipv4Addr,
        tampering: Tampering,
    ) -> io::Result<Attacker> {
        let victim = SocketAddr::from((victim, self.smtp_port));
        only_loopback(victim.ip())?;
        let proxy = SocketAddr::from((self.address(), self.smtp_port));
        let _inside = self.handle().enter();
        let overheard = Overheard::default();
        tokio::spawn(accept(listen(proxy)?, victim, tampering, overheard.clone()));
        Ok(self.paths.place(senders, Reach::Path(victim, proxy), overheard))
    }

    /// Gives these senders (by domain) a resolver that forges the MX of a domain.
    ///
    /// # Errors
    /// When no address can be bound, or a name is none.
    pub fn redirect(&self, senders: &[&str], domain: &str, to: &str) -> io::Result<Attacker> {
        let poison = Poison::default();
        poison.set(domain, "MX", &[&format!("0 {to}.")]).map_err(io::Error::other)?;
        let server = self.poisoned_resolver(poison)?;
        Ok(self.paths.place(senders, Reach::Resolver(server), Overheard::default()))
    }
}

async fn accept(listener: TcpListener, victim: SocketAddr, tampering: Tampering, overheard: Overheard) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let (tampering, overheard) = (tampering.clone(), overheard.clone());
        tokio::spawn(async move {
            if let Ok(server) = TcpStream::connect(victim).await {
                let _ = tamper(client, server, &tampering, &overheard).await;
            }
        });
    }
}

/// Line by line in both directions; after an injection, octet by octet.
async fn tamper(
    client: TcpStream,
    server: TcpStream,
    tampering: &Tampering,
    overheard: &Overheard,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut client, mut server) = (BufReader::new(client), BufReader::new(server));
    let mut awaiting_tls = false;
    let mut from = String::new();
    loop {
        let mut in_data;
        // A reply of the server, all its lines.
        loop {
            let Some(line) = line(&mut server).await? else { return client.shutdown().await };
            let last = line.get(3) != Some(&b'-');
            if awaiting_tls && last && line.starts_with(b"220") {
                let Tampering::Inject(text) = tampering else { return client.shutdown().await };
                client.write_all(&[&line[..], text.as_bytes(), b"\r\n"].concat()).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await?;
                return Ok(());
            }
            in_data = line.starts_with(b"354");
            client.write_all(&altered(&line, tampering)).await?;
            if last {
                break;
            }
        }
        client.flush().await?;
        // A command of the client, or the whole text of a mail.
        let mut text = Vec::new();
        loop {
            let Some(line) = line(&mut client).await? else { return server.shutdown().await };
            let is_starttls = line.to_ascii_uppercase().starts_with(b"STARTTLS");
            if is_starttls && !in_data && *tampering == Tampering::StripStarttls {
                client.write_all(b"502 5.5.1 command not implemented\r\n").await?;
                continue;
            }
            awaiting_tls = is_starttls && !in_data;
            if !in_data {
                if let Some(sender) = sender_of(&line) {
                    from = sender;
                }
            } else if line == b".\r\n" {
                // Before it is passed on: who sent it may look at once when it has arrived.
                overheard.keep(&from, std::mem::take(&mut text));
            } else {
                text.extend_from_slice(&line);
            }
            server.write_all(&line).await?;
            if !in_data || line == b".\r\n" {
                break;
            }
        }
        server.flush().await?;
    }
}

/// The address of `MAIL FROM:<a@b>`.
fn sender_of(line: &[u8]) -> Option<String> {
    let line = String::from_utf8_lossy(line);
    let (_, rest) = line.split_once('<').filter(|(verb, _)| verb.eq_ignore_ascii_case("MAIL FROM:"))?;
    rest.split_once('>').map(|(address, _)| address.to_owned())
}

fn altered(line: &[u8], tampering: &Tampering) -> Vec<u8> {
    let is_keyword = line.get(4..).is_some_and(|k| k.to_ascii_uppercase().starts_with(b"STARTTLS"));
    if *tampering == Tampering::StripStarttls && is_keyword {
        // The same length, as devices in the path do it.
        return [&line[..4], b"XXXXXXXA", &line[12..]].concat();
    }
    line.to_vec()
}

async fn line(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Vec<u8>>> {
    let mut octets = Vec::new();
    stream.take(1 << 20).read_until(b'\n', &mut octets).await?;
    Ok(octets.ends_with(b"\n").then_some(octets))
}
