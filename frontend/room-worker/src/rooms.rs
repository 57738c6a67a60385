//! What is kept of rooms: a row for each, and the key that signs there.

use rly_browser::{Batch, Store, StoreError, graphemes, signing::SigningKey};
use rly_client::{Changes, room::Room, table};
use rly_protocol::{PublicKey, RoomId, Timestamp};

/// A room that is stored, and its key.
pub(crate) type Kept = (Room, SigningKey);

fn row_of(id: RoomId) -> Vec<u8> {
    [&[table::ROOMS], &id.as_bytes()[..]].concat()
}

/// A room that was stored, if it is there and its key too.
pub(crate) async fn find(store: &Store, id: RoomId, origin: &str) -> Result<Option<Kept>, StoreError> {
    let row = match store.get(&row_of(id)).await {
        // Of a key at rest that is gone.
        Ok(None) | Err(StoreError::Broken) => return Ok(None),
        Ok(Some(row)) => row,
        Err(error) => return Err(error),
    };
    load(store, &row, origin).await
}

async fn load(store: &Store, row: &[u8], origin: &str) -> Result<Option<Kept>, StoreError> {
    let Ok(room) = Room::load(row, origin.to_owned(), graphemes::count) else {
        return Ok(None);
    };
    let key = store.signing_key(&room.key()).await?;
    Ok(key.map(|key| (room, key)))
}

/// Deletes rows that nobody can read and keys that nobody uses. The rooms that something is to be done
/// about although nobody looks.
pub(crate) async fn tidy(store: &Store, origin: &str, now: Timestamp) -> Result<Vec<Kept>, StoreError> {
    let (rows, _) = store.newest(&[table::ROOMS], None, u32::MAX).await?;
    let (mut lost, mut keys, mut pending) = (Vec::new(), Vec::<PublicKey>::new(), Vec::new());
    for (name, row) in rows {
        match load(store, &row, origin).await? {
            Some((room, key)) => {
                keys.push(room.key());
                if room.is_pending(now) {
                    pending.push((room, key));
                }
            }
            None => lost.push(name),
        }
    }
    if !lost.is_empty() {
        let batch = Batch {
            deletes: &lost,
            ..Batch::default()
        };
        store.apply(batch).await?;
    }
    store.forget_keys_but(&keys).await?;
    Ok(pending)
}

/// A new key, kept before anything names it.
pub(crate) async fn new_key(store: &Store) -> Result<(SigningKey, PublicKey), StoreError> {
    let (key, public) = SigningKey::generate().await?;
    store.keep_key(&public, &key).await?;
    Ok((key, public))
}

/// Stores a change.
pub(crate) async fn apply(store: &Store, changes: Changes) -> Result<(), StoreError> {
    let (mut puts, mut deletes) = (Vec::new(), Vec::new());
    for (key, row) in changes.rows {
        match row {
            Some(row) => puts.push((key, row)),
            None => deletes.push(key),
        }
    }
    let batch = Batch {
        delete_prefixes: &changes.delete_prefixes,
        deletes: &deletes,
        puts: &puts,
    };
    store.apply(batch).await
}
