//! Invites: opened once.

use super::*;

pub async fn an_invite_is_claimed_once(store: &Subject) {
    change(store, vec![register(1), share(1, NOW.plus_seconds(60))]).await;
    let claims = (1..=64).map(|n| claim(1, n, NOW, u64::from(n))).collect();
    let outcomes = change(store, claims).await;
    assert_eq!(outcomes[0], Outcome::Claimed(Bytes::from_static(b"card")));
    let taken = Outcome::Taken {
        at: NOW,
        key: [1; 32],
        card: Some(Bytes::from_static(b"card")),
    };
    assert!(outcomes[1..].iter().all(|outcome| *outcome == taken));
    assert!(matches!(
        one(store, withdraw(1)).await,
        Outcome::Taken { at: NOW, .. }
    ));
}

pub async fn a_claim_stores_its_notice(store: &Subject) {
    change(store, vec![register(1), share(1, NOW.plus_seconds(60))]).await;
    change(store, vec![claim(1, 1, NOW, 7), claim(1, 2, NOW, 8)]).await;
    let page = store.page(queue(1), 0, 9).await.unwrap();
    assert_eq!(seqs(&page), [7]);
    assert_eq!(page[0].kind, Kind::Notice);
}

pub async fn invites_expire_and_are_withdrawn(store: &Subject) {
    change(store, vec![register(1), register(2), register(3)]).await;
    change(
        store,
        vec![share(1, NOW.plus_seconds(1)), share(2, NOW.plus_seconds(1))],
    )
    .await;
    assert_eq!(
        one(store, claim(1, 1, NOW.plus_seconds(1), 1)).await,
        Outcome::Missing
    );
    assert_eq!(one(store, withdraw(2)).await, Outcome::Done);
    assert_eq!(one(store, withdraw(2)).await, Outcome::Done);
    assert_eq!(one(store, claim(2, 1, NOW, 1)).await, Outcome::Withdrawn);
    assert_eq!(one(store, withdraw(3)).await, Outcome::Missing);
    let foreign = Change::Withdraw {
        invite: InviteId([1; 16]),
        queue: queue(3),
    };
    assert_eq!(one(store, foreign).await, Outcome::Missing);
    assert!(store.page(queue(2), 0, 9).await.unwrap().is_empty());
}
