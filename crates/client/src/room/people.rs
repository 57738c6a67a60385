//! Who belongs to a room, as far as it can be believed.

use rly_crypto::RoomKeys;
use rly_protocol::{PublicKey, room::RoomPerson};
use std::collections::BTreeMap;

#[derive(Clone)]
pub(super) struct Person {
    pub key: PublicKey,
    pub name: String,
    pub name_hash: [u8; 32],
    pub name_number: u16,
    pub here: bool,
    /// The sequence of the last message of theirs that was seen.
    pub seq: Option<u64>,
}

#[derive(Default)]
pub(super) struct People {
    pub by_number: BTreeMap<u32, Person>,
    pub you: Option<u32>,
}

impl People {
    /// Takes somebody, unless the name is not sealed for this key, is not what its hash says, or belongs
    /// to somebody else with the same number; a number never changes its key. Whether they were taken.
    pub fn take(&mut self, keys: &RoomKeys, person: &RoomPerson) -> bool {
        let Ok(name) = keys.open_name(&person.key, &person.name, &person.name_hash) else {
            return false;
        };
        if let Some(known) = self.by_number.get_mut(&person.number) {
            known.here = person.here;
            return known.key == person.key
                && known.name_hash == person.name_hash
                && known.name_number == person.name_number;
        }
        let another = self.by_number.values().any(|other| {
            other.key == person.key
                || (other.name_hash == person.name_hash && other.name_number == person.name_number)
        });
        if another || person.number == 0 || person.name_number == 0 {
            return false;
        }
        let taken = Person {
            key: person.key,
            name: name.as_str().to_owned(),
            name_hash: person.name_hash,
            name_number: person.name_number,
            here: person.here,
            seq: None,
        };
        self.by_number.insert(person.number, taken);
        true
    }

    /// The number of a key.
    pub fn number_of(&self, key: &PublicKey) -> Option<u32> {
        (self.by_number.iter())
            .find(|(_, person)| person.key == *key)
            .map(|(number, _)| *number)
    }

    pub fn is_you(&self, number: u32) -> bool {
        self.you == Some(number)
    }
}
