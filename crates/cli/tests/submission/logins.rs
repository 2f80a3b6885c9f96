//! Who may log in at Postfix: the server side of Dovecot's authentication protocol, as far as Postfix uses
//! it (`AUTH` with or without a first response, `CONT`).

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub const USER: &str = "reports";
pub const PASSWORD: &str = "s3cret with blänk";

/// A server that knows one user and offers these mechanisms. It ends with the process.
pub struct Logins {
    pub address: SocketAddr,
    in_clear: Arc<AtomicBool>,
}

impl Logins {
    pub fn start(mechanisms: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let in_clear = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&in_clear);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let heard = Arc::clone(&heard);
                std::thread::spawn(move || serve(stream, mechanisms, &heard));
            }
        });
        Self { address, in_clear }
    }

    /// Whether a login was ever tried over a connection that Postfix did not call secured.
    pub fn heard_in_clear(&self) -> bool {
        self.in_clear.load(Ordering::SeqCst)
    }
}

/// A connection of one smtpd; it ends when that does.
fn serve(stream: TcpStream, mechanisms: &[&str], in_clear: &AtomicBool) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines().map_while(Result::ok);
    let say = |text: String| (&stream).write_all(text.as_bytes()).ok();
    let offered: String = mechanisms.iter().map(|name| format!("MECH\t{name}\tplaintext\n")).collect();
    say(format!("VERSION\t1\t2\n{offered}SPID\t1\nCUID\t1\nCOOKIE\t00\nDONE\n"))?;
    let plain = STANDARD.encode(format!("\0{USER}\0{PASSWORD}"));
    loop {
        let line = lines.next()?;
        let fields: Vec<&str> = line.split('\t').collect();
        let ["AUTH", id, mechanism, parameters @ ..] = &fields[..] else { continue };
        if !parameters.contains(&"secured") {
            in_clear.store(true, Ordering::SeqCst);
        }
        let first = parameters.iter().find_map(|parameter| parameter.strip_prefix("resp="));
        let mut more = |prompt: &str| {
            say(format!("CONT\t{id}\t{}\n", STANDARD.encode(prompt)))?;
            lines.next()?.strip_prefix(&format!("CONT\t{id}\t")).map(str::to_owned)
        };
        let knows = match *mechanism {
            "PLAIN" => match first {
                Some(response) => response == plain,
                None => more("")? == plain,
            },
            _ => {
                let user = more("Username:")? == STANDARD.encode(USER);
                (more("Password:")? == STANDARD.encode(PASSWORD)) && user
            }
        };
        say(match knows {
            true => format!("OK\t{id}\tuser={USER}\n"),
            false => format!("FAIL\t{id}\tuser={USER}\n"),
        })?;
    }
}
