//! The folder that the server serves: hashed names, compressed variants, a manifest.

use crate::error::{self, BuildError};
use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
};

const ASSETS: &str = "assets";
/// Characters of the hash in a name: 64 bits tell versions of one file apart.
const HASH: usize = 16;

/// The folder while it is filled.
pub struct Site {
    folder: PathBuf,
    files: BTreeMap<String, File>,
}

struct File {
    /// Below the assets folder.
    name: String,
    sha256: String,
    plain: usize,
    brotli: usize,
    gzip: usize,
}

impl Site {
    /// Opens the folder, made if there is none. What is in it may be used again.
    pub fn open(folder: PathBuf) -> Result<Self, BuildError> {
        let assets = folder.join(ASSETS);
        fs::create_dir_all(&assets).map_err(|error| BuildError::File(assets, error))?;
        Ok(Self {
            folder,
            files: BTreeMap::new(),
        })
    }

    /// Adds a file under its logical name, and tells the name that it is served by.
    pub fn add(&mut self, logical: &str, bytes: &[u8]) -> Result<String, BuildError> {
        let sha256: String = Sha256::digest(bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let (stem, ending) = logical.rsplit_once('.').unwrap_or((logical, "bin"));
        let name = format!("{stem}.{}.{ending}", &sha256[..HASH]);
        let path = self.folder.join(ASSETS).join(&name);
        error::write(&path, bytes)?;
        let brotli = compressed(&path, ".br", || brotli(bytes))?;
        let gzip = compressed(&path, ".gz", || gzip(bytes))?;
        let file = File {
            name: name.clone(),
            sha256,
            plain: bytes.len(),
            brotli,
            gzip,
        };
        self.files.insert(logical.into(), file);
        Ok(name)
    }

    /// Writes the manifest, removes what it does not list, and tells the sizes if anything is new.
    pub fn finish(self) -> Result<Vec<String>, BuildError> {
        let entry = |file: &File| json!({"path": format!("/{ASSETS}/{}", file.name), "sha256": file.sha256});
        let files: BTreeMap<_, _> = self
            .files
            .iter()
            .map(|(logical, file)| (logical, entry(file)))
            .collect();
        let mut manifest = serde_json::to_vec_pretty(&json!({ "files": files }))?;
        manifest.push(b'\n');
        let path = self.folder.join("manifest.json");
        if fs::read(&path).is_ok_and(|known| known == manifest) {
            return Ok(Vec::new());
        }
        error::write(&path, &manifest)?;

        let listed: BTreeSet<String> = self
            .files
            .values()
            .flat_map(|file| ["", ".br", ".gz"].map(|ending| format!("{}{ending}", file.name)))
            .collect();
        let assets = self.folder.join(ASSETS);
        for name in entries(&assets)? {
            if !listed.contains(&name) {
                let path = assets.join(name);
                fs::remove_file(&path).map_err(|error| BuildError::File(path, error))?;
            }
        }
        let line = |name: &str, plain, gzip, brotli| format!("{name:<24}{plain:>10}{gzip:>10}{brotli:>10}");
        let mut lines = vec![format!(
            "{:<24}{:>10}{:>10}{:>10}",
            "bytes", "plain", "gzip", "brotli"
        )];
        lines.extend(
            self.files
                .iter()
                .map(|(logical, file)| line(logical, file.plain, file.gzip, file.brotli)),
        );
        Ok(lines)
    }
}

/// The size of the variant, which is made unless it is there: the name contains the content's hash.
fn compressed(
    path: &Path,
    ending: &str,
    make: impl FnOnce() -> std::io::Result<Vec<u8>>,
) -> Result<usize, BuildError> {
    let mut variant = path.as_os_str().to_owned();
    variant.push(ending);
    let variant = PathBuf::from(variant);
    if let Ok(known) = fs::metadata(&variant)
        && known.len() > 0
    {
        return Ok(usize::try_from(known.len()).unwrap_or(usize::MAX));
    }
    let bytes = make().map_err(|error| BuildError::File(variant.clone(), error))?;
    error::write(&variant, &bytes)?;
    Ok(bytes.len())
}

fn brotli(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let level = brotli::enc::BrotliEncoderParams {
        quality: 11,
        size_hint: bytes.len(),
        ..Default::default()
    };
    brotli::BrotliCompress(&mut &bytes[..], &mut out, &level)?;
    Ok(out)
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut out = GzEncoder::new(Vec::new(), Compression::best());
    out.write_all(bytes)?;
    out.finish()
}

/// Names of the files directly in a folder of public files, in order.
pub fn names(folder: &Path) -> Result<Vec<String>, BuildError> {
    let mut names = entries(folder)?;
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    let odd = |name: &&String| {
        !name
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || b".-_".contains(&c))
    };
    match names.iter().find(odd) {
        Some(name) => Err(BuildError::Name(folder.join(name))),
        None => Ok(names),
    }
}

/// Names of the files directly in a folder.
pub fn entries(folder: &Path) -> Result<Vec<String>, BuildError> {
    let failed = |error| BuildError::File(folder.into(), error);
    fs::read_dir(folder)
        .map_err(failed)?
        .map(|entry| entry.map_err(failed))
        .filter(|entry| !entry.as_ref().is_ok_and(|entry| entry.path().is_dir()))
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_follow_the_content_and_old_files_go() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("site");
        let list = || {
            let mut names = entries(&folder.join(ASSETS)).unwrap();
            names.sort();
            names
        };
        let mut site = Site::open(folder.clone()).unwrap();
        site.add("a.b.js", b"one").unwrap();
        assert_eq!(site.finish().unwrap().len(), 2);
        let first = list();
        let mut site = Site::open(folder.clone()).unwrap();
        site.add("a.b.js", b"one").unwrap();
        assert!(site.finish().unwrap().is_empty(), "nothing is new");
        // SHA-256 of "one" begins like this.
        assert_eq!(first[0], "a.b.7692c3ad3540bb80.js");
        assert_eq!(first.len(), 3);

        let mut site = Site::open(folder.clone()).unwrap();
        site.add("a.b.js", b"two").unwrap();
        site.finish().unwrap();
        assert_eq!(list().len(), 3);
        assert!(!list().contains(&first[0]));
        let manifest: serde_json::Value =
            serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap();
        let path = manifest["files"]["a.b.js"]["path"].as_str().unwrap();
        assert_eq!(path, format!("/assets/{}", list()[0]));
    }
}
