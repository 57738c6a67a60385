//! LabeledExtract and LabeledExpand of RFC 9180, section 4, with HKDF-SHA-256.

use hkdf::{Hkdf, HkdfExtract};
use sha2::Sha256;
use zeroize::Zeroizing;

const VERSION: &[u8] = b"HPKE-v1";
/// What SHA-256 gives at once.
const BLOCK: usize = 32;

/// What LabeledExtract gives.
pub(crate) struct Prk(Zeroizing<[u8; BLOCK]>);

/// LabeledExtract for `suite`.
pub(crate) fn extract(suite: &[u8], salt: &[u8], label: &[u8], ikm: &[u8]) -> Prk {
    let mut extract = HkdfExtract::<Sha256>::new(Some(salt));
    for part in [VERSION, suite, label, ikm] {
        extract.input_ikm(part);
    }
    let (prk, _) = extract.finalize();
    Prk(Zeroizing::new(prk.into()))
}

impl Prk {
    /// A secret that was made elsewhere to be expanded.
    pub(crate) fn new(secret: Zeroizing<[u8; BLOCK]>) -> Self {
        Self(secret)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; BLOCK] {
        &self.0
    }

    /// LabeledExpand to `length` bytes; `None` above what HKDF gives.
    pub(crate) fn expand(
        &self,
        suite: &[u8],
        label: &[u8],
        info: &[&[u8]],
        length: usize,
    ) -> Option<Vec<u8>> {
        let length_bytes = u16::try_from(length).ok()?.to_be_bytes();
        let mut parts = vec![&length_bytes[..], VERSION, suite, label];
        parts.extend(info);
        let mut out = vec![0; length];
        let hkdf = Hkdf::<Sha256>::from_prk(&self.0[..]).ok()?;
        hkdf.expand_multi_info(&parts, &mut out).ok()?;
        Some(out)
    }

    /// LabeledExpand to at most one block.
    // A key of one block is long enough, and HKDF gives 255 of them.
    #[allow(clippy::expect_used)]
    pub(crate) fn block<const N: usize>(
        &self,
        suite: &[u8],
        label: &[u8],
        info: &[&[u8]],
    ) -> Zeroizing<[u8; N]> {
        const { assert!(N <= BLOCK) }
        let bytes = Zeroizing::new(self.expand(suite, label, info, N).expect("one block of output"));
        let mut block = Zeroizing::new([0; N]);
        block.copy_from_slice(&bytes);
        block
    }
}
