//! The folder that holds the database and the server's key, used by one process at a time.

use rly_relay::Keyring;
use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};
use thiserror::Error;
use zeroize::Zeroizing;

const DATABASE: &str = "rly.sqlite";
const KEY: &str = "server.key";
const LOCK: &str = "lock";
const KEY_BYTES: usize = 32;

/// The folder, held until dropped.
pub(crate) struct DataDir {
    path: PathBuf,
    // The lock lives as long as the open file.
    _lock: File,
}

/// The folder or the key cannot be used. Each names the path.
#[derive(Debug, Error)]
pub enum DataDirError {
    /// The folder or the lock cannot be made or opened.
    #[error("the data folder {0} cannot be used: {1}")]
    Folder(PathBuf, io::Error),
    /// Another process has the lock.
    #[error("another server uses the data folder {0}")]
    InUse(PathBuf),
    /// The key file cannot be read or made.
    #[error("the key file {0} cannot be used: {1}")]
    Key(PathBuf, io::Error),
    /// Not 32 bytes.
    #[error("the key file {0} does not hold exactly 32 bytes")]
    KeySize(PathBuf),
    /// A fresh key would not match the database, so none is made.
    #[error("there is a database in {1}, but its key file {0} is missing")]
    KeyMissing(PathBuf, PathBuf),
    /// The relay refuses the key.
    #[error("the key file {0} does not hold a usable key")]
    KeyRefused(PathBuf),
}

impl DataDir {
    /// Opens the folder, made if need be for its owner alone, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, DataDirError> {
        let folder = |error| DataDirError::Folder(path.into(), error);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(folder)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(folder)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.into(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse(path.into())),
            Err(TryLockError::Error(error)) => Err(folder(error)),
        }
    }

    /// Where the database is.
    pub(crate) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// The server's keys: the present one, from `key_file` or the folder, and earlier ones. The present
    /// one is made at the first start, and in the folder also where it was moved away to be an earlier
    /// one.
    pub(crate) fn keyring(&self, key_file: Option<&Path>, old: &[PathBuf]) -> Result<Keyring, DataDirError> {
        // First of all, so that a typing error in their names makes no key.
        let old: Vec<(&PathBuf, Secret)> = (old.iter())
            .map(|path| match read_key(path) {
                Ok(secret) => Ok((path, secret?)),
                Err(error) => Err(DataDirError::Key(path.clone(), error)),
            })
            .collect::<Result<_, _>>()?;
        let path = key_file.map_or_else(|| self.path.join(KEY), Path::to_path_buf);
        let secret = match read_key(&path) {
            Ok(secret) => secret?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let moved = key_file.is_none() && !old.is_empty();
                if self.database().exists() && !moved {
                    return Err(DataDirError::KeyMissing(path, self.path.clone()));
                }
                make_key(&path).map_err(|error| DataDirError::Key(path.clone(), error))?
            }
            Err(error) => return Err(DataDirError::Key(path, error)),
        };
        let keyring = Keyring::from_secret(*secret).map_err(|_| DataDirError::KeyRefused(path))?;
        old.into_iter().try_fold(keyring, |keyring, (path, secret)| {
            keyring
                .and_older(*secret)
                .map_err(|_| DataDirError::KeyRefused(path.clone()))
        })
    }
}

/// The keys that the nodes of a cluster share. None is made: each node would have another one.
pub(crate) fn shared_keyring(key_file: &Path, old: &[PathBuf]) -> Result<Keyring, DataDirError> {
    let read = |path: &Path| match read_key(path) {
        Ok(secret) => secret,
        Err(error) => Err(DataDirError::Key(path.into(), error)),
    };
    let refused = |path: &Path| DataDirError::KeyRefused(path.into());
    let keyring = Keyring::from_secret(*read(key_file)?).map_err(|_| refused(key_file))?;
    old.iter().try_fold(keyring, |keyring, path| {
        keyring.and_older(*read(path)?).map_err(|_| refused(path))
    })
}

type Secret = Zeroizing<[u8; KEY_BYTES]>;

fn read_key(path: &Path) -> io::Result<Result<Secret, DataDirError>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_BYTES + 1));
    File::open(path)?
        .take(KEY_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(<[u8; KEY_BYTES]>::try_from(&bytes[..])
        .map(Zeroizing::new)
        .map_err(|_| DataDirError::KeySize(path.into())))
}

/// Under another name first: a power cut leaves a whole key or none.
fn make_key(path: &Path) -> io::Result<Secret> {
    let secret = Zeroizing::new(Keyring::generate());
    let unfinished = path.with_extension("unfinished");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(&secret[..])?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    match path.parent() {
        Some(folder) if folder != Path::new("") => File::open(folder)?.sync_all()?,
        _ => File::open(".")?.sync_all()?,
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn folder_and_key_are_for_their_owner_alone_and_stay() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a/data");
        let data = DataDir::open(&path).unwrap();
        assert!(matches!(DataDir::open(&path), Err(DataDirError::InUse(_))));
        let first = data.keyring(None, &[]).unwrap().fingerprint();
        assert_eq!((mode(&path), mode(&path.join(KEY))), (0o700, 0o600));
        drop(data);
        let again = DataDir::open(&path)
            .unwrap()
            .keyring(None, &[])
            .unwrap()
            .fingerprint();
        assert_eq!(first, again);
    }

    #[test]
    fn a_wrong_or_missing_key_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let data = DataDir::open(temp.path()).unwrap();
        let key = temp.path().join("k");
        for size in [0, 31, 33] {
            fs::write(&key, vec![1; size]).unwrap();
            assert!(matches!(
                data.keyring(Some(&key), &[]),
                Err(DataDirError::KeySize(_))
            ));
            let old = [key.clone()];
            assert!(matches!(data.keyring(None, &old), Err(DataDirError::KeySize(_))));
        }
        fs::write(data.database(), "").unwrap();
        assert!(matches!(
            data.keyring(None, &[]),
            Err(DataDirError::KeyMissing(..))
        ));
    }

    #[test]
    fn a_key_that_was_moved_away_is_followed_by_a_new_one() {
        let temp = tempfile::tempdir().unwrap();
        let data = DataDir::open(temp.path()).unwrap();
        let first = data.keyring(None, &[]).unwrap().fingerprint();
        fs::write(data.database(), "").unwrap();
        let old = [temp.path().join("server.key.1")];
        // Not yet moved.
        assert!(matches!(data.keyring(None, &old), Err(DataDirError::Key(..))));
        fs::rename(temp.path().join(KEY), &old[0]).unwrap();
        assert!(matches!(
            data.keyring(None, &[]),
            Err(DataDirError::KeyMissing(..))
        ));
        // A name of one's own may be a typing error.
        let own = temp.path().join("own.key");
        assert!(matches!(
            data.keyring(Some(&own), &old),
            Err(DataDirError::KeyMissing(..))
        ));
        let second = data.keyring(None, &old).unwrap().fingerprint();
        assert_ne!(first, second);
        assert_eq!(second, data.keyring(None, &old).unwrap().fingerprint());
    }
}
