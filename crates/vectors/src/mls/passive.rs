//! passive-client: OpenMLS itself joins a group by a Welcome and follows it, with the provider that it
//! has in a conversation. The epoch authenticators agree only if the key schedule, the secret tree,
//! TreeKEM, the transcript hashes, the PSKs, the tree and the framing are all right.

use crate::{
    Report, Set,
    data::{Hex, load},
    hpke::SUITE,
    tally::holds,
};
use openmls::{
    framing::{MlsMessageBodyIn, MlsMessageIn, ProcessedMessageContent, ProtocolMessage},
    group::{MlsGroup, MlsGroupJoinConfig, StagedWelcome},
    key_packages::{KeyPackage, KeyPackageBundle},
    prelude::tls_codec::DeserializeBytes,
    schedule::PreSharedKeyId,
    treesync::RatchetTreeIn,
};
use openmls_traits::{OpenMlsProvider, storage::StorageProvider};
use rly_crypto::vectors::{self, Provider};
use serde::Deserialize;
use serde_json::json;

const WELCOME: &str = include_str!("../../data/mls_passive_client_welcome.json");
const COMMIT: &str = include_str!("../../data/mls_passive_client_handling_commit.json");

#[derive(Deserialize)]
struct Vector {
    external_psks: Vec<Psk>,
    key_package: Hex,
    encryption_priv: Hex,
    init_priv: Hex,
    welcome: Hex,
    ratchet_tree: Option<Hex>,
    initial_epoch_authenticator: Hex,
    epochs: Vec<Epoch>,
}

#[derive(Deserialize)]
struct Psk {
    psk_id: Hex,
    psk: Hex,
}

#[derive(Deserialize)]
struct Epoch {
    proposals: Vec<Hex>,
    commit: Hex,
    epoch_authenticator: Hex,
}

/// When all the KeyPackages in the vectors were good, in seconds since 1970.
const GOOD: core::ops::Range<u64> = 1_677_842_048..1_709_307_004;

/// The vectors in which a member is added later, by a KeyPackage that is good for a while.
const ADDS: [usize; 4] = [0, 5, 6, 12];

pub(super) fn run(now: u64) -> Vec<Report> {
    let mut welcome = Set::new("RFC 9420 passive-client-welcome: OpenMLS", 8);
    for (n, vector) in load::<Vector>(WELCOME).iter().enumerate() {
        welcome.case(|| format!("vector {n}"), || follow(vector));
    }

    let good = GOOD.contains(&now);
    let expected = if good { 13 } else { 13 - ADDS.len() };
    let mut commits = Set::new("RFC 9420 passive-client-handling-commit: OpenMLS", expected);
    let mut expired = Set::new("RFC 9420 commits that add an expired KeyPackage: OpenMLS", 4);
    for (n, vector) in load::<Vector>(COMMIT).iter().enumerate() {
        if good || !ADDS.contains(&n) {
            commits.case(|| format!("vector {n}"), || follow(vector));
        } else {
            let refused = follow(vector).is_err_and(|error| error.contains("LifetimeError(Expired"));
            expired.check(refused, || format!("vector {n}"));
        }
    }
    let mut reports = vec![welcome.end(), commits.end()];
    if !good {
        reports.push(expired.end());
    }
    reports
}

fn text(error: impl core::fmt::Debug) -> String {
    format!("{error:?}")
}

fn message(bytes: &[u8]) -> Result<MlsMessageIn, String> {
    MlsMessageIn::tls_deserialize_exact_bytes(bytes).map_err(text)
}

fn follow(vector: &Vector) -> Result<(), String> {
    let provider = &vectors::provider();
    for psk in &vector.external_psks {
        let id = PreSharedKeyId::external(psk.psk_id.0.clone(), Vec::new());
        id.store(provider, &psk.psk).map_err(text)?;
    }
    put_key_package(provider, vector)?;
    let mut group = join(provider, vector)?;
    let same = |group: &MlsGroup, expected: &Hex| {
        holds("epoch", group.epoch_authenticator().as_slice() == &expected[..])
    };
    same(&group, &vector.initial_epoch_authenticator)?;
    for epoch in &vector.epochs {
        for proposal in &epoch.proposals {
            take(provider, &mut group, proposal)?;
        }
        take(provider, &mut group, &epoch.commit)?;
        same(&group, &epoch.epoch_authenticator)?;
    }
    Ok(())
}

/// As it would be in the store.
fn put_key_package(provider: &Provider, vector: &Vector) -> Result<(), String> {
    let MlsMessageBodyIn::KeyPackage(incoming) = message(&vector.key_package)?.extract() else {
        return Err("not a KeyPackage".into());
    };
    // By way of its stored form: to validate it would mean to ask today's clock about 2024.
    let key_package = serde_json::to_value(&incoming).map_err(text)?;
    let key_package: KeyPackage = serde_json::from_value(key_package).map_err(text)?;
    let reference = key_package.hash_ref(provider.crypto()).map_err(text)?;
    let secret = |key: &Hex| json!({ "vec": key.0 });
    let bundle = json!({
        "key_package": key_package,
        "private_init_key": secret(&vector.init_priv),
        "private_encryption_key": { "key": secret(&vector.encryption_priv) },
    });
    let bundle: KeyPackageBundle = serde_json::from_value(bundle).map_err(text)?;
    provider
        .storage()
        .write_key_package(&reference, &bundle)
        .map_err(text)
}

fn join(provider: &Provider, vector: &Vector) -> Result<MlsGroup, String> {
    let MlsMessageBodyIn::Welcome(welcome) = message(&vector.welcome)?.extract() else {
        return Err("not a Welcome".into());
    };
    let config = MlsGroupJoinConfig::builder()
        .use_ratchet_tree_extension(true)
        .wire_format_policy(openmls::group::MIXED_CIPHERTEXT_WIRE_FORMAT_POLICY)
        .number_of_resumption_psks(16)
        .build();
    let builder = StagedWelcome::build_from_welcome(provider, &config, welcome).map_err(text)?;
    let builder = match &vector.ratchet_tree {
        Some(tree) => {
            builder.with_ratchet_tree(RatchetTreeIn::tls_deserialize_exact_bytes(tree).map_err(text)?)
        }
        None => builder,
    };
    let staged = builder.skip_lifetime_validation().build().map_err(text)?;
    let group = staged.into_group(provider).map_err(text)?;
    holds("our suite", group.ciphersuite() == SUITE)?;
    Ok(group)
}

fn take(provider: &Provider, group: &mut MlsGroup, bytes: &[u8]) -> Result<(), String> {
    let incoming: ProtocolMessage = message(bytes)?.try_into_protocol_message().map_err(text)?;
    let processed = group.process_message(provider, incoming).map_err(text)?;
    match processed.into_content() {
        ProcessedMessageContent::ProposalMessage(proposal) => group
            .store_pending_proposal(provider.storage(), *proposal)
            .map_err(text),
        ProcessedMessageContent::StagedCommitMessage(commit) => {
            group.merge_staged_commit(provider, *commit).map_err(text)
        }
        _ => Err("neither a proposal nor a commit".into()),
    }
}
