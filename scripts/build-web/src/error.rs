//! What can go wrong.

use std::{
    fs, io,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// Why nothing was built. One line each, but for the words of the tools.
#[derive(Debug, Error)]
pub enum BuildError {
    /// A file or folder.
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    /// Cargo or wasm-opt does not run.
    #[error("{0} cannot be run: {1}")]
    Tool(String, io::Error),
    /// Cargo or wasm-opt ran and failed, after saying why.
    #[error("{0} failed")]
    Failed(String),
    /// wasm-bindgen's words.
    #[error("wasm-bindgen refuses {0}: {1}")]
    Bindgen(String, String),
    /// A page is not split, or its script is not as known.
    #[error("{0} cannot be split: {1}")]
    Split(String, String),
    /// The content security policy and the hashed names leave no place for them.
    #[error("{0} brings JavaScript snippets of its own, which are not served")]
    Snippets(String),
    /// wasm-opt is missing.
    #[error("{0} is missing: run `npm ci --ignore-scripts` in end2end, or build with --dev")]
    NoWasmOpt(PathBuf),
    /// The standard library's source is missing.
    #[error("{0} is missing: run `rustup component add rust-src`, or build with --dev")]
    NoStd(PathBuf),
    /// A name that cannot be in a URL as it is.
    #[error("{0}: a public file's name has letters, digits, dots, dashes and underscores only")]
    Name(PathBuf),
    /// The manifest cannot be written as JSON.
    #[error("the manifest: {0}")]
    Manifest(#[from] serde_json::Error),
}

/// A file's content.
pub fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    fs::read(path).map_err(|error| BuildError::File(path.into(), error))
}

/// Writes a whole file or none: first under another name.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    fs::write(&unfinished, bytes)
        .and_then(|()| fs::rename(&unfinished, path))
        .map_err(|error| BuildError::File(path.into(), error))
}
