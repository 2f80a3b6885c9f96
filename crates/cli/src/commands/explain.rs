//! `mailward explain`: a finding id, a result type, a reason code or a vendor's word for one.

use crate::Context;
use crate::exit::{Failure, Outcome, Result};
use crate::output::{self, strong, wrap};

/// Runs it.
pub fn run(context: &Context, id: &str) -> Result {
    let found = mailward_core::explain::explain(id).map_err(Failure::usage)?;
    if context.json() {
        output::print_json(&found);
        return Ok(Outcome::Fine);
    }
    anstream::println!("{}  {}", strong(&found.id), found.title);
    if let Some(stands_for) = &found.stands_for {
        anstream::println!("stands for the RFC 8460 result type {}", strong(stands_for));
    }
    anstream::println!("\n{}", wrap(&found.meaning, 0));
    anstream::println!("\n{}  {}", strong("Who"), wrap(&found.fault, 5));
    for (n, step) in found.mend.iter().enumerate() {
        let label = if n == 0 { strong("Mend") } else { "    ".to_owned() };
        anstream::println!("{label} {}  {}", n + 1, wrap(step, 8));
    }
    if !found.reference.is_empty() {
        anstream::println!("{}  {}", strong("See"), found.reference);
    }
    Ok(Outcome::Fine)
}
