//! The smallest folder that the server takes for its pages: what is measured serves none of them.

use crate::Failure;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{fs, path::Path};

const FILES: [(&str, &str); 11] = [
    ("app", "js"),
    ("app", "wasm"),
    ("worker", "js"),
    ("worker", "wasm"),
    ("rooms", "js"),
    ("rooms", "wasm"),
    ("room-worker", "js"),
    ("room-worker", "wasm"),
    ("style", "css"),
    ("boot", "js"),
    ("favicon", "svg"),
];

pub(crate) fn make(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder.join("assets"))?;
    let mut files = serde_json::Map::new();
    for (name, ending) in FILES {
        let path = format!("assets/{name}.0123456789abcdef.{ending}");
        let content = format!("{name}.{ending}");
        for end in ["", ".br", ".gz"] {
            fs::write(folder.join(format!("{path}{end}")), &content)?;
        }
        let sha256: String = Sha256::digest(&content)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        files.insert(content, json!({"path": format!("/{path}"), "sha256": sha256}));
    }
    fs::write(folder.join("manifest.json"), json!({"files": files}).to_string())?;
    Ok(())
}
