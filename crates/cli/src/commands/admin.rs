//! `mailward admin`: access tokens.

use crate::Context;
use crate::args::{Admin, Token};
use crate::exit::{Failure, Outcome, Result};
use crate::output::{self, table};
use crate::rooms;

/// Runs it.
pub async fn run(context: &Context, args: Admin) -> Result {
    let store = rooms::store(&context.loaded.config).await?;
    let now = context.clock.now();
    let Admin::Token(token) = args;
    match token {
        Token::Create { name } => {
            if name.trim().is_empty() {
                return Err(Failure::usage("a token needs a name"));
            }
            let (secret, sha256) = mailward_web::new_token().map_err(Failure::unavailable)?;
            store.add_token(&name, &sha256, now).await.map_err(|e| match e {
                mailward_store::StoreError::Conflict(_) => Failure::usage(format!(
                    "there is a token {name:?} already; remove it first or choose another name"
                )),
                other => other.into(),
            })?;
            if context.json() {
                output::print_json(
                    &serde_json::json!({"schema": "mailward.token/1", "name": name, "token": secret}),
                );
            } else {
                anstream::println!("{secret}");
                anstream::eprintln!(
                    "Token {name:?}. It is shown this once: use it on the login page, or as Authorization: Bearer."
                );
            }
        }
        Token::List => {
            let tokens = store.tokens().await?;
            if context.json() {
                output::print_json(&serde_json::json!({"schema": "mailward.tokens/1", "tokens": tokens}));
            } else if tokens.is_empty() {
                anstream::eprintln!("There is no token. Make one: mailward admin token create NAME");
            } else {
                let rows: Vec<Vec<String>> = tokens
                    .iter()
                    .map(|t| {
                        let used = t.last_used.map_or_else(|| "never".to_owned(), |u| output::moment(u, now));
                        vec![output::clean(&t.name), output::moment(t.created_at, now), used]
                    })
                    .collect();
                let headings = [
                    ("name", table::Align::Left),
                    ("made", table::Align::Left),
                    ("last used", table::Align::Left),
                ];
                anstream::print!("{}", table::render(&headings, &rows));
            }
        }
        Token::Remove { name } => {
            if !store.remove_token(&name).await? {
                return Err(Failure::usage(format!("there is no token {name:?}; mailward admin token list")));
            }
            anstream::eprintln!("Token {name:?} is removed. Whoever used it is logged out.");
        }
    }
    store.close().await;
    Ok(Outcome::Fine)
}
