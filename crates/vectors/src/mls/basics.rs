//! crypto-basics.

use super::formulas::Mls;
use crate::{
    Report, Set,
    data::{Hex, load},
    tally::holds,
};
use rly_crypto::vectors;
use serde::Deserialize;

const BASICS: &str = include_str!("../../data/mls_crypto_basics.json");

#[derive(Deserialize)]
struct Vector {
    ref_hash: RefHash,
    expand_with_label: Expand,
    derive_secret: Derive,
    derive_tree_secret: DeriveTree,
    sign_with_label: Sign,
    encrypt_with_label: Encrypt,
}

#[derive(Deserialize)]
struct RefHash {
    label: String,
    value: Hex,
    out: Hex,
}

#[derive(Deserialize)]
struct Expand {
    secret: Hex,
    label: String,
    context: Hex,
    length: usize,
    out: Hex,
}

#[derive(Deserialize)]
struct Derive {
    secret: Hex,
    label: String,
    out: Hex,
}

#[derive(Deserialize)]
struct DeriveTree {
    secret: Hex,
    label: String,
    generation: u32,
    length: usize,
    out: Hex,
}

#[derive(Deserialize)]
struct Sign {
    r#priv: Hex,
    r#pub: Hex,
    content: Hex,
    label: String,
    signature: Hex,
}

#[derive(Deserialize)]
struct Encrypt {
    r#priv: Hex,
    r#pub: Hex,
    label: String,
    context: Hex,
    plaintext: Hex,
    kem_output: Hex,
    ciphertext: Hex,
}

pub(super) fn run() -> Report {
    let provider = vectors::provider();
    let mls = Mls(&provider);
    let mut set = Set::new("RFC 9420 crypto-basics: provider of OpenMLS", 6);
    for vector in load::<Vector>(BASICS) {
        let it = &vector.ref_hash;
        let made = mls.ref_hash(it.label.as_bytes(), &it.value);
        set.check(made.as_deref() == Ok(&it.out[..]), || "ref_hash".into());

        let it = &vector.expand_with_label;
        let made = mls.expand(&it.secret, it.label.as_bytes(), &it.context, it.length);
        set.check(made.as_deref() == Ok(&it.out[..]), || "expand_with_label".into());

        let it = &vector.derive_secret;
        let made = mls.derive(&it.secret, it.label.as_bytes());
        set.check(made.as_deref() == Ok(&it.out[..]), || "derive_secret".into());

        let it = &vector.derive_tree_secret;
        let made = mls.derive_tree(&it.secret, it.label.as_bytes(), it.generation, it.length);
        set.check(made.as_deref() == Ok(&it.out[..]), || "derive_tree_secret".into());

        let it = &vector.sign_with_label;
        let verifies =
            |signature: &[u8]| mls.verifies(&it.r#pub, it.label.as_bytes(), &it.content, signature);
        set.case(
            || "sign_with_label".into(),
            || {
                holds("verified", verifies(&it.signature))?;
                let own = mls.sign(&it.r#priv, it.label.as_bytes(), &it.content)?;
                holds("signed", verifies(&own))?;
                holds(
                    "another content",
                    !mls.verifies(&it.r#pub, b"other", &it.content, &own),
                )
            },
        );

        let it = &vector.encrypt_with_label;
        let label = it.label.as_bytes();
        set.case(
            || "encrypt_with_label".into(),
            || {
                let opened = mls.open(&it.r#priv, label, &it.context, &it.kem_output, &it.ciphertext)?;
                holds("opened", opened == it.plaintext[..])?;
                let sealed = mls.seal(&it.r#pub, label, &it.context, &it.plaintext)?;
                let (output, text) = (sealed.kem_output.as_slice(), sealed.ciphertext.as_slice());
                let opened = mls.open(&it.r#priv, label, &it.context, output, text)?;
                holds("sealed", opened == it.plaintext[..])
            },
        );
    }
    set.end()
}
