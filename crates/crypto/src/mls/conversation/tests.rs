mod cuts;

use super::*;
use crate::{
    make_key_package,
    testing::{refuses_all_damage, rng},
};
use openmls::prelude::{
    CredentialWithKey, KeyPackage, MlsMessageOut, NewSignerBundle, tls_codec::Serialize as _,
};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rly_protocol::Reader;
use std::collections::BTreeMap;

type Stored = BTreeMap<Vec<u8>, Vec<u8>>;

/// One side with its store.
struct Side {
    chat: Conversation,
    stored: Stored,
    rng: ChaCha20Rng,
}

impl Side {
    fn new(chat: Conversation, seed: u64) -> Self {
        let mut side = Self {
            chat,
            stored: Stored::new(),
            rng: rng(seed),
        };
        side.save();
        side
    }

    fn save(&mut self) {
        for (key, value) in self.chat.take_changes() {
            match value {
                Some(value) => self.stored.insert(key, value),
                None => self.stored.remove(&key),
            };
        }
        assert_eq!(self.chat.take_changes(), []);
    }

    /// As if the program had ended and started again.
    fn restart(&mut self) {
        self.save();
        let mut chat = Conversation::load(self.stored.clone().into_iter().collect()).unwrap();
        assert_eq!(chat.take_changes(), []);
        assert_eq!(chat.group_id(), self.chat.group_id());
        assert_eq!(chat.epoch(), self.chat.epoch());
        assert_eq!(chat.is_creator(), self.chat.is_creator());
        assert!(chat.peer == self.chat.peer);
        self.chat = chat;
    }

    fn say(&mut self, text: &str) -> Vec<u8> {
        self.chat.encrypt(text.as_bytes(), &mut self.rng).unwrap()
    }

    fn update(&mut self) -> Vec<u8> {
        self.chat.update(&mut self.rng).unwrap()
    }

    fn hears(&mut self, message: &[u8], text: &str) {
        let expected = Ok(Received::Message(text.into()));
        assert_eq!(self.chat.process(message), expected);
    }

    fn follows(&mut self, commit: &[u8]) {
        assert_eq!(self.chat.process(commit), Ok(Received::Commit));
    }

    /// Refuses a message and is none the worse for it, in memory and in the store.
    fn refuses(&mut self, message: &[u8], error: MlsError) {
        self.save();
        assert_eq!(self.chat.process(message), Err(error));
        assert_eq!(self.chat.take_changes(), []);
    }
}

fn sim(n: u8) -> Sim {
    Sim::from_seed(&[n; 32])
}

fn device(n: u8) -> DeviceId {
    DeviceId([n; 16])
}

fn key_package_of(n: u8) -> (Vec<u8>, KeyPackageSecrets) {
    make_key_package(&sim(n), &device(n), &mut rng(100 + u64::from(n))).unwrap()
}

/// SIM 1 made the group, SIM 2 joined: epoch 1, in which SIM 2 may commit.
fn pair() -> (Side, Side) {
    let (key_package, secrets) = key_package_of(2);
    let secrets = KeyPackageSecrets::from_bytes(&secrets.to_bytes()).unwrap();
    let made = Conversation::create(
        &sim(1),
        &device(1),
        &key_package,
        &sim(2).public_key(),
        &mut rng(1),
    );
    let (creator, welcome) = made.unwrap();
    let joined = Conversation::join(&sim(2), &device(2), &secrets, &welcome, &mut rng(2)).unwrap();
    (Side::new(creator, 3), Side::new(joined, 4))
}

fn bytes(message: MlsMessageOut) -> Vec<u8> {
    message.to_bytes().unwrap()
}

#[test]
fn both_sides_know_each_other() {
    let (a, b) = pair();
    assert_eq!(a.chat.peer_sim(), sim(2).public_key());
    assert_eq!(b.chat.peer_sim(), sim(1).public_key());
    assert_eq!(a.chat.peer_device(), device(2));
    assert_eq!(b.chat.peer_device(), device(1));
    assert_eq!(a.chat.group_id(), b.chat.group_id());
    assert_eq!((a.chat.epoch(), b.chat.epoch()), (1, 1));
    assert!(a.chat.is_creator() && !b.chat.is_creator());
    assert!(!a.chat.may_commit() && b.chat.may_commit());
}

#[test]
fn a_hundred_messages_each_way() {
    let (mut a, mut b) = pair();
    for n in 0..100 {
        let (to_b, to_a) = (a.say(&format!("a{n}")), b.say(&format!("b{n}")));
        b.hears(&to_b, &format!("a{n}"));
        a.hears(&to_a, &format!("b{n}"));
    }
    // What is held stays small: nothing of a message read in order is kept.
    b.save();
    let size: usize = b.stored.values().map(Vec::len).sum();
    assert!(size < 32 * 1024, "{size} bytes");
}

