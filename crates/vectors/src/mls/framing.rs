//! message-protection: sections 6.1 to 6.3.

use super::{
    formulas::{MLS10, Mls, NN, group_context},
    tls::{Read, Reader, opaque, vector},
};
use crate::{
    Report, Set,
    data::{Hex, load},
    tally::holds,
};
use rly_crypto::vectors;
use serde::Deserialize;

const MESSAGE_PROTECTION: &str = include_str!("../../data/mls_message_protection.json");
const PUBLIC: [u8; 2] = [0, 1];
const PRIVATE: [u8; 2] = [0, 2];
const APPLICATION: u8 = 1;
const COMMIT: u8 = 3;

#[derive(Deserialize)]
struct Vector {
    group_id: Hex,
    epoch: u64,
    tree_hash: Hex,
    confirmed_transcript_hash: Hex,
    signature_priv: Hex,
    signature_pub: Hex,
    encryption_secret: Hex,
    sender_data_secret: Hex,
    membership_key: Hex,
    proposal: Hex,
    proposal_pub: Hex,
    proposal_priv: Hex,
    commit: Hex,
    commit_pub: Hex,
    commit_priv: Hex,
    application: Hex,
    application_priv: Hex,
}

pub(super) fn run() -> Report {
    let provider = vectors::provider();
    let mls = Mls(&provider);
    let mut set = Set::new("RFC 9420 message-protection: provider of OpenMLS", 5);
    for vector in load::<Vector>(MESSAGE_PROTECTION) {
        for (name, message, content) in [
            ("proposal_pub", &vector.proposal_pub, &vector.proposal),
            ("commit_pub", &vector.commit_pub, &vector.commit),
        ] {
            set.case(|| name.into(), || public(&mls, &vector, message, content));
        }
        let application = Hex(opaque(&vector.application));
        for (name, message, content) in [
            ("proposal_priv", &vector.proposal_priv, &vector.proposal),
            ("commit_priv", &vector.commit_priv, &vector.commit),
            ("application_priv", &vector.application_priv, &application),
        ] {
            set.case(|| name.into(), || private(&mls, &vector, message, content));
        }
    }
    set.end()
}

impl Vector {
    fn context(&self) -> Vec<u8> {
        group_context(
            &self.group_id,
            self.epoch,
            &self.tree_hash,
            &self.confirmed_transcript_hash,
        )
    }

    /// The start of a message, up to and with the epoch.
    fn read_head<'a>(&self, wire_format: [u8; 2], message: &'a [u8]) -> Read<Reader<'a>> {
        let mut from = Reader(message);
        holds("version", from.bytes(2)? == MLS10)?;
        holds("wire format", from.bytes(2)? == wire_format)?;
        Ok(from)
    }

    /// Section 6.1: the signature is by the member at leaf 1 over this content, in this group.
    fn is_signed(&self, mls: &Mls, wire_format: [u8; 2], content: &[u8], signature: &[u8]) -> Read<()> {
        let signed = [&MLS10[..], &wire_format, content, &self.context()].concat();
        let verifies =
            |signature: &[u8]| mls.verifies(&self.signature_pub, b"FramedContentTBS", &signed, signature);
        holds("signature", verifies(signature))?;
        let own = mls.sign(&self.signature_priv, b"FramedContentTBS", &signed)?;
        holds("own signature", verifies(&own))?;
        for n in 0..signature.len() {
            holds("cut signature refused", !verifies(&signature[..n]))?;
        }
        Ok(())
    }
}

fn public(mls: &Mls, vector: &Vector, message: &[u8], raw: &[u8]) -> Read<()> {
    let mut from = vector.read_head(PUBLIC, message)?;
    let mut kind = 0;
    let content = from.taken(|from| {
        holds("group", from.vector()? == &vector.group_id[..])?;
        holds("epoch", from.number(8)? == vector.epoch)?;
        holds("a member", from.number(1)? == 1)?;
        holds("leaf 1", from.number(4)? == 1)?;
        from.vector()?;
        kind = from.number(1)? as u8;
        holds("content", from.bytes(raw.len())? == raw)
    })?;
    let mut signature: &[u8] = &[];
    let auth = from.taken(|from| {
        signature = from.vector()?;
        if kind == COMMIT {
            from.vector()?;
        }
        Ok(())
    })?;
    let tag = from.vector()?;
    from.end()?;
    vector.is_signed(mls, PUBLIC, content, signature)?;
    let authenticated = [&MLS10[..], &PUBLIC, content, &vector.context(), auth].concat();
    holds(
        "membership tag",
        mls.mac(&vector.membership_key, &authenticated)? == tag,
    )
}

fn private(mls: &Mls, message_of: &Vector, message: &[u8], raw: &[u8]) -> Read<()> {
    let mut from = message_of.read_head(PRIVATE, message)?;
    let (group, epoch) = (from.vector()?, from.number(8)?);
    let kind = from.number(1)? as u8;
    let data = from.vector()?;
    let (sender_data, ciphertext) = (from.vector()?, from.vector()?);
    from.end()?;
    let mut aad = opaque(group);
    aad.extend(epoch.to_be_bytes());
    aad.push(kind);

    let (key, nonce) = mls.sender_data(&message_of.sender_data_secret, ciphertext)?;
    let sender = mls.decrypt(&key, &nonce, &aad, sender_data)?;
    for n in 0..sender_data.len() {
        let cut = mls.decrypt(&key, &nonce, &aad, &sender_data[..n]);
        holds("cut sender data refused", cut.is_err())?;
    }
    let mut sender = Reader(&sender);
    let leaf = sender.number(4)? as usize;
    let generation = sender.number(4)? as u32;
    let guard = sender.bytes(4)?;
    sender.end()?;
    holds("leaf 1", leaf == 1)?;

    let secret = mls.leaf_secret(&message_of.encryption_secret, 2, leaf)?;
    let ratchet: &[u8] = if kind == APPLICATION {
        b"application"
    } else {
        b"handshake"
    };
    let (key, mut nonce) = mls.ratchet(&secret, ratchet, generation)?;
    holds("a nonce", nonce.len() == NN)?;
    nonce
        .iter_mut()
        .zip(guard)
        .for_each(|(byte, guard)| *byte ^= guard);
    vector(&mut aad, data);
    let plain = mls.decrypt(&key, &nonce, &aad, ciphertext)?;
    for n in 0..ciphertext.len() {
        let cut = mls.decrypt(&key, &nonce, &aad, &ciphertext[..n]);
        holds("cut ciphertext refused", cut.is_err())?;
    }

    let mut plain = Reader(&plain);
    holds("content", plain.bytes(raw.len())? == raw)?;
    let signature = plain.vector()?;
    if kind == COMMIT {
        plain.vector()?;
    }
    holds("padding", plain.0.iter().all(|byte| *byte == 0))?;
    let mut content = opaque(group);
    content.extend(epoch.to_be_bytes());
    content.extend([1, 0, 0, 0, 1]);
    vector(&mut content, data);
    content.push(kind);
    content.extend_from_slice(raw);
    message_of.is_signed(mls, PRIVATE, &content, signature)
}
