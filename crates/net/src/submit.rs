//! Hands a mail to our own mail server (RFC 6409): the client that reports leave by.
//!
//! Its server is the operator's, so no address is refused, and a name is resolved as the system does.
//! Written here, on the bounded reply reader of the probe, because what an error means depends on where
//! it came: a refusal before RCPT is a quarrel between our server and us and says nothing of the
//! recipient. The null return path (RFC 8460 §5.3 wants no bounces to be answered) is all it can do.
//!
//! A password never crosses a network in clear, and never goes to a server whose certificate does not hold.
//! Commands are not sent ahead (RFC 2920): the server is near, and each reply is known for what it answers.
//!
//! When I cannot know whether a mail was taken, it is handed in again, the same one: its Message-ID is the
//! id of the report.

use std::sync::Arc;

use mailward_core::DomainName;
use mailward_core::tlsrpt::outgoing::Answer;
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant, timeout};

use crate::Outside;
use crate::post::Delivered;
use crate::smtp::reply::Reply;
use crate::tls::{Offer, Recorder, fault_text};

mod login;
mod server;
mod talk;

pub use login::Login;
pub use server::{Protection, SubmitServer};

use talk::{Deadline, Stream, Talk, in_time, trouble};

/// For one mail in all. A server that filters content before it answers may take its time.
pub const DEADLINE: Duration = Duration::from_secs(120);
/// A farewell changes nothing any more.
const FAREWELL: Duration = Duration::from_secs(2);

/// Hands in one mail for one recipient, with the null return path.
pub async fn submit(
    outside: &Outside,
    server: &SubmitServer,
    login: Option<&Login>,
    to: &str,
    message: &[u8],
) -> Delivered {
    submit_within(DEADLINE, outside, server, login, to, message).await
}

/// The same with another limit than [`DEADLINE`].
pub async fn submit_within(
    limit: Duration,
    outside: &Outside,
    server: &SubmitServer,
    login: Option<&Login>,
    to: &str,
    message: &[u8],
) -> Delivered {
    let until = Deadline { at: Instant::now() + limit, limit };
    let handed_in = async {
        let (mut talk, ehlo) = open(outside, server, login, until).await?;
        hand_in(&mut talk, &ehlo, to, message).await
    };
    match handed_in.await {
        Ok(delivered) | Err(delivered) => delivered,
    }
}

/// A conversation that has come as far as the mail itself, and what the server offers for it.
async fn open<'a>(
    outside: &Outside,
    server: &'a SubmitServer,
    login: Option<&Login>,
    until: Deadline,
) -> Result<(Talk<'a>, Reply), Delivered> {
    let dialled = TcpStream::connect((server.host.as_str(), server.port));
    let stream = in_time(server, until, "the connection", dialled).await?;
    let _ = stream.set_nodelay(true);
    let here = stream.peer_addr().is_ok_and(|peer| peer.ip().to_canonical().is_loopback());
    if login.is_some() && server.protection == Protection::None && !here {
        return Err(trouble(
            server,
            "is on another machine and the connection is not encrypted, so the password is not sent: \
             write smtps:// or smtp+starttls:// in reporter.submit",
        ));
    }
    let mut talk = match server.protection {
        Protection::Tls => Talk::over(server, wrap(outside, server, Box::new(stream), until).await?, until),
        Protection::None | Protection::StartTls => Talk::over(server, Box::new(stream), until),
    };
    talk.reply("the connection").await?.wants(&talk, "the connection", 220)?;
    let hello = format!("EHLO {}", outside.options.helo);
    let mut ehlo = talk.command("EHLO", &hello).await?.wants(&talk, "EHLO", 250)?;
    if server.protection == Protection::StartTls {
        if !ehlo.offers("STARTTLS") {
            return Err(talk.trouble(
                "offers no STARTTLS, so nothing was handed in: switch it on there, or name its port with TLS \
                 from the start as smtps:// in reporter.submit",
            ));
        }
        talk.command("STARTTLS", "STARTTLS").await?.wants(&talk, "STARTTLS", 220)?;
        talk = Talk::over(server, wrap(outside, server, talk.into_stream()?, until).await?, until);
        ehlo = talk.command("EHLO", &hello).await?.wants(&talk, "EHLO inside TLS", 250)?;
    }
    if let Some(login) = login {
        login::log_in(&mut talk, &ehlo, login).await?;
    }
    Ok((talk, ehlo))
}

