//! A database of IndexedDB: rows under binary keys, as they are (sealed), and the at-rest key.

use crate::{Batch, Row, StoreError, global, migrations, requests};
use js_sys::{Array, Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue, closure::Closure, prelude::wasm_bindgen};
use web_sys::{
    CryptoKey, Event, IdbCursorDirection, IdbCursorWithValue, IdbDatabase, IdbKeyRange, IdbObjectStore,
    IdbOpenDbRequest, IdbTransaction, IdbVersionChangeEvent,
};

/// The messenger's.
pub(crate) const MESSENGER: &str = "rly";
/// That of rooms: rows, and the keys that sign in them.
#[cfg(feature = "worker")]
pub(crate) const ROOMS: &str = "rly-rooms";
const ROWS: &str = "rows";
const KEYS: &str = "keys";
const AT_REST: &str = "at-rest";

#[wasm_bindgen]
extern "C" {
    /// web-sys has the options only behind its flag for unstable interfaces.
    #[wasm_bindgen(extends = IdbDatabase)]
    type DatabaseWithOptions;

    #[wasm_bindgen(method, catch)]
    fn transaction(
        this: &DatabaseWithOptions,
        store: &str,
        mode: &str,
        options: &Object,
    ) -> Result<IdbTransaction, JsValue>;

    #[wasm_bindgen(method, catch, js_name = transaction)]
    fn transaction_of(
        this: &DatabaseWithOptions,
        stores: &Array,
        mode: &str,
        options: &Object,
    ) -> Result<IdbTransaction, JsValue>;
}

/// An open database.
pub(crate) struct Db(DatabaseWithOptions);

impl Db {
    /// Opens the database, in the form that this version of the app writes.
    pub(crate) async fn open(name: &str) -> Result<Self, StoreError> {
        let request = global::indexed_db()?
            .open_with_u32(name, migrations::VERSION)
            .map_err(|error| StoreError::from_js(&error))?;
        let on_upgrade = Closure::once(upgrade);
        request.set_onupgradeneeded(Some(on_upgrade.as_ref().unchecked_ref()));
        let opened = requests::opened(&request).await;
        if opened == Err(StoreError::Blocked) {
            close_when_opened(&request, on_upgrade);
        }
        let db: DatabaseWithOptions = opened?.unchecked_into();
        // A newer version of the app wants to change the form: let it. What is asked of this
        // connection afterwards fails, and opening it again says `Newer`.
        let on_change = Closure::<dyn Fn(Event)>::new(|event: Event| {
            if let Some(db) = event.target() {
                db.unchecked_into::<IdbDatabase>().close();
            }
        });
        db.set_onversionchange(Some(on_change.into_js_value().unchecked_ref()));
        Ok(Self(db))
    }

    /// The key that seals the rows.
    pub(crate) async fn at_rest_key(&self) -> Result<Option<CryptoKey>, StoreError> {
        self.key(AT_REST).await
    }

    /// The key of this name.
    pub(crate) async fn key(&self, name: &str) -> Result<Option<CryptoKey>, StoreError> {
        let store = self.read(KEYS)?;
        let request = store.get(&name.into()).map_err(failed)?;
        let key = requests::result(&request).await?;
        if key.is_undefined() {
            return Ok(None);
        }
        key.dyn_into().map(Some).map_err(|_| StoreError::Broken)
    }

    /// Keeps a key under a name, or forgets it.
    #[cfg(feature = "worker")]
    pub(crate) async fn set_key(&self, name: &str, key: Option<&CryptoKey>) -> Result<(), StoreError> {
        let transaction = self.write(KEYS)?;
        let store = transaction.object_store(KEYS).map_err(failed)?;
        match key {
            Some(key) => store.put_with_key(key, &name.into()),
            None => store.delete(&name.into()),
        }
        .map_err(failed)?;
        requests::completed(&transaction).await
    }

    /// The names of all keys but the one at rest.
    #[cfg(feature = "worker")]
    pub(crate) async fn key_names(&self) -> Result<Vec<String>, StoreError> {
        let request = self.read(KEYS)?.get_all_keys().map_err(failed)?;
        let names = Array::from(&requests::result(&request).await?);
        let names = names.iter().filter_map(|name| name.as_string());
        Ok(names.filter(|name| name != AT_REST).collect())
    }

