//! What an id, a result type or a reason code means, who is at fault, how to mend it.
//!
//! Three sources meet under one lookup: the catalogue of findings, the result types of RFC 8460 with our
//! failure-reason-codes, and the words that vendors and articles use for them. `mailward explain`,
//! shell completion and the pages call it. The texts stand in the files below; nothing is computed here.

use serde::Serialize;

mod findings;
mod nearest;
mod reasons;
mod result_types;
mod vendors;

/// One explanation. `mailward.explain/1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Version of this form.
    pub schema: &'static str,
    /// As asked.
    pub id: String,
    /// Every name that leads here, the proper one first.
    pub names: Vec<String>,
    /// A short noun phrase.
    pub title: String,
    /// What it means, in sentences.
    pub meaning: String,
    /// Who is at fault.
    pub fault: String,
    /// What to do, in this order.
    pub mend: Vec<String>,
    /// The RFC 8460 result type that this word stands for, where it is not one itself.
    pub stands_for: Option<String>,
    /// RFC number and section.
    pub reference: String,
}

/// No such word; holds the nearest ones known, best first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown name {asked:?}; did you mean {}?", crate::finding::phrase::list(.nearest, 3))]
pub struct Unknown {
    /// As asked, made printable.
    pub asked: String,
    /// At most three, never empty.
    pub nearest: Vec<String>,
}

/// A hand-written entry.
struct Text {
    /// The proper name first.
    names: &'static [&'static str],
    title: &'static str,
    meaning: &'static str,
    fault: &'static str,
    mend: &'static [&'static str],
    stands_for: Option<&'static str>,
    reference: &'static str,
}

impl Text {
    fn explanation(&self) -> Explanation {
        Explanation {
            schema: SCHEMA,
            id: self.names[0].to_owned(),
            names: self.names.iter().map(|name| (*name).to_owned()).collect(),
            title: self.title.to_owned(),
            meaning: self.meaning.to_owned(),
            fault: self.fault.to_owned(),
            mend: self.mend.iter().map(|step| (*step).to_owned()).collect(),
            stands_for: self.stands_for.map(str::to_owned),
            reference: self.reference.to_owned(),
        }
    }
}

const SCHEMA: &str = "mailward.explain/1";

/// Explains a finding id, a result type, a reason code or a vendor's word, in any case; blanks and
/// underscores count as hyphens.
///
/// # Errors
/// [`Unknown`] with the nearest names.
pub fn explain(asked: &str) -> Result<Explanation, Unknown> {
    let wanted = normal(asked);
    let found = texts()
        .find(|text| text.names.iter().any(|name| normal(name) == wanted))
        .map(Text::explanation)
        .or_else(|| findings::explanation(&wanted))
        .or_else(|| reasons::with_value(&wanted).map(Text::explanation));
    match found {
        Some(explanation) => Ok(Explanation { id: asked.trim().to_owned(), ..explanation }),
        None => {
            let names = all_names();
            Err(Unknown {
                asked: crate::finding::phrase::foreign(asked),
                nearest: nearest::nearest(&wanted, &names, 3),
            })
        }
    }
}

/// Every name that [`explain`] knows, for completion: result types, reasons, vendors' words, findings.
pub fn all_names() -> Vec<String> {
    let written = texts().flat_map(|text| text.names.iter().map(|name| (*name).to_owned()));
    written.chain(findings::ids().map(str::to_owned)).collect()
}

fn texts() -> impl Iterator<Item = &'static Text> {
    result_types::TEXTS.iter().chain(reasons::TEXTS).chain(vendors::TEXTS)
}

fn normal(name: &str) -> String {
    let quotes = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`');
    name.trim_matches(quotes)
        .chars()
        .take(200)
        .map(|c| if c.is_whitespace() || c == '_' { '-' } else { c.to_ascii_lowercase() })
        .collect()
}

#[cfg(test)]
mod tests;
