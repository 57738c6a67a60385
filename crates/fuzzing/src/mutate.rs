//! Blind mutations, for `cargo test`, where nothing measures coverage.

use crate::Random;
use rand_core::RngCore;

/// Values at which decoders err.
const EDGES: [u64; 12] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];

/// A variation of an input: a few changes, some of them with parts of another input.
pub(crate) fn mutated(input: &[u8], other: &[u8], words: &[&str], random: &mut Random) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..1 + random.below(4) {
        change(&mut bytes, other, words, random);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, other: &[u8], words: &[&str], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let end = (at + random.below(9)).min(bytes.len());
    match random.below(9) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.next_u32() as u8;
            }
        }
        // A number, big-endian, of some width.
        2 => {
            let edge = random.one(&EDGES).copied().unwrap_or_default();
            let width = 1 << random.below(4);
            let number = &edge.to_be_bytes()[8 - width..];
            for (place, byte) in bytes[at..].iter_mut().zip(number) {
                *place = *byte;
            }
        }
        3 => drop(bytes.drain(at..end)),
        4 => bytes.truncate(at),
        5 => {
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
        6 => {
            let from = random.below(other.len() + 1);
            let to = (from + random.below(33)).min(other.len());
            bytes.splice(at..end, other[from..to].iter().copied());
        }
        7 => {
            let word = random.one(words).map_or(&b"\0"[..], |word| word.as_bytes());
            bytes.splice(at..at, word.iter().copied());
        }
        _ => bytes.insert(at, random.next_u32() as u8),
    }
}
