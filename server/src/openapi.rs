//! The OpenAPI document of the HTTP API. It is written by hand in `openapi.json`; a test posts each
//! of its examples through the router.

use crate::content::{Content, Keep};
use bytes::Bytes;
use std::io;

/// Where it is served.
pub(crate) const PATH: &str = "/api/openapi.json";

/// The document, ready to serve.
pub(crate) fn document() -> io::Result<Content> {
    let json = Bytes::from_static(include_bytes!("openapi.json"));
    Content::compressed(json, "application/json", Keep::Ask)
}
