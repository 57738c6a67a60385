//! The store: rows in IndexedDB, sealed at rest.

use crate::{
    StoreError,
    at_rest::AtRest,
    db::{Db, MESSENGER},
};
#[cfg(feature = "worker")]
use crate::{db::ROOMS, signing::SigningKey};
#[cfg(feature = "worker")]
use rly_protocol::PublicKey;

/// Names a row: a byte for the table, then whatever names it there. Ordered bytewise.
pub type Key = Vec<u8>;
/// A row.
pub type Row = (Key, Vec<u8>);

/// One atomic change: first `delete_prefixes`, `deletes`, `puts`.
#[derive(Clone, Copy, Default)]
pub struct Batch<'a> {
    /// Delete every row whose key begins so.
    pub delete_prefixes: &'a [Key],
    /// Delete rows.
    pub deletes: &'a [Key],
    /// Write rows.
    pub puts: &'a [Row],
}

/// Rows in IndexedDB, sealed at rest. What IndexedDB holds in the clear are keys and sizes.
pub struct Store {
    db: Db,
    at_rest: AtRest,
}

impl Store {
    /// Opens it, or makes it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open() -> Result<Self, StoreError> {
        Self::of(MESSENGER).await
    }

    async fn of(name: &str) -> Result<Self, StoreError> {
        let db = Db::open(name).await?;
        let at_rest = AtRest::of(&db).await?;
        Ok(Self { db, at_rest })
    }

    /// Opens that of rooms, or makes it. It is one of its own, so that neither has to know what the other
    /// stores, or when it is erased.
    ///
    /// # Errors
    /// [`StoreError`].
    #[cfg(feature = "worker")]
    pub async fn open_rooms() -> Result<Self, StoreError> {
        Self::of(ROOMS).await
    }

    /// Deletes everything, that of rooms too, and the at-rest keys, whether or not it can be read. Whoever
    /// runs rooms is told: [`erased`](crate::worker::erased).
    ///
    /// # Errors
    /// [`StoreError`]; then the messenger's was not deleted.
    #[cfg(feature = "worker")]
    pub async fn erase() -> Result<(), StoreError> {
        Db::open(ROOMS).await?.erase().await?;
        Db::open(MESSENGER).await?.erase().await?;
        crate::worker::tell_erased();
        Ok(())
    }

    /// Keeps a key that signs.
    ///
    /// # Errors
    /// [`StoreError`].
    #[cfg(feature = "worker")]
    pub async fn keep_key(&self, public: &PublicKey, key: &SigningKey) -> Result<(), StoreError> {
        self.db.set_key(&String::from(*public), Some(&key.0)).await
    }

    /// The key that signs for this one.
    ///
    /// # Errors
    /// [`StoreError`].
    #[cfg(feature = "worker")]
    pub async fn signing_key(&self, public: &PublicKey) -> Result<Option<SigningKey>, StoreError> {
        Ok(self.db.key(&String::from(*public)).await?.map(SigningKey))
    }

    /// Forgets a key that signs.
    ///
    /// # Errors
    /// [`StoreError`].
    #[cfg(feature = "worker")]
    pub async fn forget_key(&self, public: &PublicKey) -> Result<(), StoreError> {
        self.db.set_key(&String::from(*public), None).await
    }

    /// Forgets all keys that sign, but for these.
    ///
    /// # Errors
    /// [`StoreError`].
    #[cfg(feature = "worker")]
    pub async fn forget_keys_but(&self, kept: &[PublicKey]) -> Result<(), StoreError> {
        let kept: Vec<String> = kept.iter().copied().map(String::from).collect();
        for name in self.db.key_names().await? {
            if !kept.contains(&name) {
                self.db.set_key(&name, None).await?;
            }
        }
        Ok(())
    }

    /// Makes the whole change or nothing of it; it is on the disk when this returns.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing was changed.
    pub async fn apply(&self, batch: Batch<'_>) -> Result<(), StoreError> {
        // Sealed before the transaction begins: one that waits for WebCrypto would commit by itself.
        let sealed = self.at_rest.seal(batch.puts).await?;
        let sealed = Batch {
            puts: &sealed,
            ..batch
        };
        self.db.apply(sealed).await
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(sealed) = self.db.get(key).await? else {
            return Ok(None);
        };
        let opened = self.at_rest.open(vec![(key.to_vec(), sealed)]).await?;
        Ok(opened.into_iter().next().map(|(_, value)| value))
    }

    /// All rows whose keys start with a prefix, by rising keys.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn with_prefix(&self, prefix: &[u8]) -> Result<Vec<Row>, StoreError> {
        self.at_rest.open(self.db.with_prefix(prefix).await?).await
    }

    /// All rows but those of one table, by rising keys.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn all_but(&self, table: u8) -> Result<Vec<Row>, StoreError> {
        self.at_rest.open(self.db.all_but(table).await?).await
    }

    /// The newest `limit` rows whose keys start with a prefix and are below `before`, by rising
    /// keys, and whether there are older ones. The value of one that is damaged is empty.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn newest(
        &self,
        prefix: &[u8],
        before: Option<&[u8]>,
        limit: u32,
    ) -> Result<(Vec<Row>, bool), StoreError> {
        let limit = limit as usize;
        let mut sealed = self.db.last(prefix, before, limit.saturating_add(1)).await?;
        let more = sealed.len() > limit;
        sealed.truncate(limit);
        sealed.reverse();
        Ok((self.at_rest.open_each(sealed).await?, more))
    }
}
