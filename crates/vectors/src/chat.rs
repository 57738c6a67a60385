//! A direct chat in wasm, for `end2end/tests/marks.spec.ts`: what a message costs without storage, network
//! and page.

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rly_crypto::{Conversation, Received, Sim, make_key_package};
use rly_protocol::DeviceId;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

/// Two people in one program.
#[wasm_bindgen]
pub struct Chat {
    sides: [Conversation; 2],
    said: usize,
    rng: ChaCha20Rng,
}

#[wasm_bindgen]
impl Chat {
    /// A new chat.
    ///
    /// # Errors
    /// What MLS refuses.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Result<Self, JsValue> {
        let mut rng = ChaCha20Rng::from_seed([7; 32]);
        let (ada, bob) = (Sim::from_seed(&[1; 32]), Sim::from_seed(&[2; 32]));
        let (devices, rng_) = ([DeviceId([1; 16]), DeviceId([2; 16])], &mut rng);
        let (key_package, secrets) = make_key_package(&ada, &devices[0], rng_).map_err(refused)?;
        let (his, welcome) = Conversation::create(&bob, &devices[1], &key_package, &ada.public_key(), rng_)
            .map_err(refused)?;
        let hers = Conversation::join(&ada, &devices[0], &secrets, &welcome, rng_).map_err(refused)?;
        let sides = [hers, his];
        Ok(Self { sides, said: 0, rng })
    }

    /// One says something, the other hears it, in turn, and both give what they would store: how many bytes
    /// that is.
    ///
    /// # Errors
    /// What MLS refuses.
    pub fn message(&mut self) -> Result<usize, JsValue> {
        let [hers, his] = &mut self.sides;
        let (writer, reader) = if self.said.is_multiple_of(2) {
            (hers, his)
        } else {
            (his, hers)
        };
        self.said += 1;
        let plain = [b'a'; 100];
        let message = writer.encrypt(&plain, &mut self.rng).map_err(refused)?;
        if reader.process(&message).map_err(refused)? != Received::Message(plain.to_vec()) {
            return Err("another message".into());
        }
        let stored = [writer.take_changes(), reader.take_changes()].concat();
        let stored = stored
            .iter()
            .map(|(key, row)| key.len() + row.as_ref().map_or(0, Vec::len));
        Ok(stored.sum())
    }
}

fn refused(error: rly_crypto::MlsError) -> JsValue {
    error.to_string().into()
}
