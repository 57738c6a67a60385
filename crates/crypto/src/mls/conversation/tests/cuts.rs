//! Every signature and every tag in MLS, cut to 0..n-1 bytes, with all lengths around it right: made by
//! a member that is honest but for that.

use super::*;
use core::cell::Cell;
use openmls_traits::{
    signatures::{Signer, SignerError},
    types::SignatureScheme,
};

/// More than any signature of P-256 in DER has.
const SIGNATURE_MAX: usize = 73;

/// Cuts the `nth` signature that it is asked for, by at least one byte.
struct CutSigner<'a> {
    signer: &'a MlsSigner,
    nth: usize,
    to: usize,
    asked: Cell<usize>,
}

impl<'a> CutSigner<'a> {
    fn new(signer: &'a MlsSigner, nth: usize, to: usize) -> Self {
        let asked = Cell::new(0);
        Self {
            signer,
            nth,
            to,
            asked,
        }
    }
}

impl Signer for CutSigner<'_> {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        let mut signature = self.signer.sign(payload)?;
        if self.asked.get() == self.nth {
            signature.truncate(self.to.min(signature.len() - 1));
        }
        self.asked.set(self.asked.get() + 1);
        Ok(signature)
    }

    fn signature_scheme(&self) -> SignatureScheme {
        self.signer.signature_scheme()
    }
}

/// Lets `b` send something, and `a` refuse it and be none the worse for it.
fn is_refused(
    a: &mut Side,
    b: &mut Side,
    send: impl FnOnce(&mut MlsGroup, &Provider, &MlsSigner) -> Vec<u8>,
) {
    let Conversation {
        group,
        provider,
        signer,
        ..
    } = &mut b.chat;
    let bad = provider.with_rng(&mut rng(9), |provider| send(group, provider, signer));
    group.clear_pending_commit(provider.storage()).unwrap();
    a.save();
    assert!(a.chat.process(&bad).is_err());
    assert_eq!(a.chat.take_changes(), []);
}

/// What is honest is still understood.
fn goes_on(a: &mut Side, b: &mut Side) {
    let message = b.say("still here");
    a.hears(&message, "still here");
    let commit = b.update();
    a.follows(&commit);
}

#[test]
fn a_cut_signature_of_a_message_is_refused() {
    let (mut a, mut b) = pair();
    for to in 0..SIGNATURE_MAX {
        is_refused(&mut a, &mut b, |group, provider, signer| {
            let cut = CutSigner::new(signer, 0, to);
            let message = bytes(group.create_message(provider, &cut, b"hello").unwrap());
            assert_eq!(cut.asked.get(), 1);
            message
        });
    }
    goes_on(&mut a, &mut b);
}

#[test]
fn a_cut_signature_of_a_commit_is_refused() {
    let (mut a, mut b) = pair();
    // Of its new leaf, and of the commit.
    for nth in 0..2 {
        for to in 0..SIGNATURE_MAX {
            is_refused(&mut a, &mut b, |group, provider, signer| {
                let cut = CutSigner::new(signer, nth, to);
                let update = group.self_update(provider, &cut, LeafNodeParameters::default());
                assert!(cut.asked.get() > nth);
                bytes(update.unwrap().into_commit())
            });
        }
    }
    goes_on(&mut a, &mut b);
}

#[test]
fn a_cut_confirmation_tag_of_a_commit_is_refused() {
    let (mut a, mut b) = pair();
    for to in 0..32 {
        is_refused(&mut a, &mut b, |group, provider, signer| {
            *provider.crypto().cut_macs_to.lock().unwrap() = Some(to);
            let update = group.self_update(provider, signer, LeafNodeParameters::default());
            *provider.crypto().cut_macs_to.lock().unwrap() = None;
            bytes(update.unwrap().into_commit())
        });
    }
    goes_on(&mut a, &mut b);
}

#[test]
fn a_cut_signature_of_a_key_package_is_refused() {
    let create = |key_package: &[u8]| {
        let expected = sim(2).public_key();
        Conversation::create(&sim(1), &device(1), key_package, &expected, &mut rng(3)).err()
    };
    let signer = MlsSigner::generate(&mut rng(1));
    let provider = Provider::new();
    let build = |nth: usize, to: usize| {
        let cut = CutSigner::new(&signer, nth, to);
        let bundle = provider.with_rng(&mut rng(2), |provider| {
            KeyPackage::builder()
                .key_package_lifetime(key_package::lifetime())
                .leaf_node_capabilities(key_package::capabilities())
                .build(
                    SUITE,
                    provider,
                    &cut,
                    credential::make(&sim(2), &device(2), &signer),
                )
        });
        assert_eq!(cut.asked.get(), 2);
        bytes(bundle.unwrap().into_key_package().into())
    };
    // Of its leaf, and of the whole.
    for nth in 0..2 {
        for to in 0..SIGNATURE_MAX {
            assert_eq!(create(&build(nth, to)), Some(MlsError::Invalid));
        }
    }
    assert_eq!(create(&build(2, 0)), None);
}

