//! The server's keys, all derived (HKDF-SHA-256, RFC 5869) from one secret of 32 bytes.
//!
//! | key | label | use |
//! |---|---|---|
//! | seal | `rly server seal v1` | AES-256-GCM over an address, so that a token does not show it |
//! | sign | `rly server sign v1` | ES256 over the two kinds of token |
//! | ticket | `rly server ticket v1` | HMAC-SHA-256 over queue and end of a reader's ticket |
//! | fingerprint | `rly server fingerprint v1` | names the secret in the store; tells nothing about it |
//!
//! The two tokens are JWTs that differ in `typ`: `a` holds a sealed address and does not expire, `i`
//! is an invite. Neither is ever taken for the other. Each has one form: of the two signatures that
//! ECDSA has for everything, (r, s) and (r, n - s), only the one with the lower s is ours.
//!
//! A server whose secret was changed makes everything with the new one, and still takes what older
//! ones made: the [`Keyring`] holds them all.

use aes_gcm::{
    Aes256Gcm, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use core::fmt;
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use p256::{SecretKey, ecdsa::Signature, elliptic_curve::sec1::ToEncodedPoint, pkcs8::EncodePrivateKey};
use rand_core::{OsRng, RngCore};
use rly_protocol::{Address, InviteId, QueueId, Timestamp, frame::Ticket, from_base64url, to_base64url};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::Sha256;
use thiserror::Error;
use zeroize::{ZeroizeOnDrop, Zeroizing};

const TYP_ADDRESS: &str = "a";
const TYP_INVITE: &str = "i";
/// No token of ours is longer, so nobody makes us parse more.
const TOKEN_MAX: usize = 512;
const NONCE: usize = 12;
const AAD: &[u8] = b"rly address v1";

/// The secret cannot be used as a server key.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum KeyringError {
    /// All bytes are zero: a file that was never written.
    #[error("the server key is empty: all of its bytes are zero")]
    Empty,
    /// A key could not be derived or used.
    #[error("the server key cannot be used")]
    Unusable,
}

/// The server's keys: of the present secret, and of those before it.
pub struct Keyring {
    present: Keys,
    older: Vec<Keys>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring(..)")
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AddressClaims {
    a: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InviteClaims {
    jti: InviteId,
    a: String,
    exp: u64,
}

/// What a genuine invite says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Invite {
    pub id: InviteId,
    pub address: Address,
    /// In whole seconds since 1970, rounded up; the store knows the exact moment.
    pub expires: u64,
}

impl Keyring {
    /// Derives all keys.
    ///
    /// # Errors
    /// [`KeyringError`] for a secret that cannot be one.
    pub fn from_secret(secret: [u8; 32]) -> Result<Self, KeyringError> {
        Ok(Self {
            present: Keys::derive(secret)?,
            older: Vec::new(),
        })
    }

    /// Takes what was made with another secret as well.
    ///
    /// # Errors
    /// [`KeyringError`] for a secret that cannot be one.
    pub fn and_older(mut self, secret: [u8; 32]) -> Result<Self, KeyringError> {
        self.older.push(Keys::derive(secret)?);
        Ok(self)
    }

    /// A new secret.
    pub fn generate() -> [u8; 32] {
        random()
    }

    /// Names the present secret without telling anything about it.
    pub fn fingerprint(&self) -> [u8; 16] {
        self.present.fingerprint
    }

    /// Whether one of the secrets has this fingerprint.
    pub(crate) fn knows(&self, fingerprint: &[u8; 16]) -> bool {
        self.all().any(|keys| keys.fingerprint == *fingerprint)
    }

    /// The non-expiring token that stands for an address.
    pub(crate) fn address_token(&self, address: &Address) -> Result<String, KeyringError> {
        self.present.address_token(address)
    }

    /// The address in a token of this server.
    pub(crate) fn open_address_token(&self, token: &str) -> Option<Address> {
        self.all().find_map(|keys| keys.open_address_token(token))
    }

    /// Signs an invite.
    pub(crate) fn invite(&self, invite: &Invite) -> Result<String, KeyringError> {
        self.present.invite(invite)
    }

    /// What an invite of this server says. Whether its time is over is for the caller to see.
    pub(crate) fn open_invite(&self, token: &str) -> Option<Invite> {
        self.all().find_map(|keys| keys.open_invite(token))
    }

    /// The ticket for a queue.
    pub(crate) fn ticket(&self, queue: &QueueId, expires: Timestamp) -> Ticket {
        self.present.ticket(queue, expires)
    }

    /// Whether this server made the ticket for this queue (in constant time for each key).
    pub(crate) fn is_ticket(&self, queue: &QueueId, ticket: &Ticket) -> bool {
        self.all().any(|keys| keys.is_ticket(queue, ticket))
    }

