//! `mailward lookup DOMAIN`: what a sender must do for this next hop right now, and why, step by step.
//!
//! Where a policy daemon runs, it is asked over its socket, since mail obeys what it knows. Where none
//! runs, or with `--live`, everything is looked up now, as a sender does that knows nothing yet.

mod human;

use mailward_core::PolicyDomain;
use mailward_core::postfix::socketmap::{Map, NotADomain, Question};
use mailward_sending::policy::{Document, look_now};
use mailward_store::overrides::OverrideRow;

use crate::Context;
use crate::args::Lookup;
use crate::config::ListenAddress;
use crate::exit::{Failure, Outcome, Result};
use crate::{output, rooms, socketmap};

/// Runs it.
pub async fn run(context: &Context, args: Lookup) -> Result {
    let (domain, port) = next_hop(&args.domain)?;
    let key = if port == 25 { domain.to_string() } else { format!("{domain}:{port}") };
    let question = Question::parse(format!("{} {key}", Map::Trace.as_str()).as_bytes());
    if question == Question::NoPolicy(NotADomain::Submission) {
        return Err(Failure::usage(format!(
            "{key} is a port for submission, where neither DANE nor MTA-STS applies: Postfix is told NOTFOUND"
        )));
    }
    let asked = match &args.socket {
        Some(socket) => Some(ask(socket, &key).await.map_err(Failure::unavailable)?),
        // A single label is no next hop to the daemon.
        None if args.live || matches!(question, Question::NoPolicy(_)) => None,
        None => ask_any(context, &key).await,
    };
    let (document, daemon) = match asked {
        Some((document, socket)) => (document, Some(socket)),
        None => (look(context, &domain, port).await?, None),
    };
    if context.json() {
        output::print_json(&document);
    } else {
        human::print(&document, daemon.as_ref(), context.clock.now());
    }
    Ok(outcome(&document))
}

/// Reads `DOMAIN` or `DOMAIN:PORT`.
fn next_hop(text: &str) -> Result<(PolicyDomain, u16)> {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => {
            let number = port.parse().ok().filter(|port| *port != 0);
            let wrong = || Failure::usage(format!("{text:?}: {port:?} is no port"));
            (name, number.ok_or_else(wrong)?)
        }
        None => (text, 25),
    };
    Ok((PolicyDomain::parse(name)?, port))
}

/// Asks the daemon of the configuration; `None` where none answers.
async fn ask_any(context: &Context, key: &str) -> Option<(Document, ListenAddress)> {
    let table = context.loaded.config.policyd.as_ref()?;
    let mut why = vec![];
    for socket in &table.listen {
        match ask(socket, key).await {
            Ok(answered) => return Some(answered),
            Err(error) => why.push(error),
        }
    }
    anstream::eprintln!(
        "No policy daemon answers ({}), so this is looked up now; what a daemon remembers is not in it.",
        why.join("; ")
    );
    None
}

async fn ask(socket: &ListenAddress, key: &str) -> std::result::Result<(Document, ListenAddress), String> {
    let answer = socketmap::ask(socket, Map::Trace.as_str(), key).await.map_err(|e| e.to_string())?;
    let text =
        answer.strip_prefix("OK ").ok_or_else(|| format!("{socket} answers {:?}", output::clean(&answer)))?;
    let document = serde_json::from_str(text)
        .map_err(|e| format!("{socket} is a mailward of another version, or something else: {e}"))?;
    Ok((document, socket.clone()))
}

/// Looks now, by the operator's word if there is one.
async fn look(context: &Context, domain: &PolicyDomain, port: u16) -> Result<Document> {
    let config = &context.loaded.config;
    let outside = rooms::outside(config, context.clock.clone())?;
    let row = operators_word(context, domain).await;
    let on_dns_failure = config.policyd.as_ref().map(|table| table.on_dns_failure).unwrap_or_default();
    let over = row.as_ref().map(|row| &row.over);
    let mut document = look_now(&outside, domain, port, over, on_dns_failure).await;
    if let (Some(operator), Some(row)) = (&mut document.operator, row) {
        operator.author = Some(row.author);
    }
    Ok(document)
}

/// What is set for the domain. A look needs no store, so none is made for it, and one that cannot be read
/// is no reason not to look.
async fn operators_word(context: &Context, domain: &PolicyDomain) -> Option<OverrideRow> {
    if !rooms::has_store(&context.loaded.config) {
        return None;
    }
    let read = async {
        let store = rooms::store(&context.loaded.config).await?;
        let rows = store.overrides().await;
        store.close().await;
        Ok::<_, Failure>(rows?)
    };
    match read.await {
        Ok(rows) => rows.into_iter().find(|(of, _)| of == domain).map(|(_, row)| row),
        Err(failure) => {
            anstream::eprintln!("What `mailward policy set` says could not be read: {failure}");
            None
        }
    }
}

/// 3 when mail waits because nobody could find out; what the operator or the domain demands is an answer.
fn outcome(document: &Document) -> Outcome {
    match document.operator.is_none() && document.postfix.starts_with("TEMP") {
        true => Outcome::Unknown,
        false => Outcome::Fine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_hops() {
        for (text, name, port) in [
            ("example.com", "example.com", 25),
            ("EXAMPLE.com.", "example.com", 25),
            ("a.example:26", "a.example", 26),
        ] {
            let (domain, to) = next_hop(text).unwrap();
            assert_eq!((domain.as_str(), to), (name, port), "{text}");
        }
        for text in
            ["", "..", "example.com:", "example.com:0", "example.com:mail", "example.com:70000", "192.0.2.1"]
        {
            assert!(next_hop(text).is_err(), "{text}");
        }
    }
}
