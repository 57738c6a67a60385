//! The one binary codec: everything that is stored or sent in bytes goes through it.
//!
//! Integers are big-endian and of fixed width. Arrays of known length are written as they are.
//! Byte strings and texts carry a `u32` length in bytes, lists a `u16` count, optional values a
//! byte 0 or 1. What stands alone (a frame, a stored record) begins with a version byte, which
//! [`record!`](crate::record) and the frame codec write and check.

use bytes::{Buf, Bytes};
use thiserror::Error;

/// Why bytes could not be read.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end before the value does.
    #[error("the data ends too early")]
    Truncated,
    /// Bytes are left after the value.
    #[error("there is more data than expected")]
    Trailing,
    /// A version byte that this build does not know: made by a newer one.
    #[error("version {0} is not known here")]
    Version(u8),
    /// A tag, flag or text that has no meaning.
    #[error("the data is not well-formed")]
    Invalid,
}

/// Collects bytes.
#[derive(Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty writer with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Goes on after what is there.
    pub fn after(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Appends bytes as they are, without a length.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Appends a value.
    pub fn put<T: Encode + ?Sized>(&mut self, value: &T) {
        value.encode(self);
    }

    /// Everything written so far.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads bytes from the front. Byte strings are slices of the input, not copies.
pub struct Reader {
    rest: Bytes,
}

impl Reader {
    /// Starts at the front of `bytes`.
    pub fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when fewer are left.
    pub fn raw(&mut self, n: usize) -> Result<Bytes, DecodeError> {
        if self.rest.len() < n {
            return Err(DecodeError::Truncated);
        }
        Ok(self.rest.split_to(n))
    }

    /// The next `N` bytes, copied: cheaper for a few than [`raw`](Self::raw), which shares memory.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let array = *self.rest.first_chunk().ok_or(DecodeError::Truncated)?;
        self.rest.advance(N);
        Ok(array)
    }

    /// The next value.
    ///
    /// # Errors
    /// Whatever the value's decoder finds wrong.
    pub fn take<T: Decode>(&mut self) -> Result<T, DecodeError> {
        T::decode(self)
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`] otherwise.
    pub fn end(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Trailing)
        }
    }
}

/// A value with a byte form.
pub trait Encode {
    /// Appends the byte form.
    fn encode(&self, to: &mut Writer);

    /// The byte form alone.
    fn to_bytes(&self) -> Vec<u8> {
        let mut to = Writer::default();
        self.encode(&mut to);
        to.finish()
    }
}

/// A value that can be read from bytes.
pub trait Decode: Sized {
    /// Reads one value from the front.
    ///
    /// # Errors
    /// A [`DecodeError`] that says what is wrong; the reader's place is then undefined.
    fn decode(from: &mut Reader) -> Result<Self, DecodeError>;

    /// Reads a value that fills `bytes` exactly.
    ///
    /// # Errors
    /// As [`Decode::decode`], and [`DecodeError::Trailing`].
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(Bytes::copy_from_slice(bytes));
        let value = Self::decode(&mut from)?;
        from.end()?;
        Ok(value)
    }
}

macro_rules! integers {
    ($($int:ty),*) => {$(
        impl Encode for $int {
            fn encode(&self, to: &mut Writer) {
                to.raw(&self.to_be_bytes());
            }
        }
        impl Decode for $int {
            fn decode(from: &mut Reader) -> Result<Self, DecodeError> {
                Ok(<$int>::from_be_bytes(from.array()?))
            }
        }
    )*};
}
integers!(u8, u16, u32, u64);

impl<const N: usize> Encode for [u8; N] {
    fn encode(&self, to: &mut Writer) {
        to.raw(self);
    }
}

impl<const N: usize> Decode for [u8; N] {
    fn decode(from: &mut Reader) -> Result<Self, DecodeError> {
        from.array()
    }
}

impl Encode for bool {
    fn encode(&self, to: &mut Writer) {
        to.put(&u8::from(*self));
    }
}

impl Decode for bool {
    fn decode(from: &mut Reader) -> Result<Self, DecodeError> {
        match from.take::<u8>()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Invalid),
        }
    }
}

impl Encode for Bytes {
    fn encode(&self, to: &mut Writer) {
        to.put(&(self.len() as u32));
        to.raw(self);
    }
}

impl Decode for Bytes {
    fn decode(from: &mut Reader) -> Result<Self, DecodeError> {
        let n = from.take::<u32>()? as usize;
        from.raw(n)
    }
}

impl Encode for str {
    fn encode(&self, to: &mut Writer) {
        to.put(&(self.len() as u32));
        to.raw(self.as_bytes());
    }
}

impl Encode for String {
    fn encode(&self, to: &mut Writer) {
        self.as_str().encode(to);
    }
}

impl Decode for String {
    fn decode(from: &mut Reader) -> Result<Self, DecodeError> {
        let bytes: Bytes = from.take()?;
        core::str::from_utf8(&bytes)
            .map(str::to_owned)
            .map_err(|_| DecodeError::Invalid)
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, to: &mut Writer) {
        to.put(&self.is_some());
        if let Some(value) = self {
            to.put(value);
        }
    }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(from: &mut Reader) -> Result<Self, DecodeError> {
        if from.take::<bool>()? {
            Ok(Some(from.take()?))
        } else {
            Ok(None)
        }
    }
}

impl<T: Encode, E: Encode> Encode for Result<T, E> {
    fn encode(&self, to: &mut Writer) {
        to.put(&self.is_ok());
        match self {
            Ok(value) => to.put(value),
            Err(error) => to.put(error),
        }
    }
}

impl<T: Decode, E: Decode> Decode for Result<T, E> {
    fn decode(from: &mut Reader) -> Result<Self, DecodeError> {
        Ok(if from.take::<bool>()? {
            Ok(from.take()?)
        } else {
            Err(from.take()?)
        })
    }
}

/// A list is for at most 65,535 elements; those who build one check their own, far lower, limits.
impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, to: &mut Writer) {
        debug_assert!(self.len() <= usize::from(u16::MAX));
        to.put(&(self.len() as u16));
        for value in self {
            to.put(value);
        }
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(from: &mut Reader) -> Result<Self, DecodeError> {
        let n = usize::from(from.take::<u16>()?);
        // Memory grows with the data that is there, not with the count that is claimed.
        let room = from.remaining() / size_of::<T>().max(1);
        let mut list = Vec::with_capacity(n.min(room));
        for _ in 0..n {
            list.push(from.take()?);
        }
        Ok(list)
    }
}

impl<A: Encode, B: Encode> Encode for (A, B) {
    fn encode(&self, to: &mut Writer) {
        to.put(&self.0);
        to.put(&self.1);
    }
}

impl<A: Decode, B: Decode> Decode for (A, B) {
    fn decode(from: &mut Reader) -> Result<Self, DecodeError> {
        Ok((from.take()?, from.take()?))
    }
}

/// Defines a struct together with its byte form: the fields in their order, after a version byte
/// if one is given (`struct Name = 1 { … }`).
#[macro_export]
macro_rules! record {
    ($(#[$meta:meta])* $vis:vis struct $name:ident $(= $version:literal)? {
        $($(#[$fmeta:meta])* $fvis:vis $field:ident: $ty:ty),* $(,)?
    }) => {
        $(#[$meta])*
        $vis struct $name { $($(#[$fmeta])* $fvis $field: $ty),* }

        impl $crate::Encode for $name {
            fn encode(&self, to: &mut $crate::Writer) {
                $(to.put::<u8>(&$version);)?
                $(to.put(&self.$field);)*
            }
        }

        impl $crate::Decode for $name {
            fn decode(from: &mut $crate::Reader) -> Result<Self, $crate::DecodeError> {
                $(match from.take::<u8>()? {
                    $version => {}
                    other => return Err($crate::DecodeError::Version(other)),
                })?
                Ok(Self { $($field: from.take()?),* })
            }
        }
    };
}

/// Defines an enum together with its byte form: a tag byte, then the variant's fields. `Name(field: Type)`
/// becomes the variant `Name(Type)`. A tag that is not known is [`DecodeError::Invalid`].
#[macro_export]
macro_rules! choice {
    ($(#[$meta:meta])* $vis:vis enum $name:ident {
        $($(#[$vmeta:meta])* $tag:literal => $variant:ident $(($inner:ident: $ity:ty))? $({
            $($(#[$fmeta:meta])* $field:ident: $ty:ty),* $(,)?
        })?),* $(,)?
    }) => {
        // Fields whose names say everything need no words of their own.
        #[allow(missing_docs)]
        $(#[$meta])*
        $vis enum $name { $($(#[$vmeta])* $variant $(($ity))? $({ $($(#[$fmeta])* $field: $ty),* })?),* }

        impl $crate::Encode for $name {
            fn encode(&self, to: &mut $crate::Writer) {
                match self {
                    $(Self::$variant $(($inner))? $({ $($field),* })? => {
                        to.put::<u8>(&$tag);
                        $(to.put($inner);)?
                        $($(to.put($field);)*)?
                    })*
                }
            }
        }

        impl $crate::Decode for $name {
            fn decode(from: &mut $crate::Reader) -> Result<Self, $crate::DecodeError> {
                match from.take::<u8>()? {
                    $($tag => Ok(Self::$variant $((from.take::<$ity>()?))? $({ $($field: from.take()?),* })?),)*
                    _ => Err($crate::DecodeError::Invalid),
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    record! {
        #[derive(Debug, PartialEq)]
        struct Sample = 1 {
            a: u16,
            b: Option<String>,
            c: Vec<u64>,
            d: Bytes,
        }
    }

    choice! {
        #[derive(Debug, PartialEq)]
        enum Either {
            1 => Left,
            2 => Right { n: u32 },
            3 => Neither(why: Result<String, u8>),
        }
    }

    #[test]
    fn a_record_has_a_fixed_form() {
        let sample = Sample {
            a: 258,
            b: Some("é".into()),
            c: vec![1],
            d: Bytes::from_static(&[9]),
        };
        let bytes = sample.to_bytes();
        assert_eq!(
            bytes,
            [
                1, 1, 2, 1, 0, 0, 0, 2, 0xc3, 0xa9, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 9
            ]
        );
        assert_eq!(Sample::from_bytes(&bytes), Ok(sample));
        assert_eq!(Either::Right { n: 7 }.to_bytes(), [2, 0, 0, 0, 7]);
        assert_eq!(Either::from_bytes(&[1]), Ok(Either::Left));
        assert_eq!(Either::Neither(Err(7)).to_bytes(), [3, 0, 7]);
        let why = Either::Neither(Ok("a".into()));
        assert_eq!(why.to_bytes(), [3, 1, 0, 0, 0, 1, b'a']);
        assert_eq!(Either::from_bytes(&why.to_bytes()), Ok(why));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(Sample::from_bytes(&[2]), Err(DecodeError::Version(2)));
        assert_eq!(Sample::from_bytes(&[1, 0]), Err(DecodeError::Truncated));
        assert_eq!(Either::from_bytes(&[4]), Err(DecodeError::Invalid));
        assert_eq!(Either::from_bytes(&[1, 0]), Err(DecodeError::Trailing));
        assert_eq!(bool::from_bytes(&[2]), Err(DecodeError::Invalid));
        assert_eq!(String::from_bytes(&[0, 0, 0, 1, 0xff]), Err(DecodeError::Invalid));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_fail_cleanly(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(sample) = Sample::from_bytes(&bytes) {
                prop_assert_eq!(sample.to_bytes(), bytes);
            }
        }

        #[test]
        fn every_cut_is_refused(a in any::<u16>(), b in any::<Option<String>>(), c in any::<Vec<u64>>()) {
            let bytes = Sample { a, b, c, d: Bytes::from_static(b"abc") }.to_bytes();
            for n in 0..bytes.len() {
                prop_assert!(Sample::from_bytes(&bytes[..n]).is_err());
            }
        }
    }
}