#[test]
fn messages_out_of_order_and_twice() {
    let (mut a, mut b) = pair();
    let messages: Vec<_> = (0..=OUT_OF_ORDER + 5).map(|n| a.say(&n.to_string())).collect();
    let last = messages.len() - 1;
    b.hears(&messages[last], &last.to_string());
    b.refuses(&messages[last], MlsError::Duplicate);
    b.restart();
    // The first are further back than what is kept.
    b.refuses(&messages[0], MlsError::TooOld);
    for n in (last + 1 - OUT_OF_ORDER as usize..last).rev() {
        b.hears(&messages[n], &n.to_string());
        b.refuses(&messages[n], MlsError::Duplicate);
    }
}

#[test]
fn a_gap_is_crossed_up_to_its_bound() {
    let (mut a, mut b) = pair();
    let skipped = FORWARD as usize;
    let messages: Vec<_> = (0..skipped + 2).map(|n| a.say(&n.to_string())).collect();
    b.refuses(&messages[skipped + 1], MlsError::Undecryptable);
    b.hears(&messages[skipped], &skipped.to_string());
}

#[test]
fn commits_take_turns() {
    let (mut a, mut b) = pair();
    for round in 0..4 {
        let (next, other) = if round % 2 == 0 {
            (&mut b, &mut a)
        } else {
            (&mut a, &mut b)
        };
        assert!(next.chat.may_commit() && !other.chat.may_commit());
        assert_eq!(other.chat.update(&mut rng(9)), Err(MlsError::Refused));
        let commit = next.update();
        let after = next.say("after");
        // What was said before the commit arrived is still understood.
        let before = other.say("before");
        next.hears(&before, "before");
        other.refuses(&after, MlsError::FutureEpoch);
        other.follows(&commit);
        other.hears(&after, "after");
        other.refuses(&commit, MlsError::Duplicate);
        assert_eq!(next.chat.epoch(), 2 + round);
        assert_eq!(other.chat.epoch(), 2 + round);
    }
}

#[test]
fn past_epochs_are_readable_for_a_while() {
    let (mut a, mut b) = pair();
    let old: Vec<_> = (0..2).map(|n| a.say(&n.to_string())).collect();
    for _ in 0..PAST_EPOCHS {
        let (next, other) = if b.chat.may_commit() {
            (&mut b, &mut a)
        } else {
            (&mut a, &mut b)
        };
        let commit = next.update();
        other.follows(&commit);
    }
    b.restart();
    b.hears(&old[0], "0");
    b.refuses(&old[0], MlsError::Duplicate);
    let commit = a.update();
    b.follows(&commit);
    b.refuses(&old[1], MlsError::TooOld);
}

#[test]
fn both_sides_go_on_from_their_stores_after_every_step() {
    let (mut a, mut b) = pair();
    for n in 0..8 {
        a.restart();
        let message = a.say(&format!("a{n}"));
        a.restart();
        b.restart();
        b.hears(&message, &format!("a{n}"));
        b.restart();
        b.refuses(&message, MlsError::Duplicate);
        let answer = b.say(&format!("b{n}"));
        b.restart();
        a.hears(&answer, &format!("b{n}"));
        let (next, other) = if b.chat.may_commit() {
            (&mut b, &mut a)
        } else {
            (&mut a, &mut b)
        };
        let commit = next.update();
        next.restart();
        other.restart();
        other.follows(&commit);
        other.restart();
    }
}

#[test]
fn a_message_changes_few_rows() {
    let (mut a, mut b) = pair();
    let message = a.say("hello");
    assert_eq!(a.chat.take_changes().len(), 1);
    b.hears(&message, "hello");
    assert_eq!(b.chat.take_changes().len(), 1);
}

#[test]
fn incomplete_or_damaged_rows_are_refused() {
    let (a, _) = pair();
    let load = |rows: Stored| Conversation::load(rows.into_iter().collect());
    assert!(load(Stored::new()).is_err());
    for (key, value) in &a.stored {
        let mut missing = a.stored.clone();
        missing.remove(key);
        // OpenMLS finds some missing only when it needs them; none may lead to a panic.
        let _ = load(missing);
        refuses_all_damage(value, |bytes| {
            let mut rows = a.stored.clone();
            rows.insert(key.clone(), bytes.to_vec());
            load(rows).is_ok()
        });
    }
}