    /// Keeps this key, unless another tab was faster: the key that is kept.
    pub(crate) async fn keep_at_rest_key(&self, key: CryptoKey) -> Result<CryptoKey, StoreError> {
        let transaction = self.write(KEYS)?;
        let store = transaction.object_store(KEYS).map_err(failed)?;
        let request = store.get(&AT_REST.into()).map_err(failed)?;
        let kept = requests::result(&request).await?;
        if !kept.is_undefined() {
            return kept.dyn_into().map_err(|_| StoreError::Broken);
        }
        store.put_with_key(&key, &AT_REST.into()).map_err(failed)?;
        requests::completed(&transaction).await?;
        Ok(key)
    }

    /// Writes everything or nothing, and returns when it is on the disk.
    pub(crate) async fn apply(&self, batch: Batch<'_>) -> Result<(), StoreError> {
        let transaction = self.write(ROWS)?;
        let requested: Result<(), JsValue> = (|| {
            let store = transaction.object_store(ROWS)?;
            for prefix in batch.delete_prefixes {
                store.delete(&range(prefix, None)?.into())?;
            }
            for key in batch.deletes {
                store.delete(&binary(key))?;
            }
            for (key, value) in batch.puts {
                store.put_with_key(&binary(value), &binary(key))?;
            }
            Ok(())
        })();
        if let Err(error) = requested {
            // Half of it must not be committed. That it is over already is as good.
            let _ = transaction.abort();
            return Err(failed(error));
        }
        requests::completed(&transaction).await
    }

    /// Deletes the rows and all keys.
    #[cfg(feature = "worker")]
    pub(crate) async fn erase(&self) -> Result<(), StoreError> {
        let stores = Array::of2(&ROWS.into(), &KEYS.into());
        let transaction = self
            .0
            .transaction_of(&stores, "readwrite", &strict()?)
            .map_err(failed)?;
        for store in [ROWS, KEYS] {
            let store = transaction.object_store(store).map_err(failed)?;
            store.clear().map_err(failed)?;
        }
        requests::completed(&transaction).await
    }

