//! The SIM file: a line of text that is the whole SIM, sealed with a password if one is set.
//!
//! Text = `rly-sim-1.` and base64url of: kind byte, then for kind 0 (open) the content; for kind 1
//! (sealed) salt (16), Argon2id's memory in KiB, passes and lanes (`u32` each), nonce (12) and the
//! AES-256-GCM ciphertext of the content, with all before the nonce and the text's prefix
//! authenticated; then the first 8 bytes of the SHA-256 of all before, which tell damage from a
//! wrong password.

use crate::{Sim, sealed};
use argon2::{Algorithm, Argon2, Params, Version};
use bytes::Bytes;
use core::fmt;
use rand_core::CryptoRngCore;
use rly_protocol::{DecodeError, Encode, Reader, Timestamp, Writer, from_base64url, record, to_base64url};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

const FAMILY: &str = "rly-sim-";
const PREFIX: &str = "rly-sim-1.";
const CHECKSUM: usize = 8;
const OPEN: u8 = 0;
const SEALED: u8 = 1;

/// What a new file costs to open: OWASP's second choice for Argon2id, 19 MiB, 2 passes, 1 lane.
const COST: Cost = Cost {
    memory: 19_456,
    passes: 2,
    lanes: 1,
};
/// The most that a file may cost to open, so that a prepared one cannot exhaust a device.
const COST_MAX: Cost = Cost {
    memory: 262_144,
    passes: 16,
    lanes: 8,
};

/// Why a text is not a SIM.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum SimFileError {
    /// Something else, or damaged.
    #[error("this is not a SIM file, or it is damaged")]
    NotASimFile,
    /// Made by a newer version of the program.
    #[error("this SIM file was made by a newer version")]
    Newer,
    /// Sealed, and no password was given.
    #[error("this SIM file needs its password")]
    PasswordNeeded,
    /// Not the password that it was sealed with.
    #[error("the password is wrong")]
    PasswordWrong,
}

impl From<DecodeError> for SimFileError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Version(_) => Self::Newer,
            _ => Self::NotASimFile,
        }
    }
}

/// What is in a SIM file.
pub struct SimFile {
    /// Who.
    pub sim: Sim,
    /// What they call themselves.
    pub name: String,
    /// The server that holds the vault: scheme, host, port.
    pub origin: String,
    /// When the SIM was made.
    pub created_at: Timestamp,
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sim: _,
            name: _,
            origin: _,
            created_at,
        } = self;
        f.debug_struct("SimFile")
            .field("created_at", created_at)
            .finish_non_exhaustive()
    }
}

record! {
    struct Content = 1 {
        seed: [u8; 32],
        name: String,
        origin: String,
        created_at: Timestamp,
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        self.seed.zeroize();
    }
}

record! {
    #[derive(Clone, Copy, PartialEq, Eq)]
    struct Cost {
        memory: u32,
        passes: u32,
        lanes: u32,
    }
}

impl Cost {
    fn params(self) -> Option<Params> {
        // First the bounds: Argon2's own checks multiply.
        let bounded =
            self.memory <= COST_MAX.memory && self.passes <= COST_MAX.passes && self.lanes <= COST_MAX.lanes;
        if !bounded {
            return None;
        }
        Params::new(self.memory, self.passes, self.lanes, Some(32)).ok()
    }
}

/// What a password became. Who opened or sealed a file keeps it, encrypted, so that a later export
/// under the same password need not ask for it.
#[derive(Clone)]
pub struct FileKey {
    salt: [u8; 16],
    cost: Cost,
    key: Box<Zeroizing<[u8; 32]>>,
}

impl FileKey {
    /// From a new password. Slow on purpose.
    // Argon2 refuses bad costs, which these are not, and passwords from 4 GiB up.
    #[allow(clippy::expect_used)]
    pub fn derive(password: &str, rng: &mut dyn CryptoRngCore) -> Self {
        let mut salt = [0; 16];
        rng.fill_bytes(&mut salt);
        Self::from_password(password, salt, COST).expect("a password that fits into memory")
    }