async fn hand_in(
    talk: &mut Talk<'_>,
    ehlo: &Reply,
    to: &str,
    message: &[u8],
) -> Result<Delivered, Delivered> {
    // RFC 5321 §4.5.5: nobody answers a report about reports.
    let mut mail = "MAIL FROM:<>".to_owned();
    let bytes = dotted(message);
    if ehlo.offers("SIZE") {
        // RFC 1870 §6.1: more than this is refused after all of it was sent. No number, or 0, is no limit.
        let most = ehlo.parameter("SIZE").and_then(|most| most.parse::<usize>().ok()).unwrap_or(0);
        if most > 0 && message.len() > most {
            return Err(talk.trouble(&format!(
                "takes mails of at most {most} bytes, and the report has {}: raise its limit",
                message.len()
            )));
        }
        mail.push_str(&format!(" SIZE={}", message.len()));
    }
    if !to.is_ascii() {
        // RFC 6531 §3.4.
        if !ehlo.offers("SMTPUTF8") {
            let why = trouble(talk.server(), "does not offer SMTPUTF8, which an address outside ASCII needs");
            return Err(Delivered::refused(why.text));
        }
        mail.push_str(" SMTPUTF8");
    }
    talk.command("MAIL", &mail).await?.wants(talk, "MAIL", 250)?;
    let rcpt = talk.command("RCPT", &format!("RCPT TO:<{to}>")).await?;
    if !matches!(rcpt.code, 250 | 251) {
        return Err(about_the_mail(&rcpt));
    }
    let go_on = talk.command("DATA", "DATA").await?;
    if go_on.code != 354 {
        return Err(about_the_mail(&go_on));
    }
    if let Err(broken) = talk.write("the mail", &bytes).await {
        // Who stops in the middle has often said why.
        return match timeout(FAREWELL, talk.reply("the mail")).await {
            Ok(Ok(reply)) if reply.code >= 400 => Ok(about_the_mail(&reply)),
            _ => Err(broken),
        };
    }
    let taken = talk.reply("the end of the mail").await.map_err(|broken| {
        let text =
            format!("{}; whether it was taken is not known, so the same mail is sent again", broken.text);
        Delivered::later(text)
    })?;
    let delivered = about_the_mail(&taken);
    let _ = timeout(FAREWELL, talk.command("QUIT", "QUIT")).await;
    Ok(delivered)
}

/// What a reply to RCPT, DATA or the mail itself means.
fn about_the_mail(reply: &Reply) -> Delivered {
    match Answer::of_smtp(reply.code) {
        // RFC 3463 §3.8: a refusal for security or policy is mostly about us (relaying, authentication).
        Answer::Refused if is_policy(reply) => Delivered::later(format!(
            "{reply} (our own mail server refuses us: let it relay for us, or set reporter.user)"
        )),
        answer => Delivered::new(answer, reply.to_string()),
    }
}

fn is_policy(reply: &Reply) -> bool {
    reply.code == 530 || reply.lines.first().is_some_and(|line| line.starts_with(b"5.7."))
}

/// RFC 5321 §4.5.2, with the end of the mail.
fn dotted(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 16);
    let mut at_start = true;
    for &byte in message {
        if at_start && byte == b'.' {
            out.push(b'.');
        }
        at_start = byte == b'\n';
        out.push(byte);
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

async fn wrap(
    outside: &Outside,
    server: &SubmitServer,
    stream: Box<dyn Stream>,
    until: Deadline,
) -> Result<Box<dyn Stream>, Delivered> {
    let host = DomainName::parse(&server.host).map_err(|e| Delivered::later(e.to_string()))?;
    let recorder = Arc::new(Recorder::new());
    let handshake = async {
        let shaken = outside.roots.connect(&host, Offer::MailServer, &recorder, stream).await;
        shaken.map_err(|refusal| refusal.text)
    };
    let shaken = in_time(server, until, "the handshake of TLS", handshake).await;
    let chain = recorder.chain();
    // Without a chain it did not come to that, and the handshake says why.
    let faults = match chain.is_empty() && shaken.is_err() {
        true => Vec::new(),
        false => outside.roots.verdict(&chain, &host, outside.clock.now()),
    };
    if let Some(fault) = faults.first() {
        let why = fault_text(fault);
        return Err(trouble(
            server,
            &format!(
                "shows a certificate that does not hold: {why}. Nothing was handed in; name the server as its \
                 certificate does, or add its issuer to tls.extra_roots"
            ),
        ));
    }
    Ok(Box::new(shaken?))
}

/// A refusal before the recipient was named.
trait Wants {
    fn wants(self, talk: &Talk<'_>, what: &str, code: u16) -> Result<Reply, Delivered>;
}

impl Wants for Reply {
    fn wants(self, talk: &Talk<'_>, what: &str, code: u16) -> Result<Reply, Delivered> {
        match self.code == code {
            true => Ok(self),
            false => Err(talk.trouble(&format!("answers {what} with {self}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_stuffed() {
        for (message, sent) in
            [("a\r\n.b\r\n..c\r\n", "a\r\n..b\r\n...c\r\n.\r\n"), (".a", "..a\r\n.\r\n"), ("", "\r\n.\r\n")]
        {
            assert_eq!(dotted(message.as_bytes()), sent.as_bytes(), "{message:?}");
        }
    }

    #[test]
    fn replies_are_about_us_or_about_the_recipient() {
        use Answer::{Accepted, Later, Refused};
        for (code, text, answer) in [
            (250, "2.0.0 queued", Accepted),
            (550, "5.1.1 no such user", Refused),
            (554, "5.7.1 relay access denied", Later(None)),
            (530, "authentication required", Later(None)),
            (452, "4.2.2 full", Later(None)),
        ] {
            let reply = Reply { code, lines: vec![text.into()] };
            assert_eq!(about_the_mail(&reply).answer, answer, "{code} {text}");
        }
    }
}