#[test]
fn a_state_of_a_newer_version_is_refused() {
    let (mut a, _) = pair();
    let mut own = a.chat.provider.row(OWN_ROW).unwrap().to_vec();
    own[0] = 2;
    a.chat.provider.put(OWN_ROW, own);
    a.chat.touched = true;
    a.save();
    let newer = Conversation::load(a.stored.into_iter().collect());
    assert_eq!(newer.err(), Some(MlsError::Storage));
}

#[test]
fn the_same_randomness_gives_the_same_bytes() {
    assert_eq!(key_package_of(2).0, key_package_of(2).0);
    assert_eq!(*key_package_of(2).1.to_bytes(), *key_package_of(2).1.to_bytes());
    let (mut a, _) = pair();
    let first = a.chat.encrypt(b"hello", &mut rng(5)).unwrap();
    a.chat = Conversation::load(a.stored.clone().into_iter().collect()).unwrap();
    assert_eq!(a.chat.encrypt(b"hello", &mut rng(5)).unwrap(), first);
}

#[test]
fn a_conversation_can_move_between_threads() {
    fn movable<T: Send + 'static>() {}
    movable::<Conversation>();
}

#[test]
fn a_key_package_used_twice_makes_two_separate_chats() {
    let (key_package, secrets) = key_package_of(2);
    let chats = [1, 3].map(|n| {
        let expected = sim(2).public_key();
        let made = Conversation::create(&sim(n), &device(n), &key_package, &expected, &mut rng(n.into()));
        let (creator, welcome) = made.unwrap();
        let joined = Conversation::join(&sim(2), &device(2), &secrets, &welcome, &mut rng(2)).unwrap();
        assert_eq!(joined.peer_sim(), sim(n).public_key());
        (Side::new(creator, 5), Side::new(joined, 6))
    });
    let [(mut a, mut with_a), (mut c, mut with_c)] = chats;
    assert_ne!(a.chat.group_id(), c.chat.group_id());
    let (from_a, from_c) = (a.say("a"), c.say("c"));
    with_a.refuses(&from_c, MlsError::OtherGroup);
    with_a.hears(&from_a, "a");
    with_c.hears(&from_c, "c");
}

#[test]
fn a_key_package_of_somebody_else_is_refused() {
    let (key_package, _) = key_package_of(2);
    let create = |expected: u8, own_device: u8| {
        let expected = sim(expected).public_key();
        Conversation::create(&sim(1), &device(own_device), &key_package, &expected, &mut rng(1)).err()
    };
    assert_eq!(create(2, 1), None);
    assert_eq!(create(3, 1), Some(MlsError::WrongMember));
    assert_eq!(create(2, 2), Some(MlsError::WrongMember));
}

#[test]
fn a_welcome_is_for_one_key_package_of_one_sim() {
    let (key_package, secrets) = key_package_of(2);
    let expected = sim(2).public_key();
    let made = Conversation::create(&sim(1), &device(1), &key_package, &expected, &mut rng(1));
    let (_, welcome) = made.unwrap();
    let join = |n: u8, own_device: u8, secrets: &KeyPackageSecrets| {
        Conversation::join(&sim(n), &device(own_device), secrets, &welcome, &mut rng(2)).err()
    };
    let another = make_key_package(&sim(2), &device(2), &mut rng(7)).unwrap().1;
    assert_eq!(join(2, 2, &another), Some(MlsError::OtherKeyPackage));
    assert_eq!(join(3, 2, &secrets), Some(MlsError::WrongMember));
    assert_eq!(join(2, 1, &secrets), Some(MlsError::WrongMember));
    assert_eq!(join(2, 2, &secrets), None);
    let mut crossed = secrets.clone();
    crossed.signature_key = another.signature_key;
    assert_eq!(join(2, 2, &crossed), Some(MlsError::WrongMember));
}

/// The credential of `victim`, with a signature key that is not theirs.
fn forged(victim: u8, signer: &MlsSigner) -> CredentialWithKey {
    let real = credential::make(&sim(victim), &device(victim), &MlsSigner::generate(&mut rng(8)));
    CredentialWithKey {
        credential: real.credential,
        signature_key: signer.public_key().as_bytes().to_vec().into(),
    }
}

#[test]
fn a_forged_credential_is_refused_in_a_key_package() {
    let signer = MlsSigner::generate(&mut rng(1));
    let provider = Provider::new();
    let bundle = provider.with_rng(&mut rng(2), |provider| {
        KeyPackage::builder()
            .key_package_lifetime(key_package::lifetime())
            .build(SUITE, provider, &signer, forged(2, &signer))
            .unwrap()
    });
    let key_package = bytes(bundle.into_key_package().into());
    let made = Conversation::create(
        &sim(1),
        &device(1),
        &key_package,
        &sim(2).public_key(),
        &mut rng(1),
    );
    assert_eq!(made.err(), Some(MlsError::WrongMember));
}