    fn from_password(password: &str, salt: [u8; 16], cost: Cost) -> Option<Self> {
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, cost.params()?)
            .hash_password_into(password.as_bytes(), &salt, &mut key[..])
            .ok()?;
        let key = Box::new(key);
        Some(Self { salt, cost, key })
    }

    /// For the encrypted store.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut to = Writer::with_capacity(1 + 16 + 12 + 32);
        to.put(&1u8);
        to.put(&self.salt);
        to.put(&self.cost);
        to.put::<[u8; 32]>(&self.key);
        Zeroizing::new(to.finish())
    }

    /// From the encrypted store.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = reader(Zeroizing::new(bytes.to_vec()));
        match from.take::<u8>()? {
            1 => {}
            other => return Err(DecodeError::Version(other)),
        }
        let (salt, cost) = from.take()?;
        let key = Box::new(Zeroizing::new(from.take()?));
        from.end()?;
        Ok(Self { salt, cost, key })
    }

    /// What stands in the file before the nonce.
    fn header(&self) -> Vec<u8> {
        let mut to = Writer::default();
        to.put(&SEALED);
        to.put(&self.salt);
        to.put(&self.cost);
        to.finish()
    }

    /// What is authenticated with the content.
    fn aad(&self) -> Vec<u8> {
        [PREFIX.as_bytes(), &self.header()].concat()
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            salt: _,
            cost: _,
            key: _,
        } = self;
        f.write_str("FileKey(..)")
    }
}

/// A reader whose bytes are wiped when the last of them is dropped.
fn reader(bytes: Zeroizing<Vec<u8>>) -> Reader {
    Reader::new(Bytes::from_owner(bytes))
}

impl SimFile {
    /// The text of the file: sealed if there is a key, else readable by whoever has it.
    pub fn seal(&self, key: Option<&FileKey>, rng: &mut dyn CryptoRngCore) -> String {
        let content = Zeroizing::new(self.content().to_bytes());
        let mut body = match key {
            None => Zeroizing::new([&[OPEN], &content[..]].concat()),
            Some(key) => Zeroizing::new(sealed_body(key, &content, rng)),
        };
        let sum = checksum(&body);
        body.extend_from_slice(&sum);
        format!("{PREFIX}{}", to_base64url(&body))
    }

    /// Reads the text of a file. White space and line breaks do not matter. With the SIM comes the
    /// key that it was sealed with, if it was.
    ///
    /// # Errors
    /// [`SimFileError`].
    pub fn open(text: &str, password: Option<&str>) -> Result<(Self, Option<FileKey>), SimFileError> {
        let mut from = reader(body(text)?);
        match from.take::<u8>()? {
            OPEN => Ok((Self::from_content(from)?, None)),
            SEALED => {
                let (salt, cost): ([u8; 16], Cost) = from.take()?;
                cost.params().ok_or(SimFileError::NotASimFile)?;
                let nonce: [u8; 12] = from.take()?;
                let ciphertext = from.raw(from.remaining())?;
                let password = password.ok_or(SimFileError::PasswordNeeded)?;
                let key = FileKey::from_password(password, salt, cost).ok_or(SimFileError::PasswordWrong)?;
                let content = sealed::decrypt(&key.key, &nonce, &key.aad(), &ciphertext)
                    .ok_or(SimFileError::PasswordWrong)?;
                Ok((Self::from_content(reader(content))?, Some(key)))
            }
            _ => Err(SimFileError::Newer),
        }
    }

    fn content(&self) -> Content {
        Content {
            seed: *self.sim.seed(),
            name: self.name.clone(),
            origin: self.origin.clone(),
            created_at: self.created_at,
        }
    }

    fn from_content(mut from: Reader) -> Result<Self, SimFileError> {
        let mut content: Content = from.take()?;
        from.end()?;
        Ok(Self {
            sim: Sim::from_seed(&content.seed),
            name: core::mem::take(&mut content.name),
            origin: core::mem::take(&mut content.origin),
            created_at: content.created_at,
        })
    }
}

