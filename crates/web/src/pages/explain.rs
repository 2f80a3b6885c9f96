//! `/explain/ID`: what does it mean, who is at fault, how is it mended?

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State as Shared};
use axum::response::Response;
use mailward_core::finding::catalogue::{self, Entry};

use crate::App;
use crate::access::Visitor;
use crate::failure::{Failure, PageFailure};
use crate::frame::{Frame, Part, html};
use crate::state::State;
use crate::words::{self, Markup};

#[derive(Template)]
#[template(path = "explain_index.html")]
struct IndexPage {
    frame: Frame,
    families: Vec<(&'static str, Vec<(&'static str, Markup, &'static str)>)>,
}

pub(super) async fn index(
    Shared(app): Shared<App>,
    Extension(visitor): Extension<Visitor>,
) -> Result<Response, PageFailure> {
    let mut families: Vec<(&'static str, Vec<(&'static str, Markup, &'static str)>)> = Vec::new();
    for entry in catalogue::ENTRIES {
        let row = (entry.id, State::from(entry.severity).with_word(entry.severity.as_str()), entry.title);
        match families.iter_mut().find(|(name, _)| *name == entry.family) {
            Some((_, rows)) => rows.push(row),
            None => families.push((entry.family, vec![row])),
        }
    }
    let frame = Frame::new("What every finding means", Part::Problems, &visitor, app.now())
        .crumb("Problems", "/problems")
        .here("What every finding means");
    Ok(html(&IndexPage { frame, families }))
}

#[derive(Template)]
#[template(path = "explain.html")]
struct ExplainPage {
    frame: Frame,
    id: String,
    entry: &'static Entry,
    severity: Markup,
}

pub(super) async fn show(
    Shared(app): Shared<App>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> Result<Response, PageFailure> {
    let entry = catalogue::entry(&id.to_uppercase()).ok_or_else(|| {
        Failure::NotFound(format!(
            "{:?} is no finding, result type or reason that mailward knows.",
            words::cut(&id, 80)
        ))
    })?;
    let frame = Frame::new(entry.id, Part::Problems, &visitor, app.now())
        .crumb("Problems", "/problems")
        .crumb("What every finding means", "/explain")
        .here(entry.id)
        .document(format!("/api/explain/{}", entry.id));
    let severity = State::from(entry.severity).with_word(entry.severity.as_str());
    Ok(html(&ExplainPage { frame, id: entry.id.to_owned(), entry, severity }))
}
