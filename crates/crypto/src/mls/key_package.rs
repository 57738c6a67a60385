//! KeyPackages (RFC 9420, section 10): what a card carries so that its reader can make a group.

use super::{
    MlsError, SUITE,
    credential::{self, Person},
    provider::Provider,
    signer::MlsSigner,
};
use crate::Sim;
use bytes::Bytes;
use core::fmt;
use openmls::prelude::{
    Capabilities, CredentialType, KeyPackage, KeyPackageBundle, Lifetime, MlsMessageBodyIn, MlsMessageIn,
    MlsMessageOut, OpenMlsProvider, ProtocolVersion, tls_codec::DeserializeBytes,
};
use openmls_traits::{storage::StorageProvider, types::HpkePrivateKey};
use rand_core::CryptoRngCore;
use rly_protocol::{DecodeError, DeviceId, Encode, Reader, record};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

/// A KeyPackage does not expire, its invite does: whether a contact can be made must not depend on
/// the clocks of two devices. (OpenMLS looks at the clock when it reads a KeyPackage, but any time
/// since 1970 is within this.)
pub(super) fn lifetime() -> Lifetime {
    Lifetime::init(0, u64::MAX)
}

/// What our members can do: exactly what a direct chat needs.
pub(super) fn capabilities() -> Capabilities {
    Capabilities::new(
        Some(&[ProtocolVersion::Mls10]),
        Some(&[SUITE]),
        None,
        None,
        Some(&[CredentialType::Basic]),
    )
}

record! {
    /// Everything needed to join by the Welcome that answers a KeyPackage: private keys and the
    /// KeyPackage itself. For one Welcome; forget it after joining. docs/protocol.md, section 8, has
    /// the form: other programs take over what lies in a vault.
    #[derive(Clone)]
    pub struct KeyPackageSecrets = 2 {
        pub(super) signature_key: [u8; 32],
        pub(super) init_key: [u8; 32],
        pub(super) encryption_key: [u8; 32],
        /// As it is in the card.
        pub(super) key_package: Bytes,
    }
}

/// What OpenMLS keeps for a KeyPackage, in the form in which it writes it. For the leaf's private key
/// there is no other way in or out.
#[derive(Serialize, Deserialize)]
struct Kept {
    key_package: KeyPackage,
    private_init_key: HpkePrivateKey,
    private_encryption_key: LeafKey,
}

#[derive(Serialize, Deserialize)]
struct LeafKey {
    key: HpkePrivateKey,
}

impl KeyPackageSecrets {
    /// For the encrypted store and the vault.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(Encode::to_bytes(self))
    }

    /// From the encrypted store or the vault.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(wiped(bytes.to_vec()));
        let secrets = from.take()?;
        from.end()?;
        Ok(secrets)
    }

    /// Gives the keys to OpenMLS, which looks for them when a Welcome comes, and deletes them then.
    ///
    /// # Errors
    /// [`MlsError::Storage`] for what is no KeyPackage of ours.
    pub(super) fn put(&self, provider: &Provider) -> Result<(), MlsError> {
        let damaged = |_| MlsError::Storage;
        let (key_package, _) = parse(&self.key_package, provider).map_err(damaged)?;
        let reference = key_package
            .hash_ref(provider.crypto())
            .map_err(|_| MlsError::Library)?;
        let kept = Kept {
            key_package,
            private_init_key: self.init_key.to_vec().into(),
            private_encryption_key: LeafKey {
                key: self.encryption_key.to_vec().into(),
            },
        };
        let kept = Zeroizing::new(serde_json::to_vec(&kept).map_err(|_| MlsError::Library)?);
        let bundle: KeyPackageBundle = serde_json::from_slice(&kept).map_err(|_| MlsError::Library)?;
        provider
            .storage()
            .write_key_package(&reference, &bundle)
            .map_err(|_| MlsError::Storage)
    }
}

impl Drop for KeyPackageSecrets {
    fn drop(&mut self) {
        self.signature_key.zeroize();
        self.init_key.zeroize();
        self.encryption_key.zeroize();
    }
}

impl fmt::Debug for KeyPackageSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            signature_key: _,
            init_key: _,
            encryption_key: _,
            key_package: _,
        } = self;
        f.write_str("KeyPackageSecrets(..)")
    }
}

fn wiped(bytes: Vec<u8>) -> Bytes {
    Bytes::from_owner(Zeroizing::new(bytes))
}

/// Makes a KeyPackage for one invite, with a fresh signature key.
///
/// # Errors
/// [`MlsError::Library`].
pub fn make_key_package(
    sim: &Sim,
    device: &DeviceId,
    rng: &mut dyn CryptoRngCore,
) -> Result<(Vec<u8>, KeyPackageSecrets), MlsError> {
    let signer = MlsSigner::generate(rng);
    let provider = Provider::new();
    let made = provider.with_rng(rng, |provider| {
        KeyPackage::builder()
            .key_package_lifetime(lifetime())
            .leaf_node_capabilities(capabilities())
            .build(SUITE, provider, &signer, credential::make(sim, device, &signer))
    });
    let bundle = made.map_err(|_| MlsError::Library)?;
    let kept = Zeroizing::new(serde_json::to_vec(&bundle).map_err(|_| MlsError::Library)?);
    let kept: Kept = serde_json::from_slice(&kept).map_err(|_| MlsError::Library)?;
    let public = MlsMessageOut::from(bundle.into_key_package())
        .to_bytes()
        .map_err(|_| MlsError::Library)?;
    let key = |key: &HpkePrivateKey| key[..].try_into().map_err(|_| MlsError::Library);
    let secrets = KeyPackageSecrets {
        signature_key: *signer.to_bytes(),
        init_key: key(&kept.private_init_key)?,
        encryption_key: key(&kept.private_encryption_key.key)?,
        key_package: public.clone().into(),
    };
    Ok((public, secrets))
}

/// Reads a KeyPackage and checks it: form, suite, signatures, credential.
pub(super) fn parse(bytes: &[u8], provider: &Provider) -> Result<(KeyPackage, Person), MlsError> {
    let message = MlsMessageIn::tls_deserialize_exact_bytes(bytes).map_err(|_| MlsError::Invalid)?;
    let MlsMessageBodyIn::KeyPackage(key_package) = message.extract() else {
        return Err(MlsError::Invalid);
    };
    let key_package = key_package
        .validate(provider.crypto(), ProtocolVersion::Mls10)
        .map_err(|_| MlsError::Invalid)?;
    if key_package.ciphersuite() != SUITE {
        return Err(MlsError::Invalid);
    }
    let leaf = key_package.leaf_node();
    let person = credential::check(leaf.credential(), leaf.signature_key().as_slice())?;
    Ok((key_package, person))
}
