//! Logging in (RFC 4954): PLAIN (RFC 4616), and LOGIN for servers that know nothing else.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::talk::Talk;
use crate::post::Delivered;
use crate::smtp::reply::Reply;

/// The longest command line (RFC 5321 §4.5.3.1.4), its end included.
const MOST_COMMAND: usize = 512;

/// User and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// Its password; never shown.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Logs in, by the first of our mechanisms that is offered. The caller knows that nobody listens.
pub(super) async fn log_in(talk: &mut Talk<'_>, ehlo: &Reply, login: &Login) -> Result<(), Delivered> {
    let Login { user, password } = login;
    let offered = mechanisms(ehlo);
    let offers = |name: &str| offered.iter().any(|mechanism| mechanism == name);
    let (reply, secret) = if offers("PLAIN") {
        let secret = STANDARD.encode(format!("\0{user}\0{password}"));
        (plain(talk, &secret).await?, secret)
    } else if offers("LOGIN") {
        let secret = STANDARD.encode(password);
        let mut reply = talk.command("AUTH", "AUTH LOGIN").await?;
        for answer in [&STANDARD.encode(user), &secret] {
            if reply.code == 334 {
                reply = talk.command("AUTH", answer).await?;
            }
        }
        (reply, secret)
    } else {
        let what = match &offered[..] {
            [] => "offers no login (AUTH): use its submission port, or leave reporter.user out".to_owned(),
            others => format!(
                "offers {} to log in, and mailward knows PLAIN and LOGIN: switch one of them on there",
                others.join(", ")
            ),
        };
        return Err(talk.trouble(&what));
    };
    if reply.code == 235 {
        return Ok(());
    }
    let shown = without(&reply, &secret);
    Err(talk.trouble(&match reply.code {
        // RFC 4954 §6: a failure that may pass.
        400..=499 => format!("cannot check the login of {user} now: {shown}"),
        _ => format!("refuses the login of {user}: {shown}; check reporter.user and reporter.password_file"),
    }))
}

async fn plain(talk: &mut Talk<'_>, secret: &str) -> Result<Reply, Delivered> {
    let line = format!("AUTH PLAIN {secret}");
    if line.len() + 2 <= MOST_COMMAND {
        return talk.command("AUTH", &line).await;
    }
    let reply = talk.command("AUTH", "AUTH PLAIN").await?;
    if reply.code == 334 { talk.command("AUTH", secret).await } else { Ok(reply) }
}

/// The mechanisms of an EHLO reply, also in the form of servers older than RFC 2554 (`AUTH=PLAIN`).
fn mechanisms(ehlo: &Reply) -> Vec<String> {
    let mut all = Vec::new();
    for line in ehlo.keywords() {
        let line = line.to_ascii_uppercase();
        let mut words = line.split([' ', '=']).filter(|word| !word.is_empty());
        if words.next() == Some("AUTH") {
            all.extend(words.map(str::to_owned));
        }
    }
    all.sort();
    all.dedup();
    all
}

/// A reply for people. Answers are kept and shown, so one that repeats what it was told is left out.
fn without(reply: &Reply, secret: &str) -> String {
    let start = &secret.as_bytes()[..secret.len().min(8)];
    let repeats = |line: &Vec<u8>| line.windows(start.len().max(1)).any(|part| part == start);
    match reply.lines.iter().any(repeats) {
        true => format!("{:03}, with our command repeated", reply.code),
        false => reply.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mechanisms_are_words_behind_auth() {
        for (lines, mechanisms_) in [
            (&["mail", "AUTH PLAIN LOGIN"][..], &["LOGIN", "PLAIN"][..]),
            (&["mail", "auth=plain", "AUTH cram-md5 PLAIN"], &["CRAM-MD5", "PLAIN"]),
            (&["AUTH PLAIN", "SIZE 5", "AUTHX PLAIN"], &[]),
            (&["mail", "AUTH"], &[]),
        ] {
            let lines = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
            assert_eq!(mechanisms(&Reply { code: 250, lines }), mechanisms_);
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let login = Login { user: "reports".into(), password: "secret".into() };
        assert!(!format!("{login:?}").contains("secret"));
    }
}