    /// What this server would never sign: any header, any claims.
    #[cfg(any(test, rly_fuzz))]
    pub(crate) fn sign_anything(&self, header: &[u8], claims: &[u8]) -> Option<String> {
        self.present.sign_anything(header, claims)
    }

    /// What this server would never seal: not an address.
    #[cfg(any(test, rly_fuzz))]
    pub(crate) fn seal_anything(&self, bytes: &[u8]) -> Option<String> {
        self.present.seal_anything(bytes)
    }

    fn all(&self) -> impl Iterator<Item = &Keys> {
        core::iter::once(&self.present).chain(&self.older)
    }
}

/// What one secret gives.
#[derive(ZeroizeOnDrop)]
struct Keys {
    seal: [u8; 32],
    /// As long as a block of SHA-256, which HMAC takes as it is.
    ticket: [u8; 64],
    fingerprint: [u8; 16],
    // Wipes itself.
    #[zeroize(skip)]
    sign: EncodingKey,
    #[zeroize(skip)]
    verify: DecodingKey,
}

impl Keys {
    fn derive(secret: [u8; 32]) -> Result<Self, KeyringError> {
        let secret = Zeroizing::new(secret);
        if secret.iter().all(|byte| *byte == 0) {
            return Err(KeyringError::Empty);
        }
        let root = Hkdf::<Sha256>::new(None, &secret[..]);
        let signing = signing_key(&root)?;
        let der = signing.to_pkcs8_der().map_err(|_| KeyringError::Unusable)?;
        Ok(Self {
            seal: derive(&root, b"rly server seal v1")?,
            ticket: derive(&root, b"rly server ticket v1")?,
            fingerprint: derive(&root, b"rly server fingerprint v1")?,
            sign: EncodingKey::from_ec_der(der.as_bytes()),
            verify: DecodingKey::from_ec_der(signing.public_key().to_encoded_point(false).as_bytes()),
        })
    }

    fn address_token(&self, address: &Address) -> Result<String, KeyringError> {
        let a = self.seal(address)?;
        self.sign(TYP_ADDRESS, &AddressClaims { a })
    }

    fn open_address_token(&self, token: &str) -> Option<Address> {
        let claims: AddressClaims = self.verified(TYP_ADDRESS, token)?;
        self.unseal(&claims.a)
    }

    fn invite(&self, invite: &Invite) -> Result<String, KeyringError> {
        let claims = InviteClaims {
            jti: invite.id,
            a: self.seal(&invite.address)?,
            exp: invite.expires,
        };
        self.sign(TYP_INVITE, &claims)
    }

    fn open_invite(&self, token: &str) -> Option<Invite> {
        let claims: InviteClaims = self.verified(TYP_INVITE, token)?;
        Some(Invite {
            id: claims.jti,
            address: self.unseal(&claims.a)?,
            expires: claims.exp,
        })
    }

    fn ticket(&self, queue: &QueueId, expires: Timestamp) -> Ticket {
        Ticket {
            expires,
            mac: self.ticket_mac(queue, expires).finalize().into_bytes().into(),
        }
    }

    fn is_ticket(&self, queue: &QueueId, ticket: &Ticket) -> bool {
        self.ticket_mac(queue, ticket.expires)
            .verify_slice(&ticket.mac)
            .is_ok()
    }

    fn ticket_mac(&self, queue: &QueueId, expires: Timestamp) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&self.ticket.into());
        mac.update(queue.as_bytes());
        mac.update(&expires.0.to_be_bytes());
        mac
    }

    fn seal(&self, address: &Address) -> Result<String, KeyringError> {
        self.seal_bytes(address.as_bytes())
    }

    fn seal_bytes(&self, msg: &[u8]) -> Result<String, KeyringError> {
        let nonce: [u8; NONCE] = random();
        let payload = Payload { msg, aad: AAD };
        let sealed = Aes256Gcm::new(&self.seal.into())
            .encrypt(Nonce::from_slice(&nonce), payload)
            .map_err(|_| KeyringError::Unusable)?;
        Ok(to_base64url(&[&nonce[..], &sealed].concat()))
    }

    fn unseal(&self, text: &str) -> Option<Address> {
        let bytes = from_base64url(text).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE)?;
        let payload = Payload {
            msg: sealed,
            aad: AAD,
        };
        let address = Aes256Gcm::new(&self.seal.into())
            .decrypt(Nonce::from_slice(nonce), payload)
            .ok()?;
        address.try_into().ok().map(Address)
    }

    #[cfg(any(test, rly_fuzz))]
    fn sign_anything(&self, header: &[u8], claims: &[u8]) -> Option<String> {
        let message = format!("{}.{}", to_base64url(header), to_base64url(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.sign, Algorithm::ES256).ok()?;
        low_s(format!("{message}.{signature}"))
    }

    #[cfg(any(test, rly_fuzz))]
    fn seal_anything(&self, bytes: &[u8]) -> Option<String> {
        self.seal_bytes(bytes).ok()
    }

    fn sign<T: Serialize>(&self, typ: &str, claims: &T) -> Result<String, KeyringError> {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(typ.into());
        let token = jsonwebtoken::encode(&header, claims, &self.sign).map_err(|_| KeyringError::Unusable)?;
        low_s(token).ok_or(KeyringError::Unusable)
    }

    fn verified<T: DeserializeOwned>(&self, typ: &str, token: &str) -> Option<T> {
        if token.len() > TOKEN_MAX || split(token)?.1.normalize_s().is_some() {
            return None;
        }
        // The algorithm is ours, whatever the header says; its other hints are never looked at.
        let mut validation = Validation::new(Algorithm::ES256);
        validation.required_spec_claims.clear();
        // Against our own clock, by the caller.
        validation.validate_exp = false;
        validation.validate_aud = false;
        let token = jsonwebtoken::decode::<T>(token, &self.verify, &validation).ok()?;
        (token.header.typ.as_deref() == Some(typ)).then_some(token.claims)
    }
}

