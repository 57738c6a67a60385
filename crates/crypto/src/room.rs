//! Rooms: everything that follows from a room's code. `docs/protocol.md`, section 11.
//!
//! Whoever has the code has these keys, so they keep out the server and strangers, not people of the
//! room. Who of them wrote something is shown by their signature, with a key that is not derived from
//! anything: in the browser WebCrypto's, which cannot be extracted, elsewhere a [`RoomSigner`].

use crate::{OpenError, TooLarge, derive, ecdsa, sealed, verify};
use bytes::Bytes;
use core::fmt;
use hpke::{
    Deserializable, Kem, OpModeR, OpModeS, Serializable,
    aead::AesGcm128,
    kdf::HkdfSha256,
    kem::DhP256HkdfSha256,
    rand_core::{Infallible, TryCryptoRng, TryRng},
};
use p256::ecdsa::SigningKey;
use rand_core::CryptoRngCore;
use rly_protocol::{
    Encode, PublicKey, RoomId, Signature,
    limits::{NAME_MAX, ROOM_NAME_SIZE},
    room::{body_data, join_message, name_data, post_message},
};
use rly_view::RoomCode;
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

const ID: &[u8] = b"rly room id v1\0";
const TOKEN: &[u8] = b"rly room token v1\0";
const BODY_KEY: &[u8] = b"rly room body key v1\0";
const NAME_KEY: &[u8] = b"rly room name key v1\0";
const NAME_HASH: &[u8] = b"rly room name hash v1\0";
const CONTACT: &[u8] = b"rly room contact v1\0";

type Secret = Box<Zeroizing<[u8; 32]>>;

/// What the code of a room gives.
#[derive(Clone)]
pub struct RoomKeys {
    id: RoomId,
    token: Secret,
    body: Secret,
    name: Secret,
    code: RoomCode,
}

/// A name that cannot be used in a room: empty, too long, or with characters that do not belong into one.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("this cannot be a name")]
pub struct BadName;

/// A name as it is shown in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomName(String);

impl RoomName {
    /// Trims, makes each run of white space one space, and checks.
    ///
    /// # Errors
    /// [`BadName`].
    pub fn new(text: &str) -> Result<Self, BadName> {
        let name = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let fits = (1..=NAME_MAX).contains(&name.len());
        if !fits || name.chars().any(char::is_control) || fold(&name).trim().is_empty() {
            return Err(BadName);
        }
        Ok(Self(name))
    }

    /// As it is shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Equal for names that look equal: without what nobody sees, in small letters.
fn fold(name: &str) -> String {
    let hidden = |c: &char| matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    let seen: String = name.chars().filter(|c| !hidden(c)).collect();
    seen.to_lowercase()
}

impl RoomKeys {
    /// The keys of a code.
    pub fn new(code: &RoomCode) -> Self {
        let derive = |info| derive::hkdf(code.as_bytes(), &[info]);
        let long = derive(ID);
        let mut id = [0; 16];
        id.copy_from_slice(&long[..16]);
        Self {
            id: RoomId(id),
            token: Box::new(derive(TOKEN)),
            body: Box::new(derive(BODY_KEY)),
            name: Box::new(derive(NAME_KEY)),
            code: code.clone(),
        }
    }

    /// Names the room to the server.
    pub fn id(&self) -> RoomId {
        self.id
    }

    /// The right to join, for the server.
    pub fn token(&self) -> &[u8; 32] {
        &self.token
    }

    /// What the server knows the token by.
    pub fn token_hash(&self) -> [u8; 32] {
        Sha256::digest(&self.token[..]).into()
    }

    /// The code itself, to be shown and stored.
    pub fn code(&self) -> &RoomCode {
        &self.code
    }

    /// What the server knows of a name.
    pub fn name_hash(&self, name: &RoomName) -> [u8; 32] {
        let folded = Zeroizing::new(fold(&name.0));
        *derive::hkdf(self.code.as_bytes(), &[NAME_HASH, folded.as_bytes()])
    }

