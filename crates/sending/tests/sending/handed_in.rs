//! A mail server that takes a report and does not live to say so.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use mailward_core::tlsrpt::outgoing::TargetState;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::reporter::{Office, reporter};

/// Takes every mail, and hangs up behind the first instead of answering.
struct Forgetful {
    mails: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Forgetful {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Forgetful {
    async fn start(address: Ipv4Addr, port: u16) -> Self {
        let listener = TcpListener::bind(SocketAddr::from((address, port))).await.unwrap();
        let mails: Arc<Mutex<Vec<String>>> = Arc::default();
        let taken = Arc::clone(&mails);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = talk(stream, &taken).await;
            }
        });
        Self { mails, task }
    }
}

async fn talk(stream: TcpStream, mails: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 mail\r\n").await?;
    let mut mail: Option<String> = None;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        match &mut mail {
            Some(text) if line != ".\r\n" => text.push_str(&line),
            Some(text) => {
                let text = std::mem::take(text);
                let first = {
                    let mut mails = mails.lock().unwrap();
                    mails.push(text);
                    mails.len() == 1
                };
                mail = None;
                if first {
                    return Ok(());
                }
                stream.write_all(b"250 taken\r\n").await?;
            }
            None if line.starts_with("DATA") => {
                mail = Some(String::new());
                stream.write_all(b"354 go\r\n").await?;
            }
            None => stream.write_all(b"250 ok\r\n").await?,
        }
    }
}

#[tokio::test]
async fn what_may_have_been_taken_is_the_same_mail_again() {
    let mut office = Office::open(true).await;
    let address = office.world.address();
    let server = Forgetful::start(address, office.world.smtp_port).await;
    office.reporter = reporter(&office.world, &office.store, address, true);
    office.seen("a.test", "mailto:tls@a.test", 1).await;
    office.pass(16, 0);
    assert_eq!(office.make().await, 1);
    assert_eq!(office.send().await, 1);
    let (state, tries, answer) = office.target().await;
    assert_eq!((state, tries), (TargetState::Waiting, 1), "{answer}");
    assert!(answer.contains("whether it was taken is not known"), "{answer}");

    office.pass(0, 3);
    assert_eq!(office.send().await, 1);
    assert_eq!(office.target().await, (TargetState::Sent, 2, "250 taken".to_owned()));
    assert_eq!((office.make().await, office.send().await), (0, 0), "that was all");
    let mails = server.mails.lock().unwrap().clone();
    // A signature says when it was made; all the rest is the same, the Message-ID with it.
    let unsigned: Vec<&str> = mails.iter().map(|mail| &mail[mail.find("From: ").unwrap()..]).collect();
    assert_eq!(unsigned.len(), 2);
    assert_eq!(unsigned[0], unsigned[1]);
}
