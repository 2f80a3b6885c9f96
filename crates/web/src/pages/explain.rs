//! `/explain/ID`: what does it mean, who is at fault, how is it mended?

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State as Shared};
use axum::response::Response;
use mailward_core::explain::{self, Explanation};
use mailward_core::finding::catalogue;
use mailward_core::tlsrpt::ResultType;

use crate::App;
use crate::access::Visitor;
use crate::failure::{Failure, PageFailure};
use crate::frame::{Frame, Part, html};
use crate::state;
use crate::words::{self, Markup};

/// Name, worst severity, title of what can be explained.
type Row = (String, Option<Markup>, String);

#[derive(Template)]
#[template(path = "explain_index.html")]
struct IndexPage {
    frame: Frame,
    families: Vec<(&'static str, Vec<Row>)>,
}

pub(super) async fn index(
    Shared(app): Shared<App>,
    Extension(visitor): Extension<Visitor>,
) -> Result<Response, PageFailure> {
    let types = ResultType::REGISTERED
        .iter()
        .map(|t| {
            (t.as_str().to_owned(), None, explain::explain(t.as_str()).map(|e| e.title).unwrap_or_default())
        })
        .collect();
    let mut families: Vec<(&'static str, Vec<Row>)> = vec![("What reporters call it (RFC 8460)", types)];
    for entry in catalogue::ENTRIES {
        let severity = state::severity_badge(entry.severity);
        let row = (entry.id.to_owned(), Some(severity), entry.title.to_owned());
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
    explanation: Explanation,
    severity: Option<Markup>,
    severity_when: &'static str,
    stands_for: Option<(String, String)>,
}

pub(super) async fn show(
    Shared(app): Shared<App>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> Result<Response, PageFailure> {
    let explanation = read(&id)?;
    let name = explanation.names.first().unwrap_or(&explanation.id).clone();
    let entry = catalogue::entry(&name);
    let stands_for = explanation.stands_for.clone();
    let frame = Frame::new(&*name, Part::Problems, &visitor, app.now())
        .crumb("Problems", "/problems")
        .crumb("What every finding means", "/explain")
        .here(&*name)
        .document(format!("/api/explain/{}", words::query_value(&name)));
    Ok(html(&ExplainPage {
        frame,
        severity: entry.map(|e| state::severity_badge(e.severity)),
        severity_when: entry.map_or("", |e| e.severity_when),
        stands_for: stands_for.map(|to| (format!("/explain/{}", words::query_value(&to)), to)),
        explanation,
    }))
}

/// The explanation of a name in an address.
pub(crate) fn read(id: &str) -> Result<Explanation, Failure> {
    explain::explain(id).map_err(|unknown| {
        let unknown = words::cut(&unknown.to_string(), 400);
        Failure::NotFound(format!("Nothing to explain: {unknown}"))
    })
}
