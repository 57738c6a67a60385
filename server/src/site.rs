//! What `build-web` made: files under names that contain their hash, listed in `manifest.json`.
//!
//! All of it is read at the start and served from memory, so no request ever touches a path.

use crate::content::{Content, Keep};
use bytes::Bytes;
use rly_app::Assets;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// What only the pages load. Everything else, the icon and the web manifest for two, is also served
/// under its own name, as others refer to it by that.
const LOADED: [&str; 11] = [
    "app.js",
    "app.wasm",
    "boot.js",
    "messenger.wasm",
    "room-worker.js",
    "room-worker.wasm",
    "rooms.js",
    "rooms.wasm",
    "style.css",
    "worker.js",
    "worker.wasm",
];

/// The files, by the path of their URL.
#[derive(Debug)]
pub struct Site {
    files: HashMap<String, Content>,
    assets: Assets,
}

/// The folder is not what `build-web` makes. Each names the file.
#[derive(Debug, Error)]
pub enum SiteError {
    /// A file cannot be read.
    #[error("{0} cannot be read: {1}")]
    Read(PathBuf, io::Error),
    /// The manifest is not the JSON expected.
    #[error("{0} is not a manifest made by build-web: {1}")]
    Manifest(PathBuf, serde_json::Error),
    /// A file that the pages need is not listed.
    #[error("{0} does not list {1}: run build-web again")]
    Missing(PathBuf, &'static str),
    /// A path outside the folder, or a file of another content than listed.
    #[error("{0} is not the file that the manifest lists: run build-web again")]
    Foreign(PathBuf),
}

#[derive(Deserialize)]
struct Manifest {
    files: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    path: String,
    sha256: String,
}

impl Site {
    /// Reads the folder.
    ///
    /// # Errors
    /// [`SiteError`].
    pub fn load(folder: &Path) -> Result<Self, SiteError> {
        let listed = folder.join("manifest.json");
        let manifest = fs::read(&listed).map_err(|error| SiteError::Read(listed.clone(), error))?;
        let manifest: Manifest =
            serde_json::from_slice(&manifest).map_err(|error| SiteError::Manifest(listed.clone(), error))?;
        let root = folder
            .canonicalize()
            .map_err(|error| SiteError::Read(folder.into(), error))?;
        let path = |name: &'static str| match manifest.files.get(name) {
            Some(entry) => Ok(entry.path.clone()),
            None => Err(SiteError::Missing(listed.clone(), name)),
        };
        let assets = Assets {
            boot: path("boot.js")?,
            app_js: path("app.js")?,
            app_wasm: path("app.wasm")?,
            worker_js: path("worker.js")?,
            worker_wasm: path("worker.wasm")?,
            rooms_js: path("rooms.js")?,
            rooms_wasm: path("rooms.wasm")?,
            room_worker_js: path("room-worker.js")?,
            room_worker_wasm: path("room-worker.wasm")?,
            style: path("style.css")?,
            icon: path("favicon.svg")?,
        };
        let mut files = HashMap::new();
        for (name, entry) in manifest.files {
            let content = read(&root, &entry)?;
            if !LOADED.contains(&name.as_str()) {
                files.insert(format!("/{name}"), content.clone().keep(Keep::Ask));
            }
            files.insert(entry.path, content);
        }
        Ok(Self { files, assets })
    }

    /// Takes page and glue from where `cargo leptos watch --split` has just built them. Only in a debug build
    /// that it runs: it says so in the environment.
    ///
    /// # Errors
    /// [`SiteError::Read`].
    #[cfg(debug_assertions)]
    pub fn watched(mut self, root: &Path) -> Result<Self, SiteError> {
        let pkg = root.join("pkg");
        let failed = |error| SiteError::Read(pkg.clone(), error);
        for entry in fs::read_dir(&pkg).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let (Some(name), true) = (path.file_name(), path.is_file()) else {
                continue;
            };
            let name = name.to_string_lossy();
            let bytes = fs::read(&path).map_err(|error| SiteError::Read(path.clone(), error))?;
            let content = Content::new(bytes.into(), None, None, media_type(&path), Keep::Ask);
            self.files.insert(format!("/pkg/{name}"), content);
        }
        self.assets.app_js = "/pkg/app.js".into();
        self.assets.app_wasm = "/pkg/app.wasm".into();
        Ok(self)
    }

    /// Where the pages find their files.
    pub fn assets(&self) -> &Assets {
        &self.assets
    }

    /// Every file with its path.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &Content)> {
        self.files.iter().map(|(path, content)| (path.as_str(), content))
    }

    /// The file under this path.
    pub(crate) fn file(&self, path: &str) -> Option<&Content> {
        self.files.get(path)
    }
}

fn read(root: &Path, entry: &Entry) -> Result<Content, SiteError> {
    let path = root.join(entry.path.trim_start_matches('/'));
    let error = |error| SiteError::Read(path.clone(), error);
    // Resolved, so that neither `..` nor a symbolic link leads out of the folder.
    if !path.canonicalize().map_err(error)?.starts_with(root) || !entry.path.starts_with('/') {
        return Err(SiteError::Foreign(path));
    }
    let plain = fs::read(&path).map_err(error)?;
    let digest = Sha256::digest(&plain);
    if !digest
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .eq(chunks(&entry.sha256))
    {
        return Err(SiteError::Foreign(path));
    }
    let variant = |ending: &str| -> Result<Option<Bytes>, SiteError> {
        let mut name = path.clone().into_os_string();
        name.push(ending);
        match fs::read(&name) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(SiteError::Read(name.into(), error)),
        }
    };
    let (brotli, gzip) = (variant(".br")?, variant(".gz")?);
    Ok(Content::new(
        plain.into(),
        brotli,
        gzip,
        media_type(&path),
        Keep::Forever,
    ))
}

/// Two characters at a time.
fn chunks(hex: &str) -> impl Iterator<Item = String> + '_ {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| String::from_utf8_lossy(pair).into_owned())
}

fn media_type(path: &Path) -> &'static str {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("webmanifest") => "application/manifest+json",
        Some("json") => "application/json",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_outside_the_folder_or_changed_are_refused() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("site").canonicalize();
        assert!(root.is_err());
        let root = temp.path().join("site");
        fs::create_dir(&root).unwrap();
        let root = root.canonicalize().unwrap();
        fs::write(temp.path().join("secret.js"), "s").unwrap();
        fs::write(root.join("a.js"), "a").unwrap();
        std::os::unix::fs::symlink(temp.path().join("secret.js"), root.join("link.js")).unwrap();
        let sha =
            |text: &str| -> String { Sha256::digest(text).iter().map(|b| format!("{b:02x}")).collect() };
        let entry = |path: &str, sha256: String| Entry {
            path: path.into(),
            sha256,
        };
        assert!(read(&root, &entry("/a.js", sha("a"))).is_ok());
        for (path, text) in [
            ("/a.js", "b"),
            ("a.js", "a"),
            ("/../secret.js", "s"),
            ("/link.js", "s"),
        ] {
            let outcome = read(&root, &entry(path, sha(text)));
            assert!(matches!(outcome, Err(SiteError::Foreign(_))), "{path}");
        }
        assert!(matches!(
            read(&root, &entry("/a.js", String::new())),
            Err(SiteError::Foreign(_))
        ));
        assert!(matches!(
            read(&root, &entry("/b.js", sha("a"))),
            Err(SiteError::Read(..))
        ));
    }
}