    /// Seals a name for its owner's key: always [`ROOM_NAME_SIZE`] bytes.
    ///
    /// # Errors
    /// [`TooLarge`], which no [`RoomName`] is.
    pub fn seal_name(
        &self,
        owner: &PublicKey,
        name: &RoomName,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Vec<u8>, TooLarge> {
        sealed::seal(&self.name, &name_data(&self.id, owner), name.0.as_bytes(), rng)
    }

    /// Opens the name of a key, and checks that it is one and that this is its hash.
    ///
    /// # Errors
    /// [`OpenError`]: made up by somebody without the code, or against the rules.
    pub fn open_name(
        &self,
        owner: &PublicKey,
        sealed_name: &[u8],
        name_hash: &[u8; 32],
    ) -> Result<RoomName, OpenError> {
        if sealed_name.len() != ROOM_NAME_SIZE {
            return Err(OpenError);
        }
        let plain = sealed::open(&self.name, &name_data(&self.id, owner), sealed_name)?;
        let text = core::str::from_utf8(&plain).map_err(|_| OpenError)?;
        let name = RoomName::new(text).map_err(|BadName| OpenError)?;
        if name.as_str() != text || self.name_hash(&name) != *name_hash {
            return Err(OpenError);
        }
        Ok(name)
    }

    /// Seals what somebody says under a sequence of theirs.
    ///
    /// # Errors
    /// [`TooLarge`] when it does not fit into the largest size.
    pub fn seal_body(
        &self,
        writer: &PublicKey,
        seq: u64,
        plain: &[u8],
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Vec<u8>, TooLarge> {
        sealed::seal(&self.body, &body_data(&self.id, writer, seq), plain, rng)
    }

    /// Checks who says it and opens it.
    ///
    /// # Errors
    /// [`OpenError`] unless this writer signed it for this room and sequence, and it was sealed for both.
    pub fn open_body(
        &self,
        writer: &PublicKey,
        seq: u64,
        body: &[u8],
        signature: &Signature,
    ) -> Result<Vec<u8>, OpenError> {
        verify(writer, &self.to_sign(seq, body), signature).map_err(|_| OpenError)?;
        sealed::open(&self.body, &body_data(&self.id, writer, seq), body)
    }

    /// What is signed with a sealed body.
    pub fn to_sign(&self, seq: u64, body: &[u8]) -> Vec<u8> {
        post_message(&self.id, seq, &Sha256::digest(body).into())
    }

    /// What is signed to join.
    pub fn to_sign_join(
        &self,
        origin: &str,
        nonce: &[u8; 32],
        name_hash: &[u8; 32],
        sealed_name: &[u8],
    ) -> Vec<u8> {
        join_message(
            origin,
            nonce,
            &self.id,
            name_hash,
            &Sha256::digest(sealed_name).into(),
        )
    }
}

impl fmt::Debug for RoomKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id: _,
            token: _,
            body: _,
            name: _,
            code: _,
        } = self;
        f.write_str("RoomKeys(..)")
    }
}

/// A person's key in one room where there is no WebCrypto: the terminal and tests.
#[derive(Clone)]
pub struct RoomSigner(Box<SigningKey>);

impl RoomSigner {
    /// A new one.
    pub fn generate(rng: &mut dyn CryptoRngCore) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut seed[..]);
        Self(Box::new(derive::key_pair(&seed[..])))
    }

    /// What the room knows it by.
    pub fn public_key(&self) -> PublicKey {
        ecdsa::public_key(&self.0)
    }

    /// ECDSA P-256 with SHA-256. `message` begins with a label of its purpose.
    pub fn sign(&self, message: &[u8]) -> Signature {
        ecdsa::sign(&self.0, message)
    }
}

impl fmt::Debug for RoomSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("RoomSigner(..)")
    }
}

/// Opens what one person of a room seals for another one alone. Used once.
pub struct ContactKey(Zeroizing<[u8; 32]>);

/// Sealed for one person: the encapsulated key and the ciphertext.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactSeal {
    /// RFC 9180's `enc`.
    pub enc: PublicKey,
    /// With its tag.
    pub ciphertext: Bytes,
}

impl ContactKey {
    /// A new one.
    pub fn generate(rng: &mut dyn CryptoRngCore) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut bytes[..]);
        let key = derive::key_pair(&bytes[..]);
        bytes.copy_from_slice(&Zeroizing::new(key.to_bytes())[..]);
        Self(bytes)
    }

    /// One that was stored; `None` if it is none.
    pub fn from_bytes(bytes: [u8; 32]) -> Option<Self> {
        SigningKey::from_slice(&bytes).ok()?;
        Some(Self(Zeroizing::new(bytes)))
    }

    /// To be stored.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What the other one seals to.
    // The constructors take nothing but private keys.
    #[allow(clippy::expect_used)]
    pub fn public_key(&self) -> PublicKey {
        ecdsa::public_key(&SigningKey::from_slice(&self.0[..]).expect("a private key"))
    }

    /// Opens it, if `from` sealed it for `to` in this room.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        &self,
        room: &RoomId,
        from: &PublicKey,
        to: &PublicKey,
        sealed: &ContactSeal,
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let enc = <DhP256HkdfSha256 as Kem>::EncappedKey::from_bytes(sealed.enc.as_bytes());
        let key = <DhP256HkdfSha256 as Kem>::PrivateKey::from_bytes(&self.0[..]);
        let (enc, key) = (enc.map_err(|_| OpenError)?, key.map_err(|_| OpenError)?);
        let info = contact_info(room, from, to);
        let mut receiver = hpke::setup_receiver::<AesGcm128, HkdfSha256, DhP256HkdfSha256>(
            &OpModeR::Base,
            &key,
            &enc,
            &info,
        )
        .map_err(|_| OpenError)?;
        let plain = receiver.open(&sealed.ciphertext, b"").map_err(|_| OpenError)?;
        Ok(Zeroizing::new(plain))
    }
}

