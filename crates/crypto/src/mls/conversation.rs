//! One side of a direct chat.

use super::{
    KeyPackageSecrets, MlsError, SUITE,
    credential::{self, Person},
    key_package,
    provider::Provider,
    signer::MlsSigner,
};
use crate::Sim;
use bytes::Bytes;
use core::fmt;
use openmls::framing::errors::{MessageDecryptionError, SecretTreeError};
use openmls::prelude::{
    ContentType, GroupId, LeafNodeIndex, LeafNodeParameters, Member, MlsGroup, MlsGroupCreateConfig,
    MlsGroupJoinConfig, MlsMessageBodyIn, MlsMessageIn, OpenMlsProvider, PURE_CIPHERTEXT_WIRE_FORMAT_POLICY,
    PastEpochDeletionPolicy, ProcessMessageError, ProcessedMessage, ProcessedMessageContent, ProtocolMessage,
    Sender, SenderRatchetConfiguration, StagedCommit, StagedWelcome, ValidationError, WelcomeError,
    tls_codec::DeserializeBytes,
};
use rand_core::CryptoRngCore;
use rly_protocol::{Decode, DeviceId, Encode, PublicKey, record};
use zeroize::Zeroize;

#[cfg(test)]
mod tests;

/// Keys of messages that were overtaken are kept for so many.
const OUT_OF_ORDER: u32 = 64;
/// So many messages in a row may be missing. Bounds the hashing that one message can cause.
const FORWARD: u32 = 2_000;
/// Messages of so many epochs before the current one can still be read.
const PAST_EPOCHS: usize = 3;

/// The row that is ours among those of OpenMLS.
const OWN_ROW: &[u8] = b"rly conversation";

record! {
    /// What [`Conversation::load`] needs beside the rows of OpenMLS.
    struct Own = 1 {
        group_id: Bytes,
        creator: bool,
        signature_key: [u8; 32],
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.signature_key.zeroize();
    }
}

/// What a message was.
#[derive(Clone, PartialEq, Eq)]
pub enum Received {
    /// The peer said something.
    Message(Vec<u8>),
    /// The peer renewed its keys: a new epoch has begun.
    Commit,
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(plain) => write!(f, "Message({} bytes)", plain.len()),
            Self::Commit => f.write_str("Commit"),
        }
    }
}

/// One side of a direct chat: an MLS group of two members.
///
/// Every successful call that takes `&mut self` changes the state, and [`Self::take_changes`] has
/// to be stored together with what the call gave, before any of it leaves the device. A failed
/// call changes nothing.
pub struct Conversation {
    group: MlsGroup,
    provider: Provider,
    signer: MlsSigner,
    creator: bool,
    peer: Person,
    peer_index: LeafNodeIndex,
    /// The state may differ from what was taken: comparing all rows is not for nothing.
    touched: bool,
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation")
            .field("epoch", &self.epoch())
            .field("creator", &self.creator)
            .finish_non_exhaustive()
    }
}

