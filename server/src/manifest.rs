//! The manifest of a build: what its server answers, as hashes, to be published and compared.

use crate::{
    PageError, Site, SiteError,
    content::{Content, ENCODINGS},
    fixed::Fixed,
    headers,
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// The file in the site's folder that `rly-server manifest` is written to.
const FILE: &str = "served.json";

/// What a server of one build answers to everybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Headers of every answer.
    pub(crate) headers: BTreeMap<String, String>,
    /// By path. `/-` stands for every path that does not exist.
    pub(crate) answers: BTreeMap<String, Answer>,
}

/// One path's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    /// What is sent, by encoding.
    pub(crate) encodings: BTreeMap<String, Sent>,
}

/// An answer's content in one encoding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sent {
    pub(crate) bytes: usize,
    /// In hexadecimal.
    pub(crate) sha256: String,
}

/// There is no manifest. Each names the file.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// The files of the pages.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// The pages.
    #[error(transparent)]
    Page(#[from] PageError),
    /// It was not written.
    #[error("{0} cannot be read: {1}; ./run writes it")]
    Read(PathBuf, io::Error),
    /// It is something else.
    #[error("{0} is not a manifest: {1}")]
    Json(PathBuf, serde_json::Error),
}

impl Manifest {
    /// What a server with this site's folder answers.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub async fn make(site: &Path) -> Result<Self, ManifestError> {
        let fixed = Fixed::make(Site::load(site)?).await?;
        let answers = fixed
            .answers()
            .map(|(path, status, content)| (path.to_owned(), Answer::of(status, content)))
            .collect();
        let headers = headers::FIXED
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), (*value).to_owned()))
            .collect();
        Ok(Self { headers, answers })
    }

    /// The one that was written when this site's folder was.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn read(site: &Path) -> Result<Self, ManifestError> {
        let path = site.join(FILE);
        let bytes = fs::read(&path).map_err(|error| ManifestError::Read(path.clone(), error))?;
        serde_json::from_slice(&bytes).map_err(|error| ManifestError::Json(path, error))
    }
}

/// How much it covers.
impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encodings = self.answers.values().map(|answer| answer.encodings.len());
        let (paths, sent) = (self.answers.len(), encodings.sum::<usize>());
        write!(f, "{paths} paths, {sent} answers")
    }
}

impl Answer {
    fn of(status: StatusCode, content: &Content) -> Self {
        Self {
            status: status.as_u16(),
            content_type: content.media_type().to_owned(),
            encodings: ENCODINGS
                .iter()
                .filter_map(|encoding| Some(((*encoding).to_owned(), Sent::of(content.encoded(encoding)?))))
                .collect(),
        }
    }
}

impl Sent {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let hash = Sha256::digest(bytes);
        Self {
            bytes: bytes.len(),
            sha256: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}
