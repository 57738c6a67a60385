//! The public and admin routers, over a real relay on a SQLite file.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

#[path = "../common/mod.rs"]
mod common;

mod admin;
mod api;
mod harness;
mod pages;
mod refusals;
