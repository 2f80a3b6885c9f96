//! What stands around every page: title, navigation, breadcrumbs, who is looking, when it was made.

use askama::Template;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;

use crate::access::Visitor;
use crate::assets;
use crate::words;

/// A part of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Today,
    Domains,
    Problems,
    Reports,
    Sending,
    Settings,
    /// None of them.
    Outside,
}

/// One step of the breadcrumbs; the last has no address.
pub(crate) struct Crumb {
    pub(crate) text: String,
    pub(crate) address: Option<String>,
}

/// The frame of a page.
pub(crate) struct Frame {
    pub(crate) title: String,
    pub(crate) part: Part,
    pub(crate) crumbs: Vec<Crumb>,
    /// Name of the token, when there is one to log out.
    pub(crate) name: Option<String>,
    /// When the page was made; empty where that says nothing.
    pub(crate) made_at: String,
    /// The same content as JSON.
    pub(crate) document: Option<String>,
    /// Whether to show the navigation.
    pub(crate) navigation: bool,
}

impl Frame {
    pub(crate) fn new(title: impl Into<String>, part: Part, visitor: &Visitor, now: Timestamp) -> Self {
        Self {
            title: title.into(),
            part,
            crumbs: Vec::new(),
            name: visitor.name().map(ToOwned::to_owned),
            made_at: words::moment(now, now).utc,
            document: None,
            navigation: true,
        }
    }

    /// For people who are not let in yet.
    pub(crate) fn bare(title: &str, now: Timestamp) -> Self {
        let mut frame = Self::new(title, Part::Outside, &Visitor::Stranger, now);
        frame.navigation = false;
        frame
    }

    /// For pages about failures.
    pub(crate) fn untimed(title: &str) -> Self {
        let mut frame = Self::bare(title, Timestamp::UNIX_EPOCH);
        frame.navigation = true;
        frame.made_at = String::new();
        frame
    }

    /// With one more step of the way here.
    #[must_use]
    pub(crate) fn crumb(mut self, text: impl Into<String>, address: impl Into<String>) -> Self {
        self.crumbs.push(Crumb { text: text.into(), address: Some(address.into()) });
        self
    }

    /// With the last step of the way: this page.
    #[must_use]
    pub(crate) fn here(mut self, text: impl Into<String>) -> Self {
        self.crumbs.push(Crumb { text: text.into(), address: None });
        self
    }

    /// With the address of the same content as JSON.
    #[must_use]
    pub(crate) fn document(mut self, address: impl Into<String>) -> Self {
        self.document = Some(address.into());
        self
    }

    pub(crate) fn style(&self) -> &'static str {
        &assets::STYLE.path
    }

    pub(crate) fn script(&self) -> &'static str {
        &assets::COPY.path
    }

    pub(crate) fn icon(&self) -> &'static str {
        &assets::ICON.path
    }

    pub(crate) fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// The navigation: address, text, whether we are there.
    pub(crate) fn parts(&self) -> [(&'static str, &'static str, bool); 6] {
        [
            ("/", "Today", Part::Today),
            ("/domains", "Domains", Part::Domains),
            ("/problems", "Problems", Part::Problems),
            ("/reports", "Reports", Part::Reports),
            ("/sending", "Sending", Part::Sending),
            ("/settings", "Settings", Part::Settings),
        ]
        .map(|(address, text, part)| (address, text, self.part == part))
    }
}

/// Renders a template as a page.
pub(crate) fn html(template: &impl Template) -> Response {
    match template.render() {
        Ok(page) => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response(),
        Err(error) => {
            tracing::error!(%error, "a template failed");
            (StatusCode::INTERNAL_SERVER_ERROR, "the page could not be written\n").into_response()
        }
    }
}