// AES-GCM refuses only more than 64 GiB.
#[allow(clippy::expect_used)]
fn sealed_body(key: &FileKey, content: &[u8], rng: &mut dyn CryptoRngCore) -> Vec<u8> {
    let mut nonce = [0; 12];
    rng.fill_bytes(&mut nonce);
    let ciphertext =
        sealed::encrypt(&key.key, &nonce, &key.aad(), content).expect("a content that fits into memory");
    [&key.header(), &nonce[..], &ciphertext].concat()
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM] {
    let hash = Sha256::new().chain_update(PREFIX).chain_update(body).finalize();
    let mut sum = [0; CHECKSUM];
    sum.copy_from_slice(&hash[..CHECKSUM]);
    sum
}

/// The bytes in a text, without the checksum, which is right.
fn body(text: &str) -> Result<Zeroizing<Vec<u8>>, SimFileError> {
    let text: Zeroizing<String> = Zeroizing::new(text.split_whitespace().collect());
    let rest = text.strip_prefix(FAMILY).ok_or(SimFileError::NotASimFile)?;
    let encoded = match rest.split_once('.') {
        Some(("1", encoded)) => encoded,
        Some((version, _)) if version.parse::<u32>().is_ok_and(|version| version > 1) => {
            return Err(SimFileError::Newer);
        }
        _ => return Err(SimFileError::NotASimFile),
    };
    let bytes = from_base64url(encoded)
        .map(Zeroizing::new)
        .map_err(|_| SimFileError::NotASimFile)?;
    let (body, sum) = bytes
        .split_last_chunk::<CHECKSUM>()
        .ok_or(SimFileError::NotASimFile)?;
    if checksum(body) != *sum {
        return Err(SimFileError::NotASimFile);
    }
    Ok(Zeroizing::new(body.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rng;
    use proptest::prelude::*;

    fn file() -> SimFile {
        SimFile {
            sim: Sim::from_seed(&[7; 32]),
            name: "Ada Lovelace".into(),
            origin: "https://rly.example".into(),
            created_at: Timestamp(1_700_000_000_000),
        }
    }

    fn same(a: &SimFile, b: &SimFile) -> bool {
        a.sim.seed() == b.sim.seed()
            && a.name == b.name
            && a.origin == b.origin
            && a.created_at == b.created_at
    }

    /// Cheap, so that tests with many openings are quick.
    fn cheap_key(password: &str) -> FileKey {
        let cost = Cost {
            memory: 8,
            passes: 1,
            lanes: 1,
        };
        FileKey::from_password(password, [5; 16], cost).unwrap()
    }

    #[test]
    fn an_open_file_comes_back() {
        let text = file().seal(None, &mut rng(1));
        let (opened, key) = SimFile::open(&text, None).unwrap();
        assert!(same(&opened, &file()));
        assert!(key.is_none());
        // A password that is not needed does no harm.
        assert!(SimFile::open(&text, Some("x")).is_ok());
        let spaced: String = text.chars().flat_map(|c| [c, '\n', ' ']).collect();
        assert!(same(
            &SimFile::open(&format!("\t{spaced}\r\n"), None).unwrap().0,
            &file()
        ));
    }

    #[test]
    fn the_open_form_never_changes() {
        let text = file().seal(None, &mut rng(1));
        assert_eq!(
            text,
            "rly-sim-1.AAEHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwAAAAxBZGEgTG92ZWxhY2UAAAATaHR0cHM6Ly9y\
             bHkuZXhhbXBsZQAAAYvP5WgAJCgEJ1ey_S4"
        );
    }

    #[test]
    fn the_sealed_form_never_changes() {
        let text = file().seal(Some(&cheap_key("secret")), &mut rng(1));
        assert_eq!(
            text,
            "rly-sim-1.AQUFBQUFBQUFBQUFBQUFBQUAAAAIAAAAAQAAAAGaN0RQRWBjnsZwt6EXnbQYqO8fLt68avhXLeMdtqbM-3YB\
             hD12NxgNJa_CZYtb9tcw9QD0JANl62WEuWTN6ZNsBEifBSc98zKsePAKW2_YvoT-NfaKZOTrMv7M7N-eEPAEOQ5SK39k1tSy\
             P_4gkV7_xxcWUA"
        );
        assert!(same(&SimFile::open(&text, Some("secret")).unwrap().0, &file()));
    }

    #[test]
    fn a_sealed_file_needs_its_password() {
        let mut rng = rng(1);
        let key = FileKey::derive("correct horse", &mut rng);
        let text = file().seal(Some(&key), &mut rng);
        assert_eq!(
            SimFile::open(&text, None).err(),
            Some(SimFileError::PasswordNeeded)
        );
        assert_eq!(
            SimFile::open(&text, Some("battery")).err(),
            Some(SimFileError::PasswordWrong)
        );
        let (opened, key) = SimFile::open(&text, Some("correct horse")).unwrap();
        assert!(same(&opened, &file()));
        // The key that came with it seals again, without the password.
        let again = opened.seal(key.as_ref(), &mut rng);
        assert_ne!(again, text);
        assert!(same(
            &SimFile::open(&again, Some("correct horse")).unwrap().0,
            &file()
        ));
    }

    #[test]
    fn a_key_survives_the_store() {
        let key = cheap_key("secret");
        let stored = FileKey::from_bytes(&key.to_bytes()).unwrap();
        let text = file().seal(Some(&stored), &mut rng(1));
        assert!(SimFile::open(&text, Some("secret")).is_ok());
        for n in 0..key.to_bytes().len() {
            assert!(FileKey::from_bytes(&key.to_bytes()[..n]).is_err());
        }
        assert_eq!(FileKey::from_bytes(&[2; 61]).err(), Some(DecodeError::Version(2)));
    }

    #[test]
    fn damage_is_told_from_a_wrong_password() {
        for key in [None, Some(cheap_key("secret"))] {
            let text = file().seal(key.as_ref(), &mut rng(1));
            for n in 0..text.len() {
                let cut = SimFile::open(&text[..n], Some("secret")).err();
                assert_eq!(cut, Some(SimFileError::NotASimFile), "cut to {n}");
                // '0' and '1' are digits of base64url and of the version.
                let other = if text.as_bytes()[n] == b'0' { "A" } else { "0" };
                let changed = format!("{}{other}{}", &text[..n], &text[n + 1..]);
                let changed = SimFile::open(&changed, Some("secret")).err();
                assert_eq!(changed, Some(SimFileError::NotASimFile), "byte {n} changed");
            }
        }
    }

    fn text_of(body: &[u8]) -> String {
        format!("{PREFIX}{}", to_base64url(&[body, &checksum(body)].concat()))
    }

    #[test]
    fn a_newer_file_is_named_as_such() {
        for text in [
            "rly-sim-2.abc".into(),
            "rly-sim-17.".into(),
            text_of(&[2, 1, 2, 3]),
            text_of(&[OPEN, 2, 1, 2, 3]),
        ] {
            assert_eq!(
                SimFile::open(&text, None).err(),
                Some(SimFileError::Newer),
                "{text}"
            );
        }
    }

    #[test]
    fn a_file_cannot_ask_for_too_much_work() {
        for (memory, passes, lanes) in [
            (u32::MAX, 2, 1),
            (262_145, 2, 1),
            (19_456, 17, 1),
            (19_456, 2, 9),
            (8, 1, 1 << 29),
            (0, 0, 0),
        ] {
            let mut key = cheap_key("secret");
            key.cost = Cost {
                memory,
                passes,
                lanes,
            };
            let text = text_of(&[&key.header()[..], &[0; 100]].concat());
            assert_eq!(
                SimFile::open(&text, Some("secret")).err(),
                Some(SimFileError::NotASimFile)
            );
        }
    }

    #[test]
    fn debug_shows_no_secrets() {
        assert_eq!(
            format!("{:?}", file()),
            "SimFile { created_at: Timestamp(1700000000000), .. }"
        );
        assert_eq!(format!("{:?}", cheap_key("secret")), "FileKey(..)");
    }

    proptest! {
        #[test]
        fn any_text_fails_cleanly(text in ".{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            prop_assert!(SimFile::open(&text, None).is_err());
            let prefixed = format!("{PREFIX}{text}");
            prop_assert!(SimFile::open(&prefixed, None).is_err());
            let _ = SimFile::open(&text_of(&bytes), None);
            let _ = FileKey::from_bytes(&bytes);
        }
    }
}
