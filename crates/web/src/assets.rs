//! The style sheet, the script of the copy button and the icon: compiled in, named by their hash.
//!
//! A name changes with its content, so browsers may keep it for a year and never show an old one.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

use crate::App;

/// One file.
pub struct Asset {
    /// Where it is served.
    pub path: String,
    media_type: &'static str,
    body: &'static str,
}

fn asset(stem: &str, extension: &str, media_type: &'static str, body: &'static str) -> Asset {
    let mark: String = Sha256::digest(body)[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    Asset { path: format!("/assets/{stem}.{mark}.{extension}"), media_type, body }
}

/// The one style sheet.
pub static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    asset("mailward", "css", "text/css; charset=utf-8", include_str!("assets/mailward.css"))
});
/// Copies a record; pages work without it.
pub static COPY: LazyLock<Asset> =
    LazyLock::new(|| asset("copy", "js", "text/javascript; charset=utf-8", include_str!("assets/copy.js")));
/// The icon of the tab.
pub static ICON: LazyLock<Asset> =
    LazyLock::new(|| asset("icon", "svg", "image/svg+xml", include_str!("assets/icon.svg")));

pub(crate) fn router() -> Router<App> {
    Router::new().route("/assets/{file}", get(serve))
}

async fn serve(Path(file): Path<String>) -> Response {
    let known = [&*STYLE, &*COPY, &*ICON];
    let Some(asset) = known.into_iter().find(|a| a.path.strip_prefix("/assets/") == Some(file.as_str()))
    else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, asset.media_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, asset.body).into_response()
}
