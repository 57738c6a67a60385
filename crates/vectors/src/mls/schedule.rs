//! key-schedule, psk_secret, secret-tree, transcript-hashes.

use super::{
    formulas::{Made, Mls, NH, NK, NN, group_context},
    tls::vector,
};
use crate::{
    Report, Set,
    data::{Hex, load},
    tally::holds,
};
use rly_crypto::vectors;
use serde::Deserialize;

const KEY_SCHEDULE: &str = include_str!("../../data/mls_key_schedule.json");
const PSK_SECRET: &str = include_str!("../../data/mls_psk_secret.json");
const SECRET_TREE: &str = include_str!("../../data/mls_secret_tree.json");
const TRANSCRIPT_HASHES: &str = include_str!("../../data/mls_transcript_hashes.json");

#[derive(Deserialize)]
struct Schedule {
    group_id: Hex,
    initial_init_secret: Hex,
    epochs: Vec<Epoch>,
}

#[derive(Deserialize)]
struct Epoch {
    tree_hash: Hex,
    commit_secret: Hex,
    psk_secret: Hex,
    confirmed_transcript_hash: Hex,
    group_context: Hex,
    joiner_secret: Hex,
    welcome_secret: Hex,
    init_secret: Hex,
    sender_data_secret: Hex,
    encryption_secret: Hex,
    exporter_secret: Hex,
    epoch_authenticator: Hex,
    external_secret: Hex,
    confirmation_key: Hex,
    membership_key: Hex,
    resumption_psk: Hex,
    external_pub: Hex,
    exporter: Exporter,
}

#[derive(Deserialize)]
struct Exporter {
    label: String,
    context: Hex,
    length: usize,
    secret: Hex,
}

/// Section 8.
pub(super) fn key_schedule() -> Report {
    let provider = vectors::provider();
    let mls = Mls(&provider);
    let mut set = Set::new("RFC 9420 key-schedule, epochs: provider of OpenMLS", 5);
    for schedule in load::<Schedule>(KEY_SCHEDULE) {
        let mut init = schedule.initial_init_secret.clone();
        for (n, epoch) in schedule.epochs.iter().enumerate() {
            let run = || {
                let context = group_context(
                    &schedule.group_id,
                    n as u64,
                    &epoch.tree_hash,
                    &epoch.confirmed_transcript_hash,
                );
                holds("group context", context == epoch.group_context[..])?;
                let committed = mls.extract(&init, &epoch.commit_secret)?;
                let joiner = mls.expand(&committed, b"joiner", &context, NH)?;
                holds("joiner", joiner == epoch.joiner_secret[..])?;
                let member = mls.extract(&joiner, &epoch.psk_secret)?;
                holds(
                    "welcome",
                    mls.derive(&member, b"welcome")? == epoch.welcome_secret[..],
                )?;
                let secret = mls.expand(&member, b"epoch", &context, NH)?;
                for (label, expected) in [
                    ("init", &epoch.init_secret),
                    ("sender data", &epoch.sender_data_secret),
                    ("encryption", &epoch.encryption_secret),
                    ("exporter", &epoch.exporter_secret),
                    ("authentication", &epoch.epoch_authenticator),
                    ("external", &epoch.external_secret),
                    ("confirm", &epoch.confirmation_key),
                    ("membership", &epoch.membership_key),
                    ("resumption", &epoch.resumption_psk),
                ] {
                    holds(label, mls.derive(&secret, label.as_bytes())? == expected[..])?;
                }
                let (_, public) = mls.key_pair(&epoch.external_secret)?;
                holds("external key", public == epoch.external_pub[..])?;
                let exporter = &epoch.exporter;
                let derived = mls.derive(&epoch.exporter_secret, exporter.label.as_bytes())?;
                let context = mls.hash(&exporter.context)?;
                let exported = mls.expand(&derived, b"exported", &context, exporter.length)?;
                holds("exported", exported == exporter.secret[..])
            };
            set.case(|| format!("epoch {n}"), run);
            init = epoch.init_secret.clone();
        }
    }
    set.end()
}

#[derive(Deserialize)]
struct Psks {
    psks: Vec<Psk>,
    psk_secret: Hex,
}

#[derive(Deserialize)]
struct Psk {
    psk_id: Hex,
    psk: Hex,
    psk_nonce: Hex,
}

/// Section 8.4.
pub(super) fn psk_secret() -> Report {
    let provider = vectors::provider();
    let mls = Mls(&provider);
    let mut set = Set::new("RFC 9420 psk_secret: provider of OpenMLS", 10);
    for (n, vectors) in load::<Psks>(PSK_SECRET).iter().enumerate() {
        let combined = || -> Made {
            let mut secret = vec![0; NH];
            for (index, psk) in vectors.psks.iter().enumerate() {
                let mut label = vec![1];
                vector(&mut label, &psk.psk_id);
                vector(&mut label, &psk.psk_nonce);
                label.extend((index as u16).to_be_bytes());
                label.extend((vectors.psks.len() as u16).to_be_bytes());
                let extracted = mls.extract(&[0; NH], &psk.psk)?;
                let input = mls.expand(&extracted, b"derived psk", &label, NH)?;
                secret = mls.extract(&input, &secret)?;
            }
            Ok(secret)
        };
        set.check(combined().as_deref() == Ok(&vectors.psk_secret[..]), || {
            format!("vector {n}")
        });
    }
    set.end()
}

