//! Is the write-ahead log damaged? To be asked before SQLite opens it: SQLite takes everything after
//! the first frame that does not fit for a commit that was cut off, forgets it, and writes over it.
//!
//! The format: <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>. Each frame carries a
//! checksum over itself and all before it, so a frame fits only behind the one it was written behind.
//!
//! What is cut off by a crash is the end: a commit that was never confirmed. But a frame behind a
//! commit was written after that commit was on the disk for good (`synchronous=FULL`). So where a frame
//! does not fit, and further on one still fits behind the end of a commit, something was lost that had
//! been there. Damage within the last commit cannot be told from one that was cut off.

use std::{
    fs::File,
    io::{self, BufReader, ErrorKind, Read},
    path::Path,
};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The header's first word, but for its last bit: that tells the byte order of the checksums.
const MAGIC: u32 = 0x377f_0682;
const PAGE_SIZES: std::ops::RangeInclusive<u32> = 512..=65_536;

/// What is wrong with the log of a database, if anything is.
///
/// # Errors
/// The files cannot be read.
pub(super) fn damage(database: &Path, log: &Path) -> io::Result<Option<&'static str>> {
    let file = match File::open(log) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    // The header is on the disk for good before the first frame is written.
    if length <= HEADER as u64 {
        return Ok(None);
    }
    match std::fs::metadata(database) {
        Ok(found) if found.len() > 0 => {}
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => return Ok(Some("its log is there, but the file itself is missing or empty")),
    }
    let mut from = BufReader::with_capacity(1 << 20, file);
    let mut header = [0; HEADER];
    from.read_exact(&mut header)?;
    let Some(log) = Log::parse(&header) else {
        return Ok(Some("the header of its log is damaged"));
    };
    log.damage(&mut from)
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Sum(u32, u32);

struct Log {
    big_endian: bool,
    page_size: usize,
    /// Changes each time the log begins again: frames that carry another one are of an earlier log.
    salt: [u8; 8],
    sum: Sum,
}

impl Log {
    fn parse(header: &[u8; HEADER]) -> Option<Self> {
        let magic = word(header, 0);
        let page_size = word(header, 8);
        let log = Self {
            big_endian: magic & 1 == 1,
            page_size: page_size as usize,
            salt: *header[16..].first_chunk()?,
            sum: Sum(word(header, 24), word(header, 28)),
        };
        let known = magic & !1 == MAGIC && page_size.is_power_of_two() && PAGE_SIZES.contains(&page_size);
        (known && log.add(Sum(0, 0), &header[..24]) == log.sum).then_some(log)
    }

    fn damage(&self, from: &mut impl Read) -> io::Result<Option<&'static str>> {
        let mut frame = vec![0; FRAME_HEADER + self.page_size];
        let (mut sum, mut whole) = (self.sum, true);
        // Whether the frame before is of this log and ends a commit.
        let mut after_commit = false;
        while read_whole(from, &mut frame)? {
            let (head, page) = frame.split_at(FRAME_HEADER);
            let stored = Sum(word(head, 16), word(head, 20));
            let ours = head[8..16] == self.salt;
            let fits = ours && self.add(self.add(sum, &head[..8]), page) == stored;
            if fits && !whole && after_commit {
                return Ok(Some("its log is damaged"));
            }
            whole &= fits;
            after_commit = ours && word(head, 4) != 0;
            sum = stored;
        }
        Ok(None)
    }

    fn add(&self, Sum(mut a, mut b): Sum, bytes: &[u8]) -> Sum {
        let read = |bytes: [u8; 4]| {
            if self.big_endian {
                u32::from_be_bytes(bytes)
            } else {
                u32::from_le_bytes(bytes)
            }
        };
        for pair in bytes.chunks_exact(8) {
            let (first, second) = (
                [pair[0], pair[1], pair[2], pair[3]],
                [pair[4], pair[5], pair[6], pair[7]],
            );
            a = a.wrapping_add(read(first)).wrapping_add(b);
            b = b.wrapping_add(read(second)).wrapping_add(a);
        }
        Sum(a, b)
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4]
        .iter()
        .fold(0, |word, byte| word << 8 | u32::from(*byte))
}

