//! Damaged files: the start is refused with one clear line, and not a byte of them is changed.

use crate::common::{
    Key,
    process::{Place, delivered, envelope},
};
use rly_protocol::frame::ServerFrame;
use std::{collections::BTreeMap, fs, path::Path};

const PAGE: usize = 4096;
const WAL_FRAME: usize = 24 + PAGE;

type Files = BTreeMap<String, Vec<u8>>;

/// Every file that holds something. `-shm` is an index of the log that SQLite makes anew.
fn files(data: &Path) -> Files {
    let names = ["rly.sqlite", "rly.sqlite-wal", "server.key"];
    (names.into_iter())
        .filter_map(|name| Some((name.to_owned(), fs::read(data.join(name)).ok()?)))
        // SQLite makes an empty log to look into.
        .filter(|(name, bytes)| name != "rly.sqlite-wal" || !bytes.is_empty())
        .collect()
}

fn restore(data: &Path, files: &Files) {
    for name in [
        "rly.sqlite",
        "rly.sqlite-wal",
        "rly.sqlite-shm",
        "rly.sqlite-journal",
    ] {
        let _ = fs::remove_file(data.join(name));
    }
    for (name, bytes) in files {
        fs::write(data.join(name), bytes).unwrap();
    }
}

/// What a server leaves that was killed: a file with tables and a log that is in use.
async fn killed(place: &Place, key: &Key) -> (rly_protocol::api::Registered, u32) {
    let server = place.start();
    let mailbox = server.register(key).await;
    for n in 0..40 {
        server.share(&mailbox, &[n; 3_000]).await;
    }
    // Once down and up: then the tables are in the file.
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    let server = place.start();
    let mut sender = server.socket().await;
    for n in 1..=30 {
        sender.send(envelope(&mailbox, n, 1024)).await;
        assert_eq!(sender.next().await, Some(ServerFrame::Done { req: n }));
    }
    server.kill();
    (mailbox, 30)
}

fn change<'a>(files: &'a mut Files, name: &str) -> &'a mut Vec<u8> {
    files.get_mut(name).unwrap()
}

#[tokio::test]
async fn damaged_files_stop_the_start_and_stay_as_they_are() {
    let (place, key) = (Place::new(), Key::generate());
    let (mailbox, count) = killed(&place, &key).await;
    let data = place.data();
    let good = files(&data);
    let pages = good["rly.sqlite"].len() / PAGE;
    let frames = (good["rly.sqlite-wal"].len() - 32) / WAL_FRAME;
    assert!(pages > 20 && frames > 60, "{pages} pages, {frames} frames");

    // The same, stopped as it should be: all is in the file.
    let server = place.start();
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    let rested = files(&data);
    assert!(!rested.contains_key("rly.sqlite-wal"));

    let refused = |what: &str, from: &Files, change: &dyn Fn(&mut Files)| {
        let mut damaged = from.clone();
        change(&mut damaged);
        restore(&data, &damaged);
        // Twice: the first one must not have made it look sound.
        for _ in 0..2 {
            let line = place.refused(|_| {});
            assert!(
                line.contains("rly.sqlite cannot be used: the database is damaged"),
                "{what}: {line}"
            );
            assert!(files(&data) == damaged, "{what}: a file was changed");
        }
    };
    refused("its first bytes", &rested, &|files| {
        change(files, "rly.sqlite")[..16].fill(b'x');
    });
    refused("cut to a half", &rested, &|files| {
        change(files, "rly.sqlite").truncate(pages / 2 * PAGE);
    });
    refused("zeros behind its header", &rested, &|files| {
        change(files, "rly.sqlite")[PAGE..].fill(0);
    });
    // Pages that make up the tables and indexes: these first bytes say so.
    let kinds = (1..pages).filter(|page| matches!(rested["rly.sqlite"][page * PAGE], 2 | 5 | 10 | 13));
    let trees: Vec<usize> = kinds.collect();
    assert!(trees.len() > 10, "{trees:?}");
    for page in trees.iter().step_by(3) {
        refused(&format!("page {page}"), &rested, &|files| {
            change(files, "rly.sqlite")[page * PAGE..(page + 1) * PAGE].fill(0xa5);
        });
    }
    refused("a page beside a log", &good, &|files| {
        change(files, "rly.sqlite")[PAGE..].fill(0xa5);
    });
    refused("empty, but its log is there", &good, &|files| {
        change(files, "rly.sqlite").clear();
    });
    refused("gone, but its log is there", &good, &|files| {
        files.remove("rly.sqlite");
    });
    refused("its log's header", &good, &|files| {
        change(files, "rly.sqlite-wal")[17] ^= 1;
    });
    for (n, at) in [
        (0, 3),
        (1, 12),
        (frames / 4, 20),
        (frames / 2, 1_024),
        (frames * 3 / 4, 24),
    ] {
        refused(&format!("frame {n} byte {at} of its log"), &good, &|files| {
            change(files, "rly.sqlite-wal")[32 + n * WAL_FRAME + at] ^= 0x40;
        });
    }

    // The undamaged files serve as before, and so does a log whose last commit was cut off.
    restore(&data, &good);
    let server = place.start();
    let mut reader = server.socket().await;
    reader.subscribe(&key, &mailbox).await;
    for n in 1..=count {
        assert_eq!(delivered(reader.next().await).1[0], n as u8);
    }
    server.kill();
    let mut cut = good.clone();
    let log = change(&mut cut, "rly.sqlite-wal");
    log.truncate(log.len() - 100);
    restore(&data, &cut);
    place.start();
}