    /// One value.
    pub(crate) async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let request = self.read(ROWS)?.get(&binary(key)).map_err(failed)?;
        let value = requests::result(&request).await?;
        Ok((!value.is_undefined()).then(|| Uint8Array::new(&value).to_vec()))
    }

    /// All rows whose keys start with a prefix.
    pub(crate) async fn with_prefix(&self, prefix: &[u8]) -> Result<Vec<Row>, StoreError> {
        let range = range(prefix, None).map_err(failed)?;
        rows(&self.read(ROWS)?, &range).await
    }

    /// All rows except those whose keys start with this byte.
    pub(crate) async fn all_but(&self, table: u8) -> Result<Vec<Row>, StoreError> {
        let mut found = Vec::new();
        let below = IdbKeyRange::upper_bound_with_open(&binary(&[table]), true).map_err(failed)?;
        found.extend(rows(&self.read(ROWS)?, &below).await?);
        if let Some(next) = table.checked_add(1) {
            let above = IdbKeyRange::lower_bound(&binary(&[next])).map_err(failed)?;
            found.extend(rows(&self.read(ROWS)?, &above).await?);
        }
        Ok(found)
    }

    /// The last rows whose keys start with a prefix and are below `before`, the last one first.
    pub(crate) async fn last(
        &self,
        prefix: &[u8],
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let mut found = Vec::new();
        // An empty range is not a range for IndexedDB, but an exception.
        if limit == 0 || before.is_some_and(|before| before <= prefix) {
            return Ok(found);
        }
        let range = range(prefix, before).map_err(failed)?;
        let request = self
            .read(ROWS)?
            .open_cursor_with_range_and_direction(&range, IdbCursorDirection::Prev)
            .map_err(failed)?;
        loop {
            let result = requests::result(&request).await?;
            let Ok(cursor) = result.dyn_into::<IdbCursorWithValue>() else {
                return Ok(found);
            };
            let key = cursor.key().map_err(failed)?;
            let value = cursor.value().map_err(failed)?;
            found.push((Uint8Array::new(&key).to_vec(), Uint8Array::new(&value).to_vec()));
            if found.len() == limit {
                return Ok(found);
            }
            cursor.continue_().map_err(failed)?;
        }
    }

    fn read(&self, store: &str) -> Result<IdbObjectStore, StoreError> {
        self.0
            .transaction_with_str(store)
            .and_then(|transaction| transaction.object_store(store))
            .map_err(failed)
    }

    fn write(&self, store: &str) -> Result<IdbTransaction, StoreError> {
        self.0.transaction(store, "readwrite", &strict()?).map_err(failed)
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A transaction that has ended is on the disk.
fn strict() -> Result<Object, StoreError> {
    let options = Object::new();
    Reflect::set(&options, &"durability".into(), &"strict".into()).map_err(failed)?;
    Ok(options)
}

fn upgrade(event: IdbVersionChangeEvent) {
    let Some(request) = event.target() else { return };
    let request: IdbOpenDbRequest = request.unchecked_into();
    let from = event.old_version() as u32;
    let upgraded = request
        .result()
        .and_then(|db| migrations::upgrade(db.unchecked_ref(), from));
    if upgraded.is_err() {
        // Opening then fails, and the database stays as it was.
        if let Some(transaction) = request.transaction() {
            let _ = transaction.abort();
        }
    }
}

/// A request that is blocked still opens the database one day; nobody waits for it any more.
fn close_when_opened(request: &IdbOpenDbRequest, on_upgrade: Closure<dyn FnMut(IdbVersionChangeEvent)>) {
    on_upgrade.into_js_value();
    let on_opened = Closure::once_into_js(|event: Event| {
        let request = event.target().map(JsCast::unchecked_into::<IdbOpenDbRequest>);
        if let Some(Ok(db)) = request.map(|request| request.result()) {
            db.unchecked_into::<IdbDatabase>().close();
        }
    });
    request.set_onsuccess(Some(on_opened.unchecked_ref()));
}

/// Keys and values of a range, by rising keys. Both are asked for before either is awaited, so they
/// are of one moment.
async fn rows(store: &IdbObjectStore, range: &IdbKeyRange) -> Result<Vec<Row>, StoreError> {
    let keys = store.get_all_keys_with_key(range).map_err(failed)?;
    let values = store.get_all_with_key(range).map_err(failed)?;
    // Requests of a transaction end in their order: once the second has a result, both have.
    let values = Array::from(&requests::result(&values).await?);
    let keys = Array::from(&keys.result().map_err(failed)?);
    Ok(keys
        .iter()
        .zip(values.iter())
        .map(|(key, value)| (Uint8Array::new(&key).to_vec(), Uint8Array::new(&value).to_vec()))
        .collect())
}

/// Keys that start with a prefix and are below `before`.
fn range(prefix: &[u8], before: Option<&[u8]>) -> Result<IdbKeyRange, JsValue> {
    let lower = binary(prefix);
    let end = after_prefix(prefix);
    let upper = match (before, end.as_deref()) {
        (Some(before), Some(end)) => Some(before.min(end)),
        (before, end) => before.or(end),
    };
    match upper {
        Some(upper) => IdbKeyRange::bound_with_lower_open_and_upper_open(&lower, &binary(upper), false, true),
        None => IdbKeyRange::lower_bound(&lower),
    }
}

/// The lowest key above all that start with a prefix; `None` if there is none.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

fn binary(bytes: &[u8]) -> Uint8Array {
    Uint8Array::from(bytes)
}

fn failed(error: JsValue) -> StoreError {
    StoreError::from_js(&error)
}

#[cfg(test)]
mod tests {
    use super::after_prefix;

    #[test]
    fn a_prefix_ends_where_the_next_one_begins() {
        assert_eq!(after_prefix(&[1, 2]), Some(vec![1, 3]));
        assert_eq!(after_prefix(&[1, 255]), Some(vec![2]));
        assert_eq!(after_prefix(&[255, 255]), None);
        assert_eq!(after_prefix(&[]), None);
    }
}