impl fmt::Debug for ContactKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("ContactKey(..)")
    }
}

/// Seals something for one person of a room: HPKE (RFC 9180), base mode, to the key of their ask.
///
/// # Errors
/// [`OpenError`] when `to_key` is not on the curve.
pub fn seal_contact(
    to_key: &PublicKey,
    room: &RoomId,
    from: &PublicKey,
    to: &PublicKey,
    plain: &[u8],
    rng: &mut dyn CryptoRngCore,
) -> Result<ContactSeal, OpenError> {
    let key = <DhP256HkdfSha256 as Kem>::PublicKey::from_bytes(to_key.as_bytes()).map_err(|_| OpenError)?;
    let info = contact_info(room, from, to);
    let (enc, mut sender) = hpke::setup_sender_with_rng::<AesGcm128, HkdfSha256, DhP256HkdfSha256>(
        &OpModeS::Base,
        &key,
        &info,
        &mut Newer(rng),
    )
    .map_err(|_| OpenError)?;
    let ciphertext = sender.seal(plain, b"").map_err(|_| OpenError)?;
    Ok(ContactSeal {
        enc: PublicKey::try_from(&enc.to_bytes()[..]).map_err(|_| OpenError)?,
        ciphertext: ciphertext.into(),
    })
}

fn contact_info(room: &RoomId, from: &PublicKey, to: &PublicKey) -> Vec<u8> {
    [CONTACT, &room.0, &from.to_bytes(), &to.to_bytes()].concat()
}

/// The caller's randomness for those who know the next generation of its traits.
struct Newer<'a>(&'a mut dyn CryptoRngCore);

