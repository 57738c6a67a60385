//! Mailboxes and what waits in them.

use super::*;

pub async fn envelopes_come_back_in_order(store: &Subject) {
    change(store, vec![register(1), register(2)]).await;
    insert(
        store,
        vec![envelope(1, 1), envelope(2, 2), envelope(1, 3), envelope(1, 9)],
    )
    .await;
    insert(store, vec![envelope(1, 5)]).await;
    let page = store.page(queue(1), 0, 10).await.unwrap();
    assert_eq!(seqs(&page), [1, 3, 5, 9]);
    assert_eq!(page[1], envelope(1, 3));
    assert_eq!(seqs(&store.page(queue(1), 1, 2).await.unwrap()), [3, 5]);
    assert_eq!(seqs(&store.page(queue(1), 9, 2).await.unwrap()), [0; 0]);
    let record = store.queue(queue(1)).await.unwrap().unwrap();
    assert_eq!(
        (record.address, record.reader, record.used_day),
        ([1; 32], key(), 20_000)
    );
    assert_eq!(
        record.waiting[2],
        Place {
            seq: 5,
            id: envelope(1, 5).id,
            kind: Kind::Envelope,
            size: 300
        }
    );
}

pub async fn batches_of_every_size_are_complete(store: &Subject) {
    change(store, vec![register(1)]).await;
    let (mut seq, mut expected) = (0, 0);
    for size in [1, 2, 3, 7, 64, 65, 511, 512, 513, 1_100] {
        let batch = (0..size).map(|_| {
            seq += 1;
            envelope(1, seq)
        });
        insert(store, batch.collect()).await;
        expected += size;
        let waiting = store.queue(queue(1)).await.unwrap().unwrap().waiting;
        assert_eq!(waiting.len(), expected);
    }
    let last = store.page(queue(1), seq - 1, 1).await.unwrap();
    assert_eq!(last, [envelope(1, seq)]);
}

pub async fn many_pages_at_once_are_each_their_own(store: &Subject) {
    change(store, (1..=100).map(register).collect()).await;
    // Every queue has numbers of its own.
    let seqs_of = |n: u8| (1..=5).map(move |i| 10 * u64::from(n) + i);
    let all = (1..=100).flat_map(|n| seqs_of(n).map(move |seq| envelope(n, seq)));
    insert(store, all.collect()).await;
    let asked = (0..300_usize).map(|i| {
        let (n, skip, limit) = (1 + (i % 101) as u8, i % 4, (i % 3) as u32);
        async move {
            let page = store
                .page(queue(n), 10 * u64::from(n) + skip as u64, limit)
                .await
                .unwrap();
            let there: Vec<u64> = seqs_of(n).filter(|_| n <= 100).collect();
            let expected = there.iter().skip(skip).take(limit as usize);
            assert!(page.iter().map(|envelope| &envelope.seq).eq(expected), "page {i}");
            assert!(page.iter().all(|one| *one == envelope(n, one.seq)));
        }
    });
    futures_util::future::join_all(asked).await;
}

pub async fn removed_envelopes_are_gone(store: &Subject) {
    change(store, vec![register(1), register(2)]).await;
    insert(
        store,
        (1..=6).map(|seq| envelope(1 + (seq % 2) as u8, seq)).collect(),
    )
    .await;
    let batch = Batch {
        envelopes: vec![envelope(1, 7)],
        removed: vec![(queue(1), 2), (queue(1), 4), (queue(2), 1)],
        ..Batch::default()
    };
    store.apply(batch.into()).await.unwrap();
    assert_eq!(seqs(&store.page(queue(1), 0, 10).await.unwrap()), [6, 7]);
    assert_eq!(seqs(&store.page(queue(2), 0, 10).await.unwrap()), [3, 5]);
}

pub async fn queues_are_found_by_address_and_deleted_whole(store: &Subject) {
    change(
        store,
        vec![register(1), register(2), share(1, NOW.plus_seconds(60))],
    )
    .await;
    insert(store, vec![envelope(1, 1), envelope(2, 2)]).await;
    assert_eq!(store.find_address([1; 32]).await.unwrap(), Some(queue(1)));
    assert_eq!(store.find_address([3; 32]).await.unwrap(), None);
    assert_eq!(store.queue(queue(3)).await.unwrap(), None);
    change(store, vec![Change::DeleteQueue { queue: queue(1) }]).await;
    assert_eq!(store.find_address([1; 32]).await.unwrap(), None);
    assert_eq!(store.queue(queue(1)).await.unwrap(), None);
    assert!(store.page(queue(1), 0, 9).await.unwrap().is_empty());
    assert_eq!(one(store, claim(1, 1, NOW, 9)).await, Outcome::Missing);
    assert_eq!(one(store, share(1, NOW)).await, Outcome::Missing);
    assert_eq!(seqs(&store.page(queue(2), 0, 9).await.unwrap()), [2]);
}
