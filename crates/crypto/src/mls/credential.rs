//! Who a member is: a basic credential (RFC 9420, section 5.3) that holds SIM key and device, and
//! the SIM key's word that the member's MLS signature key is theirs.

use super::{MlsError, signer::MlsSigner};
use crate::{Sim, verify};
use openmls::prelude::{BasicCredential, Credential, CredentialWithKey};
use rly_protocol::{Decode, DeviceId, Encode, PublicKey, Signature, Writer, record};

record! {
    /// The identity in a basic credential.
    struct Identity = 1 {
        sim: PublicKey,
        device: DeviceId,
        signature: Signature,
    }
}

/// A member whose credential was checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) sim: PublicKey,
    pub(super) device: DeviceId,
}

fn signed_message(device: &DeviceId, signature_key: &[u8]) -> Vec<u8> {
    let mut to = Writer::default();
    to.raw(b"rly mls credential v1\0");
    to.put(device);
    to.raw(signature_key);
    to.finish()
}

pub(super) fn make(sim: &Sim, device: &DeviceId, signer: &MlsSigner) -> CredentialWithKey {
    let signature_key = signer.public_key();
    let identity = Identity {
        sim: sim.public_key(),
        device: *device,
        signature: sim.sign(&signed_message(device, signature_key.as_bytes())),
    };
    CredentialWithKey {
        credential: BasicCredential::new(identity.to_bytes()).into(),
        signature_key: signature_key.as_bytes().to_vec().into(),
    }
}

/// Who holds a credential.
///
/// # Errors
/// [`MlsError::WrongMember`] when it is not of our form, or not signed for this signature key by
/// the SIM that it names.
pub(super) fn check(credential: &Credential, signature_key: &[u8]) -> Result<Person, MlsError> {
    let basic = BasicCredential::try_from(credential.clone()).map_err(|_| MlsError::WrongMember)?;
    let Identity {
        sim,
        device,
        signature,
    } = Identity::from_bytes(basic.identity()).map_err(|_| MlsError::WrongMember)?;
    verify(&sim, &signed_message(&device, signature_key), &signature).map_err(|_| MlsError::WrongMember)?;
    Ok(Person { sim, device })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{refuses_all_damage, rng};

    #[test]
    fn a_credential_holds_for_one_signature_key_only() {
        let mut rng = rng(1);
        let (sim, device) = (Sim::generate(&mut rng), DeviceId([1; 16]));
        let [signer, other] = [0; 2].map(|_| MlsSigner::generate(&mut rng));
        let made = make(&sim, &device, &signer);
        let person = check(&made.credential, signer.public_key().as_bytes()).ok();
        let expected = Person {
            sim: sim.public_key(),
            device,
        };
        assert!(person == Some(expected));
        assert!(check(&made.credential, other.public_key().as_bytes()).is_err());
        let identity = BasicCredential::try_from(made.credential).unwrap();
        refuses_all_damage(identity.identity(), |bytes| {
            let credential = BasicCredential::new(bytes.to_vec()).into();
            check(&credential, signer.public_key().as_bytes()).is_ok()
        });
    }
}
