//! Inputs that are a series of steps.

/// Reads steps from an input. Past its end everything is zero and empty.
pub struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    /// From the start of an input.
    pub fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// Whether all was read.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        u8::from_be_bytes(self.array())
    }

    /// The next two bytes.
    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    /// The next four bytes.
    pub fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.array())
    }

    /// The next eight bytes.
    pub fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.array())
    }

    /// The next bytes.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let n = N.min(self.0.len());
        let (bytes, rest) = self.0.split_at(n);
        array[..n].copy_from_slice(bytes);
        self.0 = rest;
        array
    }

    /// As many bytes as the next two say, or as are left.
    pub fn chunk(&mut self) -> &'a [u8] {
        let n = usize::from(self.u16()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(n);
        self.0 = rest;
        bytes
    }

    /// All that is left.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// Writes what [`Script`] reads, for seeds.
#[derive(Default)]
pub struct ScriptWriter(Vec<u8>);

impl ScriptWriter {
    /// Appends bytes as they are.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends bytes with their length.
    pub fn chunk(self, bytes: &[u8]) -> Self {
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.bytes(&length.to_be_bytes()).bytes(bytes)
    }

    /// What was written.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}