/// A Welcome from a group that breaks our rules, and what joining by it gives.
fn join_odd_group(own: impl FnOnce(&MlsSigner) -> CredentialWithKey, others: &[u8]) -> Option<MlsError> {
    let (invited, secrets) = key_package_of(2);
    let signer = MlsSigner::generate(&mut rng(1));
    let provider = Provider::new();
    let mut key_packages = vec![key_package::parse(&invited, &provider).unwrap().0];
    for other in others {
        let (public, _) = key_package_of(*other);
        key_packages.push(key_package::parse(&public, &provider).unwrap().0);
    }
    let welcome = provider.with_rng(&mut rng(2), |provider| {
        let mut group = MlsGroup::new(provider, &signer, &create_config(), own(&signer)).unwrap();
        let (_, welcome, _) = group.add_members(provider, &signer, &key_packages).unwrap();
        bytes(welcome)
    });
    Conversation::join(&sim(2), &device(2), &secrets, &welcome, &mut rng(3)).err()
}

#[test]
fn a_group_has_two_members_who_are_who_they_say() {
    let honest = |signer: &MlsSigner| credential::make(&sim(1), &device(1), signer);
    assert_eq!(join_odd_group(honest, &[]), None);
    assert_eq!(join_odd_group(honest, &[3]), Some(MlsError::WrongMember));
    assert_eq!(
        join_odd_group(|signer| forged(1, signer), &[]),
        Some(MlsError::WrongMember)
    );
}

/// Lets SIM 2, whose turn it is, send something that its own program never would.
fn misbehave(run: impl FnOnce(&mut MlsGroup, &Provider, &MlsSigner) -> Vec<u8>) {
    let (mut a, mut b) = pair();
    let Conversation {
        group,
        provider,
        signer,
        ..
    } = &mut b.chat;
    let bad = provider.with_rng(&mut rng(9), |provider| run(group, provider, signer));
    a.refuses(&bad, MlsError::Refused);
    a.restart();
    a.refuses(&bad, MlsError::Refused);
    // The chat goes on.
    b.chat
        .group
        .clear_pending_commit(b.chat.provider.storage())
        .unwrap();
    b.chat
        .group
        .clear_pending_proposals(b.chat.provider.storage())
        .unwrap();
    let commit = b.update();
    a.follows(&commit);
    let message = a.say("still here");
    b.hears(&message, "still here");
}

#[test]
fn adding_a_member_is_refused() {
    misbehave(|group, provider, signer| {
        let (third, _) = key_package::parse(&key_package_of(3).0, provider).unwrap();
        bytes(group.add_members(provider, signer, &[third]).unwrap().0)
    });
}

#[test]
fn removing_a_member_is_refused() {
    misbehave(|group, provider, signer| {
        let peer = group
            .members()
            .find(|member| member.index != group.own_leaf_index());
        bytes(
            group
                .remove_members(provider, signer, &[peer.unwrap().index])
                .unwrap()
                .0,
        )
    });
}

#[test]
fn becoming_someone_else_is_refused() {
    for other in [2, 3] {
        misbehave(|group, provider, signer| {
            let new = MlsSigner::generate(&mut rng(11));
            let bundle = NewSignerBundle {
                signer: &new,
                credential_with_key: credential::make(&sim(other), &device(2), &new),
            };
            let update =
                group.self_update_with_new_signer(provider, signer, bundle, LeafNodeParameters::default());
            bytes(update.unwrap().into_commit())
        });
    }
}

#[test]
fn proposals_are_refused() {
    misbehave(|group, provider, signer| {
        let proposed = group.propose_self_update(provider, signer, LeafNodeParameters::default());
        bytes(proposed.unwrap().0)
    });
}

#[test]
fn a_commit_out_of_turn_is_refused() {
    let (mut a, mut b) = pair();
    let Conversation {
        group,
        provider,
        signer,
        ..
    } = &mut a.chat;
    let update = provider.with_rng(&mut rng(9), |provider| {
        group.self_update(provider, signer, LeafNodeParameters::default())
    });
    b.refuses(&bytes(update.unwrap().into_commit()), MlsError::Refused);
    assert_eq!(b.chat.epoch(), 1);
    a.chat
        .group
        .clear_pending_commit(a.chat.provider.storage())
        .unwrap();
    let commit = b.update();
    a.follows(&commit);
}

