//! What the tests share: a site of eleven small files, and a P-256 key with what it proves.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod process;

use p256::ecdsa::{Signature as Ecdsa, SigningKey, signature::Signer};
use rly_protocol::{
    PublicKey, QueueId, Signature,
    frame::{Proof, proof_message},
};
use serde_json::{Value, json};
use std::{fs, path::Path};

/// The origin that tests without a listener use.
pub const ORIGIN: &str = "http://127.0.0.1:3000";

/// Makes the folder that build-web would make.
pub fn make_site(folder: &Path) {
    fs::create_dir_all(folder.join("assets")).unwrap();
    let mut files = serde_json::Map::new();
    for (name, ending) in [
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
    ] {
        let path = format!("/assets/{name}.0123456789abcdef.{ending}");
        let content = format!("content of {name}.{ending}");
        fs::write(folder.join(&path[1..]), &content).unwrap();
        fs::write(folder.join(format!("{}.br", &path[1..])), "brotli").unwrap();
        fs::write(folder.join(format!("{}.gz", &path[1..])), "gzip").unwrap();
        let sha256 = sha256(content.as_bytes());
        files.insert(
            format!("{name}.{ending}"),
            json!({"path": path, "sha256": sha256}),
        );
    }
    fs::write(folder.join("manifest.json"), json!({"files": files}).to_string()).unwrap();
}

pub fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A key pair of a reader or claimant.
#[derive(Clone)]
pub struct Key(SigningKey);

impl Key {
    pub fn generate() -> Self {
        Self(SigningKey::random(&mut rand_core::OsRng))
    }

    pub fn public(&self) -> PublicKey {
        let point = self.0.verifying_key().to_encoded_point(false);
        PublicKey::try_from(point.as_bytes()).unwrap()
    }

    /// The proof of a vault's owner.
    pub fn sign(&self, origin: &str, nonce: &[u8; 32], queue: &QueueId) -> Signature {
        let signature: Ecdsa = self.0.sign(&proof_message(origin, nonce, queue));
        Signature(signature.to_bytes().into())
    }

    pub fn prove(&self, origin: &str, nonce: &[u8; 32], queue: &QueueId) -> Proof {
        Proof::Signed {
            signature: self.sign(origin, nonce, queue),
        }
    }

    pub fn json(&self) -> Value {
        serde_json::to_value(self.public()).unwrap()
    }
}
