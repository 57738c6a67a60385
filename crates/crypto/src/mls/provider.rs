//! What OpenMLS works with: the primitives of our suite, the caller's randomness, and a storage that
//! can tell what has changed.
//!
//! OpenMLS notes the time beside the secrets of an epoch, but decides nothing by it here.

use super::{MlsError, crypto::Crypto};
use openmls_memory_storage::MemoryStorage;
use openmls_traits::{OpenMlsProvider, random::OpenMlsRand};
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRngCore, RngCore, SeedableRng};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError, RwLockReadGuard, RwLockWriteGuard},
};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

/// Rows as key and value.
pub(super) type Rows = HashMap<Vec<u8>, Vec<u8>>;

/// One for each conversation.
pub struct Provider {
    crypto: Crypto,
    rand: Arc<Rand>,
    storage: MemoryStorage,
    /// The rows as they were when changes were last taken.
    taken: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Provider {
    /// Without rows.
    pub(super) fn new() -> Self {
        Self::with(BTreeMap::new())
    }

    /// With stored rows, as [`Self::take_changes`] gave them.
    ///
    /// # Errors
    /// [`MlsError::Storage`] when one is damaged. OpenMLS' storage would panic on some.
    pub(super) fn load(rows: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Self, MlsError> {
        let rows = rows.into_iter().map(|(key, stored)| {
            let stored = Zeroizing::new(stored);
            let (sum, value) = stored.split_first_chunk::<CHECKSUM>()?;
            (*sum == checksum(&key, value)).then(|| (key, value.to_vec()))
        });
        let rows: Option<BTreeMap<_, _>> = rows.collect();
        rows.map(Self::with).ok_or(MlsError::Storage)
    }

    fn with(taken: BTreeMap<Vec<u8>, Vec<u8>>) -> Self {
        let storage = MemoryStorage::default();
        *write(&storage) = taken.clone().into_iter().collect();
        let rand = Arc::new(Rand::default());
        Self {
            crypto: Crypto::new(Arc::clone(&rand)),
            rand,
            storage,
            taken,
        }
    }

    /// Without rows, and with randomness that stays.
    #[cfg(feature = "vectors")]
    pub(crate) fn with_randomness(rng: &mut dyn CryptoRngCore) -> Self {
        let provider = Self::new();
        provider.rand.set(Some(rng));
        provider
    }

    /// A row of our own.
    pub(super) fn row(&self, key: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        read(&self.storage).get(key).cloned().map(Zeroizing::new)
    }

    /// Calls `run` with randomness that comes from `rng`.
    pub(super) fn with_rng<T>(&self, rng: &mut dyn CryptoRngCore, run: impl FnOnce(&Self) -> T) -> T {
        self.rand.set(Some(rng));
        let result = run(self);
        self.rand.set(None);
        result
    }

    /// Adds or replaces a row of our own.
    pub(super) fn put(&self, key: &[u8], value: Vec<u8>) {
        write(&self.storage).insert(key.to_vec(), value);
    }

    /// All rows as they are.
    pub(super) fn rows(&self) -> Rows {
        read(&self.storage).clone()
    }

    /// Back to what [`Provider::rows`] gave.
    pub(super) fn restore(&self, rows: Rows) {
        *write(&self.storage) = rows;
    }

    /// What is different since the last call: new values, and `None` for rows that are gone.
    pub(super) fn take_changes(&mut self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let rows = read(&self.storage);
        let mut changes = Vec::new();
        for (key, value) in rows.iter() {
            if self.taken.get(key) != Some(value) {
                changes.push((key.clone(), Some([&checksum(key, value), &value[..]].concat())));
                self.taken.insert(key.clone(), value.clone()).map(Zeroizing::new);
            }
        }
        self.taken.retain(|key, value| {
            let kept = rows.contains_key(key);
            if !kept {
                changes.push((key.clone(), None));
                value.zeroize();
            }
            kept
        });
        // A hash map has no order, and a simulation has to replay.
        changes.sort();
        changes
    }
}

const CHECKSUM: usize = 8;

/// Stands before each stored value: the start of SHA-256(length of the key || key || value).
fn checksum(key: &[u8], value: &[u8]) -> [u8; CHECKSUM] {
    let hash = Sha256::new()
        .chain_update((key.len() as u64).to_be_bytes())
        .chain_update(key)
        .chain_update(value)
        .finalize();
    let mut sum = [0; CHECKSUM];
    sum.copy_from_slice(&hash[..CHECKSUM]);
    sum
}

impl Drop for Provider {
    fn drop(&mut self) {
        write(&self.storage).values_mut().for_each(Zeroize::zeroize);
        self.taken.values_mut().for_each(Zeroize::zeroize);
    }
}

// A lock is poisoned by a panic only, and a map is whole even then.
fn read(storage: &MemoryStorage) -> RwLockReadGuard<'_, Rows> {
    storage.values.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(storage: &MemoryStorage) -> RwLockWriteGuard<'_, Rows> {
    storage.values.write().unwrap_or_else(PoisonError::into_inner)
}

impl OpenMlsProvider for Provider {
    type CryptoProvider = Crypto;
    type RandProvider = Rand;
    type StorageProvider = MemoryStorage;

    fn storage(&self) -> &MemoryStorage {
        &self.storage
    }

    fn crypto(&self) -> &Crypto {
        &self.crypto
    }

    fn rand(&self) -> &Rand {
        &self.rand
    }
}

/// Randomness, only while a call lasts that brought some.
#[derive(Default)]
pub struct Rand(Mutex<Option<ChaCha20Rng>>);

/// OpenMLS asked for randomness where we expect none to be needed.
#[derive(Clone, Copy, Debug, Error)]
#[error("no randomness was given")]
pub struct NoRandomness;

impl Rand {
    pub(super) fn set(&self, rng: Option<&mut dyn CryptoRngCore>) {
        let rng = rng.map(|rng| {
            let mut seed = Zeroizing::new([0; 32]);
            rng.fill_bytes(&mut seed[..]);
            ChaCha20Rng::from_seed(*seed)
        });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = rng;
    }

    /// Calls `run` with the randomness.
    pub(super) fn with<T>(&self, run: impl FnOnce(&mut ChaCha20Rng) -> T) -> Result<T, NoRandomness> {
        let mut rng = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rng.as_mut().map(run).ok_or(NoRandomness)
    }

    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        self.with(|rng| rng.fill_bytes(bytes))
    }
}

impl OpenMlsRand for Rand {
    type Error = NoRandomness;

    fn random_array<const N: usize>(&self) -> Result<[u8; N], NoRandomness> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn random_vec(&self, len: usize) -> Result<Vec<u8>, NoRandomness> {
        let mut bytes = vec![0; len];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }
}
