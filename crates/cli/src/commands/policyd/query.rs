//! `mailward policyd query KEY`: one question over the socket, the answer as it stands.

use crate::Context;
use crate::config::ListenAddress;
use crate::exit::{Failure, Outcome, Result};
use crate::output::{self, clean};
use crate::socketmap;

/// Runs it.
pub async fn run(context: &Context, key: &str, map: &str, socket: Option<ListenAddress>) -> Result {
    if let Some(part) = [key, map].into_iter().find(|part| part.len() > 9_000) {
        return Err(Failure::usage(format!("{} bytes are too long to ask for", part.len())));
    }
    let socket = match socket {
        Some(socket) => socket,
        None => configured(context)?,
    };
    let answer = socketmap::ask(&socket, map, key).await.map_err(|error| {
        Failure::unavailable(format!(
            "{error}. Does `mailward serve` run with [policyd], and may this user write to the socket? --socket names another."
        ))
    })?;
    let (status, data) = answer.split_once(' ').unwrap_or((&answer, ""));
    if context.json() {
        output::print_json(&serde_json::json!({
            "schema": "mailward.query/1", "socket": socket, "map": map, "key": key,
            "status": status, "data": data, "answer": answer,
        }));
    } else {
        anstream::println!("{}", clean(&answer));
    }
    Ok(outcome(status))
}

/// The first socket of the configuration.
fn configured(context: &Context) -> Result<ListenAddress> {
    let table = context.loaded.config.policyd.clone().unwrap_or_default();
    table
        .listen
        .into_iter()
        .next()
        .ok_or_else(|| Failure::usage("policyd.listen is empty; --socket names one"))
}

/// What an answer means for a script.
fn outcome(status: &str) -> Outcome {
    match status {
        "OK" | "NOTFOUND" => Outcome::Fine,
        "PERM" => Outcome::Misconfigured,
        // TEMP, TIMEOUT, and what no daemon should say.
        _ => Outcome::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes() {
        for (status, expected) in [
            ("OK", Outcome::Fine),
            ("NOTFOUND", Outcome::Fine),
            ("PERM", Outcome::Misconfigured),
            ("TEMP", Outcome::Unknown),
            ("TIMEOUT", Outcome::Unknown),
            ("220", Outcome::Unknown),
        ] {
            assert_eq!(outcome(status), expected, "{status}");
        }
    }
}