/// What joining gives when the group's maker signs so, and cuts its MACs so.
fn join_by(nth: usize, to: usize, macs: Option<usize>) -> (Option<MlsError>, usize) {
    let (invited, secrets) = key_package_of(2);
    let signer = MlsSigner::generate(&mut rng(1));
    let cut = CutSigner::new(&signer, nth, to);
    let provider = Provider::new();
    let invited = key_package::parse(&invited, &provider).unwrap().0;
    let welcome = provider.with_rng(&mut rng(2), |provider| {
        let own = credential::make(&sim(1), &device(1), &signer);
        let mut group = MlsGroup::new(provider, &cut, &create_config(), own).unwrap();
        *provider.crypto().cut_macs_to.lock().unwrap() = macs;
        let added = group.add_members_without_update(provider, &cut, &[invited]);
        bytes(added.unwrap().1)
    });
    let joined = Conversation::join(&sim(2), &device(2), &secrets, &welcome, &mut rng(3));
    (joined.err(), cut.asked.get())
}

#[test]
fn a_cut_signature_in_a_welcome_is_refused() {
    let (good, signatures) = join_by(usize::MAX, 0, None);
    assert_eq!(good, None);
    // Whoever joins never sees the one of the commit.
    let seen: Vec<_> = (0..signatures)
        .filter(|nth| join_by(*nth, 0, None).0.is_some())
        .collect();
    assert_eq!(seen.len(), 2, "of the maker's leaf, and of the group info");
    for nth in seen {
        for to in 0..SIGNATURE_MAX {
            let (cut, _) = join_by(nth, to, None);
            assert_eq!(cut, Some(MlsError::Invalid), "signature {nth}, {to}");
        }
    }
    for to in 0..32 {
        let (cut, _) = join_by(usize::MAX, 0, Some(to));
        assert_eq!(cut, Some(MlsError::Invalid), "confirmation tag, {to}");
    }
}

/// `opaque<V>` of RFC 9420, section 2.1.2: what is in it, and what follows.
fn opaque(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (length, rest) = match bytes[0] >> 6 {
        0 => (usize::from(bytes[0]), &bytes[1..]),
        1 => (
            usize::from(u16::from_be_bytes([bytes[0] & 0x3f, bytes[1]])),
            &bytes[2..],
        ),
        _ => panic!("no message here is that long"),
    };
    rest.split_at(length)
}

fn to_opaque(bytes: &[u8]) -> Vec<u8> {
    let length = match u8::try_from(bytes.len()) {
        Ok(length @ 0..64) => vec![length],
        _ => (bytes.len() as u16 | 0x4000).to_be_bytes().to_vec(),
    };
    [&length, bytes].concat()
}

/// Calls `refused` with every cut of each of the last `fields` fields of a message, the lengths right.
fn cut_fields(
    head: &[u8],
    fields: &[&[u8]],
    tail: impl Fn(Vec<u8>) -> Vec<u8>,
    accepts: impl Fn(&[u8]) -> bool,
) {
    let whole = |fields: &[&[u8]]| {
        let fields: Vec<u8> = fields.iter().flat_map(|field| to_opaque(field)).collect();
        tail([head, &fields].concat())
    };
    assert!(accepts(&whole(fields)));
    for (n, field) in fields.iter().enumerate() {
        for to in 0..field.len() {
            let mut cut = fields.to_vec();
            cut[n] = &field[..to];
            assert!(!accepts(&whole(&cut)), "field {n} cut to {to}");
        }
    }
}

#[test]
fn cut_ciphertexts_with_the_right_lengths_are_refused() {
    let (mut a, mut b) = pair();
    for message in [b.say("hello"), b.update()] {
        a.save();
        let rows: Vec<_> = a.stored.clone().into_iter().collect();
        // Version and wire format, group, epoch, content type, authenticated data.
        let (group, rest) = opaque(&message[4..]);
        let (data, rest) = opaque(&rest[9..]);
        assert_eq!((group, data.len()), (&a.chat.group_id()[..], 0));
        let (sender_data, rest) = opaque(rest);
        let (ciphertext, rest) = opaque(rest);
        assert!(rest.is_empty());
        let head = &message[..message.len() - to_opaque(ciphertext).len() - to_opaque(sender_data).len()];
        cut_fields(
            head,
            &[sender_data, ciphertext],
            |message| message,
            |bytes| {
                let mut chat = Conversation::load(rows.clone()).unwrap();
                chat.process(bytes).is_ok()
            },
        );
    }
}

#[test]
fn cut_secrets_of_a_welcome_are_refused() {
    let (key_package, secrets) = key_package_of(2);
    let expected = sim(2).public_key();
    let made = Conversation::create(&sim(1), &device(1), &key_package, &expected, &mut rng(1));
    let (_, welcome) = made.unwrap();
    let accepts =
        |bytes: &[u8]| Conversation::join(&sim(2), &device(2), &secrets, bytes, &mut rng(2)).is_ok();
    // Version, wire format, suite; for one new member reference, KEM output, ciphertext; group info.
    let (head, rest) = welcome.split_at(6);
    let (members, rest) = opaque(rest);
    let (info, rest) = opaque(rest);
    assert!(rest.is_empty());
    let (reference, rest) = opaque(members);
    let (output, rest) = opaque(rest);
    let (ciphertext, rest) = opaque(rest);
    assert!(rest.is_empty());
    cut_fields(
        b"",
        &[reference, output, ciphertext],
        |members| [head, &to_opaque(&members), &to_opaque(info)].concat(),
        accepts,
    );
    let head = [head, &to_opaque(members)].concat();
    cut_fields(&head, &[info], |message| message, accepts);
}