fn derive<const N: usize>(root: &Hkdf<Sha256>, label: &[u8]) -> Result<[u8; N], KeyringError> {
    let mut key = [0; N];
    root.expand(label, &mut key).map_err(|_| KeyringError::Unusable)?;
    Ok(key)
}

/// What is signed, and the signature.
fn split(token: &str) -> Option<(&str, Signature)> {
    let (signed, signature) = token.rsplit_once('.')?;
    let signature = Signature::from_slice(&from_base64url(signature).ok()?).ok()?;
    Some((signed, signature))
}

/// The token in its one form: of the two signatures that verify, the one with the low s.
fn low_s(token: String) -> Option<String> {
    let (signed, signature) = split(&token)?;
    Some(match signature.normalize_s() {
        Some(low) => format!("{signed}.{}", to_base64url(&low.to_bytes())),
        None => token,
    })
}

/// As DeriveKeyPair of RFC 9180, section 7.1.3: try with a counter until the bytes are a scalar.
fn signing_key(root: &Hkdf<Sha256>) -> Result<SecretKey, KeyringError> {
    for counter in 0..=u8::MAX {
        let bytes = Zeroizing::new(derive::<32>(
            root,
            &[b"rly server sign v1", &[counter][..]].concat(),
        )?);
        if let Ok(key) = SecretKey::from_slice(&bytes[..]) {
            return Ok(key);
        }
    }
    Err(KeyringError::Unusable)
}

