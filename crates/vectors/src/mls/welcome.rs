//! welcome: section 12.4.3.1.

use super::{
    formulas::{Mls, NH, NK, NN, SUITE_ID},
    tls::{Read, Reader},
};
use crate::{
    Report, Set,
    data::{Hex, load},
    tally::holds,
};
use rly_crypto::vectors;
use serde::Deserialize;

const WELCOME: &str = include_str!("../../data/mls_welcome.json");

#[derive(Deserialize)]
struct Vector {
    init_priv: Hex,
    signer_pub: Hex,
    key_package: Hex,
    welcome: Hex,
}

pub(super) fn run() -> Report {
    let provider = vectors::provider();
    let mls = Mls(&provider);
    let mut set = Set::new("RFC 9420 welcome: provider of OpenMLS", 1);
    for vector in load::<Vector>(WELCOME) {
        set.case(|| "welcome".into(), || check(&mls, &vector));
    }
    set.end()
}

fn check(mls: &Mls, vector: &Vector) -> Read<()> {
    let mut from = Reader(&vector.key_package);
    holds("a KeyPackage", from.bytes(4)? == [0, 1, 0, 5])?;
    let reference = mls.ref_hash(b"MLS 1.0 KeyPackage Reference", from.0)?;

    let mut from = Reader(&vector.welcome);
    holds("a Welcome", from.bytes(4)? == [0, 1, 0, 3])?;
    holds("our suite", from.bytes(2)? == SUITE_ID)?;
    let mut secrets = Reader(from.vector()?);
    let info = from.vector()?;
    from.end()?;
    let (mut output, mut text): (&[u8], &[u8]) = (&[], &[]);
    while !secrets.0.is_empty() {
        let whose = secrets.vector()?;
        let sealed = (secrets.vector()?, secrets.vector()?);
        if whose == reference {
            (output, text) = sealed;
        }
    }

    let group_secrets = mls.open(&vector.init_priv, b"Welcome", info, output, text)?;
    for n in 0..text.len() {
        let cut = mls.open(&vector.init_priv, b"Welcome", info, output, &text[..n]);
        holds("cut secrets refused", cut.is_err())?;
    }
    let mut from = Reader(&group_secrets);
    let joiner = from.vector()?;

    let member = mls.extract(joiner, &[0; NH])?;
    let secret = mls.derive(&member, b"welcome")?;
    let key = mls.expand(&secret, b"key", b"", NK)?;
    let nonce = mls.expand(&secret, b"nonce", b"", NN)?;
    let opened = mls.decrypt(&key, &nonce, b"", info)?;
    for n in 0..info.len() {
        let cut = mls.decrypt(&key, &nonce, b"", &info[..n]);
        holds("cut group info refused", cut.is_err())?;
    }

    let mut from = Reader(&opened);
    let mut transcript: &[u8] = &[];
    let (mut context, mut tag): (&[u8], &[u8]) = (&[], &[]);
    let signed = from.taken(|from| {
        context = from.taken(|from| {
            from.bytes(4)?;
            from.vector()?;
            from.bytes(8)?;
            from.vector()?;
            transcript = from.vector()?;
            from.vector()
        })?;
        from.vector()?;
        tag = from.vector()?;
        from.bytes(4)
    })?;
    let signature = from.vector()?;
    from.end()?;
    let verifies = |signature: &[u8]| mls.verifies(&vector.signer_pub, b"GroupInfoTBS", signed, signature);
    holds("signature", verifies(signature))?;
    for n in 0..signature.len() {
        holds("cut signature refused", !verifies(&signature[..n]))?;
    }
    let epoch = mls.expand(&member, b"epoch", context, NH)?;
    let confirmation = mls.derive(&epoch, b"confirm")?;
    holds("confirmation tag", mls.mac(&confirmation, transcript)? == tag)
}