impl TryRng for Newer<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Newer<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{refuses_all_damage, rng};

    fn keys(n: u8) -> RoomKeys {
        RoomKeys::new(&RoomCode::from_random(&[n; 26]))
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn a_code_gives_these_keys() {
        let keys = RoomKeys::new(&"abcdefghijklmnopqrstuvwxyz".parse().unwrap());
        let name = RoomName::new("Ada").unwrap();
        let all = [
            hex(&keys.id().0),
            hex(keys.token()),
            hex(&keys.body[..]),
            hex(&keys.name[..]),
            hex(&keys.name_hash(&name)),
        ];
        assert_eq!(all, KNOWN);
        assert_eq!(format!("{keys:?}"), "RoomKeys(..)");
        assert_ne!(self::keys(1).id(), self::keys(2).id());
    }

    /// By another implementation of HKDF (Python).
    const KNOWN: [&str; 5] = [
        "3ce80ec5d1bf5eff269dffa71abbd7cd",
        "3cd58eb55e4844152c2585b12d847b519b3d4f2078fd92eb15921d11aea2fae8",
        "669dcd0e451a320b5c8bc9eaa3c4fa8f84dcce8175ca7941b51d12979c9f404a",
        "56c1c2fb82cc865a35c374194c2f3297b18798a05d9e407104f9aec35b446451",
        "83dd257cc61b4558cb722a7306aacdcdcb3bbc936f3854f595b521bda3f10e25",
    ];

    #[test]
    fn equal_names_have_equal_hashes_and_others_do_not() {
        let (keys, hash) = (keys(1), |name: &str| {
            keys(1).name_hash(&RoomName::new(name).unwrap())
        });
        for same in [
            "ada lovelace",
            " Ada  Lovelace ",
            "A\u{200b}da\tLovelace",
            "ADA LOVE\u{ad}LACE\u{202e}",
        ] {
            assert_eq!(hash(same), hash("Ada Lovelace"), "{same:?}");
        }
        assert_ne!(hash("Ada Lovelace 2"), hash("Ada Lovelace"));
        assert_ne!(
            self::keys(2).name_hash(&RoomName::new("Ada").unwrap()),
            keys.name_hash(&RoomName::new("Ada").unwrap())
        );
        for bad in ["", "  ", "\u{200b}", "a\u{7}b", &"x".repeat(129)] {
            assert_eq!(RoomName::new(bad), Err(BadName), "{bad:?}");
        }
        assert!(RoomName::new(&"x".repeat(128)).is_ok());
    }

    #[test]
    fn a_name_belongs_to_one_key_room_and_hash() {
        let (keys, mut rng) = (keys(1), rng(1));
        let (ada, bob) = (
            RoomSigner::generate(&mut rng).public_key(),
            RoomSigner::generate(&mut rng).public_key(),
        );
        let name = RoomName::new(&"é".repeat(64)).unwrap();
        let hash = keys.name_hash(&name);
        let sealed_name = keys.seal_name(&ada, &name, &mut rng).unwrap();
        assert_eq!(sealed_name.len(), ROOM_NAME_SIZE);
        assert_eq!(keys.open_name(&ada, &sealed_name, &hash), Ok(name.clone()));
        assert_eq!(keys.open_name(&bob, &sealed_name, &hash), Err(OpenError));
        assert_eq!(self::keys(2).open_name(&ada, &sealed_name, &hash), Err(OpenError));
        assert_eq!(keys.open_name(&ada, &sealed_name, &[0; 32]), Err(OpenError));
        refuses_all_damage(&sealed_name, |bytes| keys.open_name(&ada, bytes, &hash).is_ok());
        // Not in its one form: a person with the code could seal it.
        let data = name_data(&keys.id(), &ada);
        let untidy = sealed::seal(&keys.name, &data, b" Ada", &mut rng).unwrap();
        let hash = keys.name_hash(&RoomName::new("Ada").unwrap());
        assert_eq!(keys.open_name(&ada, &untidy, &hash), Err(OpenError));
    }

    #[test]
    fn a_body_belongs_to_one_writer_sequence_and_room() {
        let (keys, mut rng) = (keys(1), rng(1));
        let (ada, bob) = (RoomSigner::generate(&mut rng), RoomSigner::generate(&mut rng));
        let key = ada.public_key();
        let body = keys.seal_body(&key, 7, b"hello", &mut rng).unwrap();
        let signature = ada.sign(&keys.to_sign(7, &body));
        assert_eq!(keys.open_body(&key, 7, &body, &signature).unwrap(), b"hello");
        assert_eq!(keys.open_body(&key, 8, &body, &signature), Err(OpenError));
        assert_eq!(
            keys.open_body(&bob.public_key(), 7, &body, &signature),
            Err(OpenError)
        );
        assert_eq!(
            self::keys(2).open_body(&key, 7, &body, &signature),
            Err(OpenError)
        );
        assert_eq!(
            keys.open_body(&key, 7, &body, &Signature([0; 64])),
            Err(OpenError)
        );
        // Signed anew by somebody else, or for another sequence: sealed for the first.
        let stolen = bob.sign(&keys.to_sign(7, &body));
        assert_eq!(
            keys.open_body(&bob.public_key(), 7, &body, &stolen),
            Err(OpenError)
        );
        let moved = ada.sign(&keys.to_sign(8, &body));
        assert_eq!(keys.open_body(&key, 8, &body, &moved), Err(OpenError));
        refuses_all_damage(&body, |bytes| keys.open_body(&key, 7, bytes, &signature).is_ok());
    }

    #[test]
    fn a_link_is_read_by_the_one_it_is_for() {
        let (mut rng, room) = (rng(1), keys(1).id());
        let mut key = || RoomSigner::generate(&mut rng).public_key();
        let (ada, bob) = (key(), key());
        let asked = ContactKey::generate(&mut rng);
        let sealed = seal_contact(&asked.public_key(), &room, &bob, &ada, b"link", &mut rng).unwrap();
        let asked = ContactKey::from_bytes(*asked.as_bytes()).unwrap();
        assert_eq!(&asked.open(&room, &bob, &ada, &sealed).unwrap()[..], b"link");
        for (room, from, to) in [(keys(2).id(), &bob, &ada), (room, &ada, &ada), (room, &bob, &bob)] {
            assert_eq!(asked.open(&room, from, to, &sealed), Err(OpenError));
        }
        let other = ContactKey::generate(&mut rng);
        assert_eq!(other.open(&room, &bob, &ada, &sealed), Err(OpenError));
        refuses_all_damage(&sealed.ciphertext, |bytes| {
            let sealed = ContactSeal {
                ciphertext: Bytes::copy_from_slice(bytes),
                ..sealed.clone()
            };
            asked.open(&room, &bob, &ada, &sealed).is_ok()
        });
        assert!(ContactKey::from_bytes([0; 32]).is_none());
    }
}
