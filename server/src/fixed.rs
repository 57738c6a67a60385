//! All that is the same bytes for everybody: files, pages, the API's description.
//!
//! The router answers from here, and the manifest lists what is here, so it lists all of it.

use crate::{
    content::Content,
    openapi,
    pages::{PageError, Pages, UNKNOWN},
    site::Site,
};
use http::StatusCode;

/// The answers that do not depend on who asks.
#[derive(Debug)]
pub(crate) struct Fixed {
    site: Site,
    pages: Pages,
    openapi: Content,
}

impl Fixed {
    /// Renders the pages.
    pub(crate) async fn make(site: Site) -> Result<Self, PageError> {
        let pages = Pages::render(&site).await?;
        let openapi =
            openapi::document().map_err(|error| PageError::Compress(openapi::PATH.into(), error))?;
        Ok(Self { site, pages, openapi })
    }

    /// The file of this path.
    pub(crate) fn file(&self, path: &str) -> Option<&Content> {
        self.site.file(path)
    }

    /// The page of this path, or the one that says that there is none.
    pub(crate) fn page(&self, path: &str) -> (StatusCode, &Content) {
        match self.pages.page(path) {
            Some(page) => (StatusCode::OK, page),
            None => (StatusCode::NOT_FOUND, self.pages.unknown()),
        }
    }

    /// The API's description.
    pub(crate) fn openapi(&self) -> &Content {
        &self.openapi
    }

    /// Each answer with its path and status. The page for unknown paths stands for all of them.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (&str, StatusCode, &Content)> {
        let known = self.site.files().chain(self.pages.known());
        known
            .chain([(openapi::PATH, &self.openapi)])
            .map(|(path, content)| (path, StatusCode::OK, content))
            .chain([(UNKNOWN, StatusCode::NOT_FOUND, self.pages.unknown())])
    }
}