#[test]
fn ones_own_messages_are_refused() {
    let (mut a, mut b) = pair();
    let message = a.say("me");
    a.refuses(&message, MlsError::WrongMember);
    let commit = b.update();
    b.refuses(&commit, MlsError::Refused);
}

#[test]
fn damage_is_refused_everywhere() {
    let (mut a, b) = pair();
    let message = a.say("hello");
    let rows: Vec<_> = b.stored.clone().into_iter().collect();
    refuses_all_damage(&message, |bytes| {
        let mut chat = Conversation::load(rows.clone()).unwrap();
        chat.process(bytes).is_ok()
    });

    let (key_package, secrets) = key_package_of(2);
    let expected = sim(2).public_key();
    let create = |bytes: &[u8]| Conversation::create(&sim(1), &device(1), bytes, &expected, &mut rng(1));
    refuses_all_damage(&key_package, |bytes| create(bytes).is_ok());
    let (_, welcome) = create(&key_package).unwrap();
    refuses_all_damage(&welcome, |bytes| {
        Conversation::join(&sim(2), &device(2), &secrets, bytes, &mut rng(2)).is_ok()
    });
    let stored = secrets.to_bytes();
    for n in 0..stored.len() {
        assert!(KeyPackageSecrets::from_bytes(&stored[..n]).is_err());
    }
}

/// docs/protocol.md, section 8: others read it, too.
#[test]
fn key_package_secrets_have_the_form_that_the_protocol_says() {
    let (key_package, secrets) = key_package_of(2);
    let mut from = Reader::new(Bytes::copy_from_slice(&secrets.to_bytes()));
    assert_eq!(from.take::<u8>().unwrap(), 2);
    let keys: Vec<[u8; 32]> = (0..3).map(|_| from.take().unwrap()).collect();
    assert_eq!(from.take::<Bytes>().unwrap(), key_package);
    from.end().unwrap();
    let (public, _) = key_package::parse(&key_package, &Provider::new()).unwrap();
    let of = |key: &[u8; 32]| {
        let key = p256::ecdsa::SigningKey::from_slice(key).unwrap();
        crate::ecdsa::public_key(&key).as_bytes().to_vec()
    };
    let leaf = public.leaf_node();
    assert_eq!(of(&keys[0]), leaf.signature_key().as_slice());
    assert_eq!(of(&keys[1]), public.hpke_init_key().as_slice());
    // Two bytes of length before it.
    let encryption_key = leaf.encryption_key().tls_serialize_detached().unwrap();
    assert_eq!(of(&keys[2]), encryption_key[2..]);
}

#[test]
fn who_has_joined_keeps_no_keys_of_the_key_package() {
    let (_, b) = pair();
    assert!(b.stored.keys().all(|key| !key.starts_with(b"KeyPackage")));
}

#[test]
fn a_damaged_commit_does_no_harm() {
    let (mut a, mut b) = pair();
    let commit = b.update();
    for n in (0..commit.len()).step_by(7) {
        let mut bad = commit.clone();
        bad[n] ^= 1;
        a.save();
        assert!(a.chat.process(&bad).is_err());
        assert_eq!(a.chat.take_changes(), []);
    }
    a.follows(&commit);
}

#[test]
fn debug_shows_no_secrets() {
    let (a, _) = pair();
    assert_eq!(
        format!("{:?}", a.chat),
        "Conversation { epoch: 1, creator: true, .. }"
    );
    assert_eq!(format!("{:?}", key_package_of(2).1), "KeyPackageSecrets(..)");
    assert_eq!(format!("{:?}", Received::Message(vec![1, 2])), "Message(2 bytes)");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_bytes_fail_cleanly(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let (mut a, _) = pair();
        for head in [&[][..], &[0, 1, 0, 1], &[0, 1, 0, 2], &[0, 1, 0, 3], &[0, 1, 0, 5]] {
            let bytes = [head, &bytes].concat();
            prop_assert!(a.chat.process(&bytes).is_err());
            let created = Conversation::create(&sim(1), &device(1), &bytes, &sim(2).public_key(), &mut rng(1));
            prop_assert!(created.is_err());
            let secrets = key_package_of(2).1;
            prop_assert!(Conversation::join(&sim(2), &device(2), &secrets, &bytes, &mut rng(1)).is_err());
            let _ = KeyPackageSecrets::from_bytes(&bytes);
        }
        prop_assert!(Conversation::load(vec![(OWN_ROW.to_vec(), bytes)]).is_err());
    }
}
