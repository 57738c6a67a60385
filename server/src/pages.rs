//! The pages: rendered once, at the start, and then the same bytes for everybody.

use crate::{
    content::{Content, Keep},
    html::{HtmlError, without_inline},
    site::Site,
};
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use std::{collections::HashMap, io};
use thiserror::Error;

const HTML: &str = "text/html; charset=utf-8";
/// No page has this path, so the router shows what it shows for unknown ones.
pub(crate) const UNKNOWN: &str = "/-";

/// Each page by its path, and the one for every other path.
#[derive(Debug)]
pub(crate) struct Pages {
    known: HashMap<String, Content>,
    unknown: Content,
}

/// A page cannot be served. Each names its path.
#[derive(Debug, Error)]
pub enum PageError {
    /// Rendering gave no page.
    #[error("the page {0} cannot be rendered: {1}")]
    Render(String, String),
    /// It would need what the content security policy forbids.
    #[error("the page {0} breaks the content security policy: {1}")]
    Inline(String, String),
    /// It cannot be compressed.
    #[error("the page {0} cannot be compressed: {1}")]
    Compress(String, io::Error),
}

impl Pages {
    /// Renders every page that the app's router knows.
    pub(crate) async fn render(site: &Site) -> Result<Self, PageError> {
        let mut known = HashMap::new();
        for listing in leptos_axum::generate_route_list(rly_app::App) {
            let path = listing.path();
            known.insert(path.to_owned(), page(site, path).await?);
        }
        let unknown = page(site, UNKNOWN).await?;
        Ok(Self { known, unknown })
    }

    /// The page of this path.
    pub(crate) fn page(&self, path: &str) -> Option<&Content> {
        self.known.get(path)
    }

    /// Every page with its path.
    pub(crate) fn known(&self) -> impl Iterator<Item = (&str, &Content)> {
        self.known.iter().map(|(path, content)| (path.as_str(), content))
    }

    /// The page for paths that no page has.
    pub(crate) fn unknown(&self) -> &Content {
        &self.unknown
    }
}

async fn page(site: &Site, path: &str) -> Result<Content, PageError> {
    let failed = |error: &dyn std::fmt::Display| PageError::Render(path.into(), error.to_string());
    let assets = site.assets().of(path);
    let render = leptos_axum::render_app_async(move || rly_app::shell(assets.clone()));
    let request = Request::get(path)
        .body(Body::empty())
        .map_err(|error| failed(&error))?;
    let body = render(request).await.into_body().collect().await;
    let bytes = body.map_err(|error| failed(&error))?.to_bytes();
    let html = std::str::from_utf8(&bytes).map_err(|error| failed(&error))?;
    let html =
        without_inline(html).map_err(|error: HtmlError| PageError::Inline(path.into(), error.to_string()))?;
    Content::compressed(html.into(), HTML, Keep::Ask).map_err(|error| PageError::Compress(path.into(), error))
}
