//! What `config check` says of `[reporter]`: keys that can be read, and are published for reports.

use std::sync::Arc;

use mailward_core::Clock;
use mailward_sending::reporter::{Published, SigningKey};

use super::advice::{Advice, info, warning};
use crate::config::{Config, ReporterTable};
use crate::exit::{Failure, Result};
use crate::rooms;

/// Everything there is to say. The DNS is asked for each key.
pub async fn advice(config: &Config, clock: Arc<dyn Clock>) -> Result<Vec<Advice>> {
    let Some(table) = &config.reporter else { return Ok(vec![]) };
    let options = table.options(&config.store.url()).map_err(Failure::usage)?;
    let mut all = vec![];
    all.extend(without_keys(table, &options.keys));
    if table.user.is_some() && table.submit.starts_with("smtp://") {
        let here = ["smtp://127.", "smtp://[::1]", "smtp://localhost"];
        if !here.iter().any(|start| table.submit.starts_with(start)) {
            all.push(warning(
                "reporter.submit",
                "leads to another machine, in clear: the password is not sent that way, so no report leaves by mail. Write smtps:// or smtp+starttls://.",
            ));
        }
    }
    let outside = rooms::outside(config, clock)?;
    for key in &options.keys {
        let name = key.record_name();
        all.push(match outside.resolver.txt(name).await {
            Err(error) => warning("reporter.dkim", format!("{name} could not be looked up: {error}.")),
            Ok(answer) => published(key, &answer.records.iter().map(|r| r.text()).collect::<Vec<_>>()),
        });
    }
    Ok(all)
}

fn without_keys(table: &ReporterTable, keys: &[Arc<SigningKey>]) -> Option<Advice> {
    if keys.is_empty() {
        return Some(warning(
            "reporter.dkim",
            format!(
                "is empty: reports by mail leave unsigned, and receivers do not count them. Make a key (openssl genrsa -out tlsrpt.pem 2048), publish it at tlsrpt._domainkey.{}, and name it here.",
                table.contact.rsplit('@').next().unwrap_or_default()
            ),
        ));
    }
    // RFC 8463 §3: an Ed25519 signature stands beside one by RSA until everybody knows it.
    (!keys.iter().any(|key| key.algorithm() == "rsa-sha256")).then(|| {
        warning(
            "reporter.dkim",
            "has no RSA key: many receivers cannot check Ed25519 yet. Add one of 2048 bits.",
        )
    })
}

fn published(key: &SigningKey, records: &[String]) -> Advice {
    let name = key.record_name();
    let found = records.iter().map(|record| key.published(record)).collect::<Vec<_>>();
    match &found[..] {
        [] => warning(
            "reporter.dkim",
            format!(
                "{name} has no TXT record: publish \"{}\" there, or receivers cannot check the signature.",
                key.record()
            ),
        ),
        [Published::Matches] => {
            info("reporter.dkim", format!("{name} publishes this {} key", key.algorithm()))
        }
        [Published::Differs(why)] => {
            warning("reporter.dkim", format!("the record at {name} does not fit the key: {why}."))
        }
        many => warning(
            "reporter.dkim",
            format!("{name} has {} TXT records; a key has one, and receivers may take any.", many.len()),
        ),
    }
}