/// Fresh random bytes from the operating system.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rly_protocol::limits::LINK_MAX;

    fn keyring() -> Keyring {
        Keyring::from_secret([7; 32]).unwrap()
    }

    fn invite() -> Invite {
        Invite {
            id: InviteId([0xff; 16]),
            address: Address([9; 16]),
            expires: 9_999_999_999,
        }
    }

    fn part(json: &str) -> String {
        to_base64url(json.as_bytes())
    }

    #[test]
    fn a_link_fits() {
        let token = keyring().invite(&invite()).unwrap();
        let link = format!("/i#{token}.{}", "s".repeat(26));
        assert!(link.len() <= LINK_MAX, "{}", link.len());
    }

    #[test]
    fn keys_are_stable_and_the_empty_secret_is_refused() {
        assert_eq!(Keyring::from_secret([0; 32]).err(), Some(KeyringError::Empty));
        assert_eq!(keyring().fingerprint(), keyring().fingerprint());
        assert_ne!(
            keyring().fingerprint(),
            Keyring::from_secret([8; 32]).unwrap().fingerprint()
        );
        let token = keyring().address_token(&Address([1; 16])).unwrap();
        assert_eq!(keyring().open_address_token(&token), Some(Address([1; 16])));
        assert_eq!(format!("{:?}", keyring()), "Keyring(..)");
    }

    #[test]
    fn one_purpose_is_never_another() {
        let keys = keyring();
        let address = keys.address_token(&Address([1; 16])).unwrap();
        let invitation = keys.invite(&invite()).unwrap();
        assert!(keys.open_invite(&invitation) == Some(invite()));
        assert!(keys.open_invite(&address).is_none());
        assert!(keys.open_address_token(&invitation).is_none());
        // The very claims of an invite under the other typ, truly signed.
        let claims = InviteClaims {
            jti: InviteId([1; 16]),
            a: keys.present.seal(&Address([1; 16])).unwrap(),
            exp: 9_999_999_999,
        };
        let wrong = keys.present.sign(TYP_ADDRESS, &claims).unwrap();
        assert!(keys.open_invite(&wrong).is_none());
        let wrong = keys.present.sign("JWT", &claims).unwrap();
        assert!(keys.open_invite(&wrong).is_none());
    }

    #[test]
    fn forged_tokens_are_refused() {
        let keys = keyring();
        let genuine = keys.invite(&invite()).unwrap();
        let pieces: Vec<&str> = genuine.split('.').collect();
        let (payload, signature) = (pieces[1], pieces[2]);

        let none = part(r#"{"typ":"i","alg":"none"}"#);
        assert!(keys.open_invite(&format!("{none}.{payload}.")).is_none());
        assert!(
            keys.open_invite(&format!("{none}.{payload}.{signature}"))
                .is_none()
        );

        // HS256 with the public key as the secret.
        let public = signing_key(&Hkdf::new(None, &[7; 32])).unwrap().public_key();
        let public = public.to_encoded_point(false);
        let head = part(r#"{"typ":"i","alg":"HS256"}"#);
        let signed = format!("{head}.{payload}");
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(public.as_bytes()).unwrap();
        mac.update(signed.as_bytes());
        let forged = format!("{signed}.{}", to_base64url(&mac.finalize().into_bytes()));
        assert!(keys.open_invite(&forged).is_none());

        // Another server's signature over our claims.
        let other = Keyring::from_secret([8; 32]).unwrap();
        let foreign = other.invite(&invite()).unwrap();
        assert!(keys.open_invite(&foreign).is_none());

        // A key in the header.
        let head = part(r#"{"typ":"i","alg":"ES256","jku":"https://example.org/keys"}"#);
        assert!(
            keys.open_invite(&format!("{head}.{payload}.{signature}"))
                .is_none()
        );

        assert!(keys.open_invite("").is_none());
        assert!(keys.open_invite(&"a.".repeat(5000)).is_none());
        assert!(
            keys.open_invite(&genuine[..genuine.len() - 1]).is_none(),
            "cut token"
        );
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let keys = keyring();
        let genuine = keys.invite(&invite()).unwrap();
        for at in 0..genuine.len() {
            let mut bytes = genuine.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let mangled = String::from_utf8(bytes).unwrap();
            assert!(keys.open_invite(&mangled).is_none(), "at {at}");
        }
    }

    #[test]
    fn a_token_has_one_signature() {
        let keys = keyring();
        // Half of all signatures come out high.
        for _ in 0..20 {
            let token = keys.invite(&invite()).unwrap();
            let (signed, signature) = split(&token).unwrap();
            assert!(signature.normalize_s().is_none());
            let (r, s) = signature.split_scalars();
            let high = Signature::from_scalars(r, -s).unwrap();
            let twin = format!("{signed}.{}", to_base64url(&high.to_bytes()));
            assert!(keys.open_invite(&token).is_some());
            assert!(keys.open_invite(&twin).is_none());
        }
    }

    #[test]
    fn what_an_older_secret_made_is_taken_and_nothing_new_is_made_with_it() {
        let old = Keyring::from_secret([1; 32]).unwrap();
        let new = || Keyring::from_secret([2; 32]).unwrap();
        let both = new().and_older([1; 32]).unwrap();
        assert_eq!(both.fingerprint(), new().fingerprint());
        assert!(both.knows(&old.fingerprint()) && both.knows(&new().fingerprint()));
        assert!(!new().knows(&old.fingerprint()));

        let address = Address([1; 16]);
        let (token, link) = (
            old.address_token(&address).unwrap(),
            old.invite(&invite()).unwrap(),
        );
        let (queue, end) = (QueueId([3; 16]), Timestamp(5));
        let ticket = old.ticket(&queue, end);
        assert_eq!(both.open_address_token(&token), Some(address));
        assert!(both.open_invite(&link) == Some(invite()));
        assert!(both.is_ticket(&queue, &ticket));
        assert!(new().open_address_token(&token).is_none() && new().open_invite(&link).is_none());
        assert!(!new().is_ticket(&queue, &ticket));

        assert!(old.open_invite(&both.invite(&invite()).unwrap()).is_none());
        assert!(new().open_invite(&both.invite(&invite()).unwrap()).is_some());
        assert!(
            new()
                .open_address_token(&both.address_token(&address).unwrap())
                .is_some()
        );
        assert!(new().is_ticket(&queue, &both.ticket(&queue, end)));
        assert_eq!(new().and_older([0; 32]).err(), Some(KeyringError::Empty));
    }

    #[test]
    fn tickets_belong_to_one_queue_end_and_server() {
        let keys = keyring();
        let queue = QueueId([3; 16]);
        let mut ticket = keys.ticket(&queue, Timestamp(5));
        assert!(keys.is_ticket(&queue, &ticket));
        assert!(!keys.is_ticket(&QueueId([4; 16]), &ticket));
        assert!(!Keyring::from_secret([8; 32]).unwrap().is_ticket(&queue, &ticket));
        ticket.expires = Timestamp(6);
        assert!(!keys.is_ticket(&queue, &ticket));
    }
}
