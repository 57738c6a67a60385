//! Composition root of the server: configuration, routes, websocket, headers, graceful stop.
//!
//! [`Task`] is read once, [`serve`] does the rest. [`public_router`] and [`admin_router`] are what
//! the two listeners serve; tests use them directly.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod admin;
mod api;
mod config;
mod content;
mod data_dir;
mod error;
mod files;
mod fixed;
#[cfg(any(test, rly_fuzz))]
pub mod fuzz;
mod headers;
mod html;
mod listen;
mod manifest;
mod openapi;
mod pages;
mod patient;
mod peer;
mod public_url;
mod room_api;
mod router;
mod site;
mod start;
mod verify;
mod websocket;

pub use admin::router as admin_router;
pub use config::{ClusterConfig, Config, ConfigError, Rooms, Task};
pub use manifest::{Manifest, ManifestError};
pub use pages::PageError;
pub use peer::{Remote, TrustedProxies};
pub use public_url::{PublicUrl, PublicUrlError};
pub use router::{Parts, router as public_router};
pub use site::{Site, SiteError};
pub use start::{StartError, serve};
pub use verify::{Difference, VerifyError, verify};