#[derive(Deserialize)]
struct SecretTree {
    sender_data: SenderData,
    encryption_secret: Hex,
    leaves: Vec<Vec<Generation>>,
}

#[derive(Deserialize)]
struct SenderData {
    sender_data_secret: Hex,
    ciphertext: Hex,
    key: Hex,
    nonce: Hex,
}

#[derive(Deserialize)]
struct Generation {
    generation: u32,
    handshake_key: Hex,
    handshake_nonce: Hex,
    application_key: Hex,
    application_nonce: Hex,
}

impl Mls<'_> {
    /// Section 6.3.2: key and nonce for the sender's data.
    pub(super) fn sender_data(&self, secret: &[u8], ciphertext: &[u8]) -> Result<(Vec<u8>, Vec<u8>), String> {
        let sample = &ciphertext[..ciphertext.len().min(NH)];
        let key = self.expand(secret, b"key", sample, NK)?;
        Ok((key, self.expand(secret, b"nonce", sample, NN)?))
    }

    /// Section 9: the secret of a leaf in a full tree of `leaves`.
    pub(super) fn leaf_secret(&self, encryption_secret: &[u8], leaves: usize, leaf: usize) -> Made {
        let mut secret = encryption_secret.to_vec();
        let mut half = leaves / 2;
        while half > 0 {
            let side: &[u8] = if leaf & half == 0 { b"left" } else { b"right" };
            secret = self.expand(&secret, b"tree", side, NH)?;
            half /= 2;
        }
        Ok(secret)
    }

    /// Section 9.1: key and nonce of a generation. `kind` is "handshake" or "application".
    pub(super) fn ratchet(
        &self,
        leaf_secret: &[u8],
        kind: &[u8],
        generation: u32,
    ) -> Result<(Vec<u8>, Vec<u8>), String> {
        let mut secret = self.expand(leaf_secret, kind, b"", NH)?;
        for n in 0..generation {
            secret = self.derive_tree(&secret, b"secret", n, NH)?;
        }
        let key = self.derive_tree(&secret, b"key", generation, NK)?;
        Ok((key, self.derive_tree(&secret, b"nonce", generation, NN)?))
    }
}

/// Section 9.
pub(super) fn secret_tree() -> Report {
    let provider = vectors::provider();
    let mls = Mls(&provider);
    // Trees of 1, 8 and 32 leaves, two generations of each leaf, and the sender data of each tree.
    let mut set = Set::new("RFC 9420 secret-tree: provider of OpenMLS", 3 + (1 + 8 + 32) * 2);
    for tree in load::<SecretTree>(SECRET_TREE) {
        let data = &tree.sender_data;
        let made = mls.sender_data(&data.sender_data_secret, &data.ciphertext);
        let expected = (data.key.0.clone(), data.nonce.0.clone());
        set.check(made == Ok(expected), || "sender data".into());
        for (index, leaf) in tree.leaves.iter().enumerate() {
            for step in leaf {
                let run = || {
                    let secret = mls.leaf_secret(&tree.encryption_secret, tree.leaves.len(), index)?;
                    let (key, nonce) = mls.ratchet(&secret, b"handshake", step.generation)?;
                    holds("handshake key", key == step.handshake_key[..])?;
                    holds("handshake nonce", nonce == step.handshake_nonce[..])?;
                    let (key, nonce) = mls.ratchet(&secret, b"application", step.generation)?;
                    holds("application key", key == step.application_key[..])?;
                    holds("application nonce", nonce == step.application_nonce[..])
                };
                set.case(|| format!("leaf {index}, generation {}", step.generation), run);
            }
        }
    }
    set.end()
}

#[derive(Deserialize)]
struct Transcript {
    confirmation_key: Hex,
    authenticated_content: Hex,
    interim_transcript_hash_before: Hex,
    confirmed_transcript_hash_after: Hex,
    interim_transcript_hash_after: Hex,
}

/// Section 8.2.
pub(super) fn transcript_hashes() -> Report {
    let provider = vectors::provider();
    let mls = Mls(&provider);
    let mut set = Set::new("RFC 9420 transcript-hashes: provider of OpenMLS", 20);
    for (n, vector) in load::<Transcript>(TRANSCRIPT_HASHES).iter().enumerate() {
        let run = || {
            let content = &vector.authenticated_content[..];
            // The confirmation tag comes last: a length and 32 bytes.
            let (signed, tag) = content
                .split_at_checked(content.len().wrapping_sub(33))
                .ok_or("too short")?;
            let input = [&vector.interim_transcript_hash_before[..], signed].concat();
            let confirmed = mls.hash(&input)?;
            holds(
                "confirmed",
                confirmed == vector.confirmed_transcript_hash_after[..],
            )?;
            let mac = mls.mac(&vector.confirmation_key, &confirmed)?;
            holds("tag", tag[0] == 32 && mac == tag[1..])?;
            let interim = mls.hash(&[&confirmed, tag].concat())?;
            holds("interim", interim == vector.interim_transcript_hash_after[..])
        };
        set.case(|| format!("vector {n}"), run);
    }
    set.end()
}