impl Conversation {
    /// Makes a group with the owner of a KeyPackage. The Welcome that comes back holds the ratchet
    /// tree; it is all that the peer needs to join.
    ///
    /// # Errors
    /// [`MlsError::Invalid`] for what is no KeyPackage of our suite, [`MlsError::WrongMember`] when
    /// it is not one of `expected`, or is our own.
    pub fn create(
        sim: &Sim,
        device: &DeviceId,
        key_package: &[u8],
        expected: &PublicKey,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<(Self, Vec<u8>), MlsError> {
        let signer = MlsSigner::generate(rng);
        let provider = Provider::new();
        let (key_package, peer) = key_package::parse(key_package, &provider)?;
        if peer.sim != *expected || peer.device == *device {
            return Err(MlsError::WrongMember);
        }
        let made = provider.with_rng(rng, |provider| {
            let own = credential::make(sim, device, &signer);
            let mut group =
                MlsGroup::new(provider, &signer, &create_config(), own).map_err(|_| MlsError::Library)?;
            let (_, welcome, _) = group
                .add_members_without_update(provider, &signer, &[key_package])
                .map_err(|_| MlsError::Invalid)?;
            group
                .merge_pending_commit(provider)
                .map_err(|_| MlsError::Library)?;
            let welcome = welcome.to_bytes().map_err(|_| MlsError::Library)?;
            Ok((group, welcome))
        });
        let (group, welcome) = made?;
        let conversation = Self::with(group, provider, signer, true)?;
        conversation.put_own_row();
        Ok((conversation, welcome))
    }

    /// Joins a group that somebody made with one of our KeyPackages. Who that is, says
    /// [`Self::peer_sim`]; whether they are welcome is the caller's to decide.
    ///
    /// # Errors
    /// [`MlsError::OtherKeyPackage`] for a Welcome to another one, [`MlsError::Invalid`] for what is no
    /// Welcome, [`MlsError::WrongMember`] unless the members are this SIM and one other device.
    pub fn join(
        sim: &Sim,
        device: &DeviceId,
        secrets: &KeyPackageSecrets,
        welcome: &[u8],
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Self, MlsError> {
        let signer = MlsSigner::from_bytes(&secrets.signature_key).ok_or(MlsError::Storage)?;
        let provider = Provider::new();
        secrets.put(&provider)?;
        let message = MlsMessageIn::tls_deserialize_exact_bytes(welcome).map_err(|_| MlsError::Invalid)?;
        let MlsMessageBodyIn::Welcome(welcome) = message.extract() else {
            return Err(MlsError::Invalid);
        };
        let joined = provider.with_rng(rng, |provider| {
            // Lifetimes are unlimited; looking at them would read the system's clock.
            let staged = StagedWelcome::build_from_welcome(provider, &join_config(), welcome)
                .and_then(|builder| builder.skip_lifetime_validation().build())
                .map_err(|error| match error {
                    WelcomeError::NoMatchingKeyPackage => MlsError::OtherKeyPackage,
                    _ => MlsError::Invalid,
                })?;
            staged.into_group(provider).map_err(|_| MlsError::Invalid)
        });
        let group = joined?;
        let own = group.own_leaf_node().ok_or(MlsError::WrongMember)?;
        if own.signature_key().as_slice() != signer.public_key().as_bytes() {
            return Err(MlsError::WrongMember);
        }
        let own = credential::check(own.credential(), own.signature_key().as_slice())?;
        let conversation = Self::with(group, provider, signer, false)?;
        if own.sim != sim.public_key() || conversation.peer.device == *device {
            return Err(MlsError::WrongMember);
        }
        conversation.put_own_row();
        Ok(conversation)
    }

    /// Goes on from stored rows: all that [`Self::take_changes`] ever gave, the newest value of
    /// each key. Keys of two conversations may be equal: store each conversation's for itself.
    ///
    /// # Errors
    /// [`MlsError::Storage`].
    pub fn load(rows: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Self, MlsError> {
        let provider = Provider::load(rows)?;
        let own = provider.row(OWN_ROW).ok_or(MlsError::Storage)?;
        let own = Own::from_bytes(&own).map_err(|_| MlsError::Storage)?;
        let signer = MlsSigner::from_bytes(&own.signature_key).ok_or(MlsError::Storage)?;
        let group = load_group(&provider, &GroupId::from_slice(&own.group_id))?;
        Self::with(group, provider, signer, own.creator)
    }

    fn with(group: MlsGroup, provider: Provider, signer: MlsSigner, creator: bool) -> Result<Self, MlsError> {
        let own_index = group.own_leaf_index();
        let members: Vec<Member> = group.members().take(3).collect();
        let peer = match &members[..] {
            [own, peer] | [peer, own] if own.index == own_index && peer.index != own_index => peer,
            _ => return Err(MlsError::WrongMember),
        };
        Ok(Self {
            peer: credential::check(&peer.credential, &peer.signature_key)?,
            peer_index: peer.index,
            group,
            provider,
            signer,
            creator,
            touched: true,
        })
    }

    fn put_own_row(&self) {
        let own = Own {
            group_id: self.group_id().into(),
            creator: self.creator,
            signature_key: *self.signer.to_bytes(),
        };
        self.provider.put(OWN_ROW, own.to_bytes());
    }

    /// What is new in the state since the last call, or since loading: rows to store, and keys of
    /// rows to delete (`None`). The values are secret.
    pub fn take_changes(&mut self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        if core::mem::take(&mut self.touched) {
            self.provider.take_changes()
        } else {
            Vec::new()
        }
    }

    /// Who the other one is.
    pub fn peer_sim(&self) -> PublicKey {
        self.peer.sim
    }

    /// On which device.
    pub fn peer_device(&self) -> DeviceId {
        self.peer.device
    }

    /// The id of the group, the same on both sides.
    pub fn group_id(&self) -> Vec<u8> {
        self.group.group_id().to_vec()
    }

    /// How many commits there were.
    pub fn epoch(&self) -> u64 {
        self.group.epoch().as_u64()
    }

    /// Whether we made the group.
    pub fn is_creator(&self) -> bool {
        self.creator
    }

    /// Whether it is our turn to commit: in even epochs the creator's, in odd ones the other's. Two
    /// mailboxes have no common order, so only one may commit at a time.
    pub fn may_commit(&self) -> bool {
        self.is_turn(self.epoch(), self.creator)
    }

    fn is_turn(&self, epoch: u64, of_creator: bool) -> bool {
        epoch.is_multiple_of(2) == of_creator
    }

    /// Encrypts a message to the peer.
    ///
    /// # Errors
    /// [`MlsError::Library`].
    pub fn encrypt(&mut self, plain: &[u8], rng: &mut dyn CryptoRngCore) -> Result<Vec<u8>, MlsError> {
        self.touched = true;
        let Self {
            group,
            provider,
            signer,
            ..
        } = self;
        provider
            .with_rng(rng, |provider| group.create_message(provider, signer, plain))
            .map_err(|_| MlsError::Library)?
            .to_bytes()
            .map_err(|_| MlsError::Library)
    }

    /// Renews our keys and begins a new epoch. The commit has to reach the peer: it goes into the
    /// outbox together with the changed state.
    ///
    /// # Errors
    /// [`MlsError::Refused`] when it is not our turn, see [`Self::may_commit`].
    pub fn update(&mut self, rng: &mut dyn CryptoRngCore) -> Result<Vec<u8>, MlsError> {
        if !self.may_commit() {
            return Err(MlsError::Refused);
        }
        self.touched = true;
        self.all_or_nothing(|this| {
            let Self {
                group,
                provider,
                signer,
                ..
            } = this;
            let made = provider.with_rng(rng, |provider| {
                group.self_update(provider, signer, LeafNodeParameters::default())
            });
            let commit = made
                .map_err(|_| MlsError::Library)?
                .into_commit()
                .to_bytes()
                .map_err(|_| MlsError::Library)?;
            group
                .merge_pending_commit(provider)
                .map_err(|_| MlsError::Library)?;
            Ok(commit)
        })
    }

    /// Takes in a message of the peer.
    ///
    /// # Errors
    /// Every [`MlsError`]; the state is then as it was.
    pub fn process(&mut self, message: &[u8]) -> Result<Received, MlsError> {
        self.touched = true;
        let message = MlsMessageIn::tls_deserialize_exact_bytes(message).map_err(|_| MlsError::Invalid)?;
        let message = match message.extract() {
            MlsMessageBodyIn::PrivateMessage(message) => ProtocolMessage::from(message),
            MlsMessageBodyIn::PublicMessage(_) => return Err(MlsError::Refused),
            _ => return Err(MlsError::Invalid),
        };
        if message.group_id() != self.group.group_id() {
            return Err(MlsError::OtherGroup);
        }
        // The header is not authenticated yet. A false one gets its sender nothing but a refusal.
        let epoch = message.epoch().as_u64();
        if epoch > self.epoch() {
            return Err(MlsError::FutureEpoch);
        }
        match message.content_type() {
            ContentType::Application => self.process_application(message),
            ContentType::Proposal => Err(MlsError::Refused),
            ContentType::Commit if !self.is_turn(epoch, !self.creator) => Err(MlsError::Refused),
            // The peer's commit of that epoch brought us into the next one.
            ContentType::Commit if epoch < self.epoch() => Err(MlsError::Duplicate),
            ContentType::Commit => self.all_or_nothing(|this| this.process_commit(message)),
        }
    }

    fn process_application(&mut self, message: ProtocolMessage) -> Result<Received, MlsError> {
        match self.decrypt(message)?.into_content() {
            ProcessedMessageContent::ApplicationMessage(message) => {
                Ok(Received::Message(message.into_bytes()))
            }
            _ => Err(MlsError::Refused),
        }
    }

    fn process_commit(&mut self, message: ProtocolMessage) -> Result<Received, MlsError> {
        let ProcessedMessageContent::StagedCommitMessage(commit) = self.decrypt(message)?.into_content()
        else {
            return Err(MlsError::Refused);
        };
        if !self.is_mere_update(&commit) {
            return Err(MlsError::Refused);
        }
        self.group
            .merge_staged_commit(&self.provider, *commit)
            .map_err(|_| MlsError::Library)?;
        Ok(Received::Commit)
    }

    fn decrypt(&mut self, message: ProtocolMessage) -> Result<ProcessedMessage, MlsError> {
        let processed = self
            .group
            .process_message(&self.provider, message)
            .map_err(reason)?;
        if *processed.sender() == Sender::Member(self.peer_index) {
            Ok(processed)
        } else {
            Err(MlsError::WrongMember)
        }
    }

    /// Whether a commit renews the peer's encryption keys and does nothing else: no proposals, and
    /// the same SIM, device and signature key, whose credential was checked when the chat began.
    fn is_mere_update(&self, commit: &StagedCommit) -> bool {
        let old = self.group.public_group().leaf(self.peer_index);
        let (Some(old), Some(new)) = (old, commit.update_path_leaf_node()) else {
            return false;
        };
        commit.queued_proposals().next().is_none()
            && new.credential() == old.credential()
            && new.signature_key() == old.signature_key()
    }

    /// Takes everything back if `run` fails. For commits only: it copies the state.
    fn all_or_nothing<T>(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<T, MlsError>,
    ) -> Result<T, MlsError> {
        let mut before = self.provider.rows();
        let result = run(self);
        if result.is_err() {
            self.provider.restore(before);
            self.group = load_group(&self.provider, self.group.group_id())?;
        } else {
            before.values_mut().for_each(Zeroize::zeroize);
        }
        result
    }
}

/// Which group a message says it is of. Nothing of it is checked. `None` for what is no message.
pub fn group_of_message(message: &[u8]) -> Option<Vec<u8>> {
    let message = MlsMessageIn::tls_deserialize_exact_bytes(message).ok()?;
    let message = message.try_into_protocol_message().ok()?;
    Some(message.group_id().to_vec())
}

fn load_group(provider: &Provider, id: &GroupId) -> Result<MlsGroup, MlsError> {
    MlsGroup::load(provider.storage(), id)
        .ok()
        .flatten()
        .ok_or(MlsError::Storage)
}

fn create_config() -> MlsGroupCreateConfig {
    MlsGroupCreateConfig::builder()
        .ciphersuite(SUITE)
        .lifetime(key_package::lifetime())
        .capabilities(key_package::capabilities())
        .wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
        .padding_size(0)
        .set_past_epoch_deletion_policy(PastEpochDeletionPolicy::MaxEpochs(PAST_EPOCHS))
        .use_ratchet_tree_extension(true)
        .sender_ratchet_configuration(SenderRatchetConfiguration::new(OUT_OF_ORDER, FORWARD))
        .build()
}

fn join_config() -> MlsGroupJoinConfig {
    create_config().join_config().clone()
}

/// What a failure of OpenMLS means to us.
fn reason<E>(error: ProcessMessageError<E>) -> MlsError {
    use MessageDecryptionError::SecretTreeError as Ratchet;
    use ValidationError::{NoPastEpochData, UnableToDecrypt, WrongEpoch};
    match error {
        ProcessMessageError::ValidationError(error) => match error {
            NoPastEpochData | WrongEpoch => MlsError::TooOld,
            UnableToDecrypt(Ratchet(SecretTreeError::TooDistantInThePast)) => MlsError::TooOld,
            UnableToDecrypt(Ratchet(SecretTreeError::SecretReuseError)) => MlsError::Duplicate,
            _ => MlsError::Undecryptable,
        },
        ProcessMessageError::StorageError(_) => MlsError::Storage,
        ProcessMessageError::InvalidCommit(_) => MlsError::Refused,
        ProcessMessageError::LibraryError(_) => MlsError::Library,
        _ => MlsError::Refused,
    }
}