/// False: less than a frame is left.
fn read_whole(from: &mut impl Read, frame: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(frame) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::store::{Batch, Change, SqliteStore, Store, VaultBounds};
    use rly_protocol::QueueId;
    use std::{fs, path::PathBuf};

    const COMMITS: u8 = 6;
    const ONE: VaultBounds = VaultBounds { entries: 1, bytes: 1 };

    /// A database as a process leaves it that was killed after some commits.
    async fn killed(folder: &Path) -> (PathBuf, PathBuf) {
        let (live, database) = (folder.join("live"), folder.join("rly.db"));
        let log = folder.join("rly.db-wal");
        let store = SqliteStore::open(&live).await.unwrap();
        for n in 0..COMMITS {
            let batch = Batch {
                changes: vec![Change::OpenVault {
                    vault: QueueId([n; 16]),
                    day: 20_000,
                }],
                ..Batch::default()
            };
            store.apply(batch.into()).await.unwrap();
        }
        fs::copy(&live, &database).unwrap();
        fs::copy(folder.join("live-wal"), &log).unwrap();
        store.close().await.unwrap();
        (database, log)
    }

    /// Where each frame begins, and whether it ends a commit.
    fn frames(log: &[u8]) -> Vec<(usize, bool)> {
        let size = FRAME_HEADER + word(log, 8) as usize;
        let starts = (HEADER..=log.len() - size).step_by(size);
        starts.map(|at| (at, word(log, at + 4) != 0)).collect()
    }

    #[tokio::test]
    async fn damage_before_the_last_commit_is_noticed_wherever_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (database, log) = killed(folder.path()).await;
        assert_eq!(damage(&database, &log).unwrap(), None);
        let whole = fs::read(&log).unwrap();
        let frames = frames(&whole);
        let ends: Vec<usize> = (0..frames.len()).filter(|n| frames[*n].1).collect();
        assert_eq!(ends.len(), usize::from(COMMITS));
        let last_but_one = ends[ends.len() - 2];
        let flip = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            fs::write(&log, bytes).unwrap();
            damage(&database, &log).unwrap()
        };
        for at in 0..HEADER {
            assert!(flip(at).is_some(), "header byte {at}");
        }
        for (n, (start, _)) in frames.iter().enumerate() {
            // Page number, size, salt, checksum, page.
            for at in [0, 7, 9, 14, 17, 22, FRAME_HEADER, FRAME_HEADER + 2_000] {
                let found = flip(start + at);
                if n < last_but_one {
                    assert!(found.is_some(), "frame {n} byte {at}");
                } else if n > last_but_one {
                    assert_eq!(found, None, "frame {n} byte {at}");
                }
            }
        }
    }

    #[tokio::test]
    async fn a_commit_that_was_cut_off_is_no_damage() {
        let folder = tempfile::tempdir().unwrap();
        let (database, log) = killed(folder.path()).await;
        let whole = fs::read(&log).unwrap();
        for length in (0..whole.len()).step_by(499) {
            fs::write(&log, &whole[..length]).unwrap();
            assert_eq!(damage(&database, &log).unwrap(), None, "{length} bytes");
        }
        // What an earlier, longer log has left behind the present one.
        let mut bytes = whole.clone();
        bytes.extend_from_slice(&whole[HEADER..]);
        fs::write(&log, bytes).unwrap();
        assert_eq!(
            damage(&database, &log).unwrap(),
            Some("its log is damaged"),
            "its own salt"
        );
        let mut bytes = whole.clone();
        for (start, _) in frames(&whole) {
            let mut frame = whole[start..start + FRAME_HEADER + word(&whole, 8) as usize].to_vec();
            frame[8] ^= 1;
            bytes.extend(frame);
        }
        fs::write(&log, bytes).unwrap();
        assert_eq!(damage(&database, &log).unwrap(), None);
    }

    #[tokio::test]
    async fn a_log_without_its_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (database, log) = killed(folder.path()).await;
        fs::write(&database, "").unwrap();
        assert!(damage(&database, &log).unwrap().is_some());
        fs::remove_file(&database).unwrap();
        assert!(damage(&database, &log).unwrap().is_some());
        fs::remove_file(&log).unwrap();
        assert_eq!(damage(&database, &log).unwrap(), None);
    }

    #[tokio::test]
    async fn nothing_is_added_to_a_log_that_was_found() {
        let folder = tempfile::tempdir().unwrap();
        let (database, log) = killed(folder.path()).await;
        assert!(fs::metadata(&log).unwrap().len() > 0);
        let store = SqliteStore::open(&database).await.unwrap();
        assert_eq!(fs::metadata(&log).unwrap().len(), 0);
        let last = QueueId([COMMITS - 1; 16]);
        assert!(store.vault_page(last, 0, ONE).await.unwrap().is_some());
    }
}
