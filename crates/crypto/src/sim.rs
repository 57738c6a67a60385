//! The SIM: one seed, from which every long-lived key is derived.

use crate::{VaultKey, derive, ecdsa};
use core::fmt;
use p256::ecdsa::SigningKey;
use rand_core::CryptoRngCore;
use rly_protocol::{PublicKey, QueueId, Signature, frame};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const SIGNING_KEY: &[u8] = b"rly sim signing key v1\0";
const READER_KEY: &[u8] = b"rly sim reader key v1\0";
const VAULT_READER_KEY: &[u8] = b"rly sim vault reader key v1\0";
const VAULT_KEY: &[u8] = b"rly sim vault key v1\0";

/// Who one is: a seed of 32 bytes.
#[derive(Clone)]
pub struct Sim {
    // Boxed, so that moving a SIM leaves no copies behind.
    seed: Box<Zeroizing<[u8; 32]>>,
    signing: Box<SigningKey>,
}

impl Sim {
    /// A new one.
    pub fn generate(rng: &mut dyn CryptoRngCore) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut seed[..]);
        Self::from_seed(&seed)
    }

    /// The one that a seed makes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self {
            seed: Box::new(Zeroizing::new(*seed)),
            signing: Box::new(derive_key_pair(seed, &[SIGNING_KEY])),
        }
    }

    /// The seed, to be stored where only its owner reads it.
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// What contacts know this SIM by.
    pub fn public_key(&self) -> PublicKey {
        ecdsa::public_key(&self.signing)
    }

    /// Signs with the key that contacts know: ECDSA P-256 with SHA-256. `message` begins with a
    /// label of its purpose.
    pub fn sign(&self, message: &[u8]) -> Signature {
        ecdsa::sign(&self.signing, message)
    }

    /// The key that reads one mailbox. Each mailbox has a random salt of its own, so that the
    /// server cannot tell that two have the same owner.
    pub fn reader_key(&self, salt: &[u8; 16]) -> ReaderKey {
        ReaderKey(Box::new(derive_key_pair(&self.seed, &[READER_KEY, salt])))
    }

    /// The key that reads and writes the vault.
    pub fn vault_reader_key(&self) -> ReaderKey {
        ReaderKey(Box::new(derive_key_pair(&self.seed, &[VAULT_READER_KEY])))
    }

    /// The key that seals what is in the vault.
    pub fn vault_key(&self) -> VaultKey {
        VaultKey::new(derive::hkdf(&self.seed[..], &[VAULT_KEY]))
    }
}

fn derive_key_pair(seed: &[u8; 32], info: &[&[u8]]) -> SigningKey {
    derive::key_pair(&derive::hkdf(seed, info)[..])
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed: _, signing: _ } = self;
        f.write_str("Sim(..)")
    }
}

/// Proves to the server that one may read a queue. It signs nothing else.
#[derive(Clone)]
pub struct ReaderKey(Box<SigningKey>);

impl ReaderKey {
    /// What the server knows it by.
    pub fn public_key(&self) -> PublicKey {
        ecdsa::public_key(&self.0)
    }

    /// The proof for one queue on one connection: see [`frame::proof_message`].
    pub fn prove(&self, origin: &str, nonce: &[u8; 32], queue: &QueueId) -> Signature {
        ecdsa::sign(&self.0, &frame::proof_message(origin, nonce, queue))
    }
}

impl fmt::Debug for ReaderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("ReaderKey(..)")
    }
}

/// The id of the vault that a key reads: the first 16 bytes of the SHA-256 of
/// [`frame::vault_id_message`].
pub fn vault_id(key: &PublicKey) -> QueueId {
    let hash: [u8; 32] = Sha256::digest(frame::vault_id_message(key)).into();
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    QueueId(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        testing::{hex, rng},
        verify,
    };

    /// Every SIM file in the world depends on these: they never change.
    #[test]
    fn derivations_are_fixed() {
        let sim = Sim::from_seed(&[7; 32]);
        let fixed = [
            hex(&sim.public_key().as_bytes()[..33]),
            hex(&sim.reader_key(&[1; 16]).public_key().as_bytes()[..33]),
            hex(&sim.reader_key(&[2; 16]).public_key().as_bytes()[..33]),
            hex(&sim.vault_reader_key().public_key().as_bytes()[..33]),
            hex(vault_id(&sim.vault_reader_key().public_key()).as_bytes()),
            hex(sim.vault_key().as_bytes()),
        ];
        assert_eq!(
            fixed,
            [
                "04db71ee009d266039bec5f7027b8704ee1c76de27cdfc70a95f1dece4ad68e7c7",
                "0431af6f803c5fba050d0f88a90fc49a1ab5f345e5d384385a92e69fcf983ef2a6",
                "04272812f3c40cc940a595cb0bd7064891c09e4ed0b88533d636a21e80f96b2ab2",
                "044c4ea7eae0d60d18f5a7a9f79e0d4672d42c6648d7f94de7004f3ab3be2bafdd",
                "ecfeab9c51d8ae93908dc61175ca433b",
                "39e4d42ba3583b1b52bcc003b79f23e10bcd2e25c776e93dcf971971d8478f95"
            ]
        );
    }

    #[test]
    fn a_seed_makes_the_same_sim_again() {
        let sim = Sim::generate(&mut rng(1));
        let again = Sim::from_seed(sim.seed());
        assert_eq!(sim.public_key(), again.public_key());
        assert_ne!(sim.public_key(), Sim::generate(&mut rng(2)).public_key());
        assert_eq!(verify(&again.public_key(), b"m", &sim.sign(b"m")), Ok(()));
    }

    #[test]
    fn a_proof_is_for_one_connection_to_one_queue_of_one_server() {
        let key = Sim::generate(&mut rng(1)).reader_key(&[0; 16]);
        let (nonce, queue) = ([5; 32], QueueId([6; 16]));
        let proof = key.prove("https://a.example", &nonce, &queue);
        let good = |origin: &str, nonce: &[u8; 32], queue: &QueueId| {
            verify(
                &key.public_key(),
                &frame::proof_message(origin, nonce, queue),
                &proof,
            )
            .is_ok()
        };
        assert!(good("https://a.example", &nonce, &queue));
        assert!(!good("https://b.example", &nonce, &queue));
        assert!(!good("https://a.example", &[4; 32], &queue));
        assert!(!good("https://a.example", &nonce, &QueueId([7; 16])));
    }

    #[test]
    fn debug_shows_no_secrets() {
        let sim = Sim::generate(&mut rng(1));
        assert_eq!(format!("{sim:?}"), "Sim(..)");
        assert_eq!(format!("{:?}", sim.vault_reader_key()), "ReaderKey(..)");
        assert_eq!(format!("{:?}", sim.vault_key()), "VaultKey(..)");
    }
}
