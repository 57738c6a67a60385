//! What can go wrong in a conversation.

use thiserror::Error;

/// Why an operation on a conversation failed. The state is then what it was before.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum MlsError {
    /// The message does not decrypt: damaged, of other keys, or more than 2,000 ahead of the last.
    #[error("the message cannot be decrypted")]
    Undecryptable,
    /// The keys for this message are gone: its epoch or its place in the ratchet is too far back.
    #[error("the message is too old to be decrypted")]
    TooOld,
    /// This message, or another one in its place, was processed before.
    #[error("the message was processed before")]
    Duplicate,
    /// The message belongs to an epoch that is not reached yet: a commit is missing.
    #[error("the message is of a later epoch")]
    FutureEpoch,
    /// The message is of another group.
    #[error("the message is of another group")]
    OtherGroup,
    /// A member is not who it has to be, or its credential is not signed by its SIM.
    #[error("a member is not the one expected")]
    WrongMember,
    /// Well-formed, but not allowed in a direct chat: a commit out of turn, an add, a removal.
    #[error("this is not allowed in a direct chat")]
    Refused,
    /// The stored rows are incomplete, damaged or of a newer version.
    #[error("the stored state of the conversation cannot be used")]
    Storage,
    /// The bytes are not what they should be: not a KeyPackage, Welcome or message of our suite.
    #[error("the data is not well-formed")]
    Invalid,
    /// The Welcome is for another KeyPackage than ours.
    #[error("the invitation to the group is for another device")]
    OtherKeyPackage,
    /// OpenMLS failed in a way that should not happen.
    #[error("the cryptographic library failed")]
    Library,
}
