//! The presentation language of RFC 9420, section 2.1.

/// Appends `opaque<V>`.
pub(super) fn vector(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend(length(bytes.len()));
    to.extend_from_slice(bytes);
}

/// `opaque<V>`.
pub(super) fn opaque(bytes: &[u8]) -> Vec<u8> {
    let mut to = Vec::new();
    vector(&mut to, bytes);
    to
}

fn length(n: usize) -> Vec<u8> {
    match u32::try_from(n) {
        Ok(n @ 0..64) => vec![n as u8],
        Ok(n @ 64..16_384) => (n as u16 | 0x4000).to_be_bytes().to_vec(),
        Ok(n) => (n | 0x8000_0000).to_be_bytes().to_vec(),
        Err(_) => Vec::new(),
    }
}

/// Reads from the front.
#[derive(Clone)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

pub(super) type Read<T> = Result<T, String>;

impl<'a> Reader<'a> {
    pub(super) fn bytes(&mut self, n: usize) -> Read<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(n).ok_or("the data ends too early")?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn number(&mut self, n: usize) -> Read<u64> {
        let bytes = self.bytes(n)?;
        Ok(bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// `opaque<V>`.
    pub(super) fn vector(&mut self) -> Read<&'a [u8]> {
        let first = self.number(1)?;
        let (more, mask) = match first >> 6 {
            0 => (0, 0x3f),
            1 => (1, 0x3fff),
            2 => (3, 0x3fff_ffff),
            _ => return Err("a length that is none".into()),
        };
        let rest = self.number(more)?;
        let length = (first << (8 * more) | rest) & mask;
        self.bytes(usize::try_from(length).map_err(|_| "too long")?)
    }

    pub(super) fn end(&self) -> Read<()> {
        crate::tally::holds("nothing may follow", self.0.is_empty())
    }

    /// What `run` has read.
    pub(super) fn taken<T>(&mut self, run: impl FnOnce(&mut Self) -> Read<T>) -> Read<&'a [u8]> {
        let before = self.0;
        run(self)?;
        Ok(&before[..before.len() - self.0.len()])
    }
}
