//! The database's form, one file for each change. Files that were released are never changed.

mod m001_rows_and_keys;

use wasm_bindgen::JsValue;
use web_sys::IdbDatabase;

/// A step from one version of the database to the next.
type Migration = fn(&IdbDatabase) -> Result<(), JsValue>;

const MIGRATIONS: &[Migration] = &[m001_rows_and_keys::up];

/// The version that this app writes.
pub(crate) const VERSION: u32 = MIGRATIONS.len() as u32;

/// Brings a database from an older version here, within the upgrade's transaction.
pub(crate) fn upgrade(db: &IdbDatabase, from: u32) -> Result<(), JsValue> {
    MIGRATIONS.iter().skip(from as usize).try_for_each(|up| up(db))
}
