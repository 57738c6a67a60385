#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use rand_chacha::{ChaCha8Rng, rand_core::RngCore, rand_core::SeedableRng};

type State = QueueState<u32, &'static str>;
const QUOTA: Quota = Quota {
    envelopes: 1000,
    bytes: 1 << 20,
};

fn id(seq: u64) -> EnvelopeId {
    EnvelopeId(u128::from(seq).to_be_bytes())
}

fn place(seq: u64) -> Place {
    Place {
        seq,
        id: id(seq),
        kind: Kind::Envelope,
        size: 256,
    }
}

fn body(seq: u64) -> Bytes {
    Bytes::from(vec![seq as u8; 256])
}

fn row(seq: u64) -> Envelope {
    Envelope {
        queue: rly_protocol::QueueId([0; 16]),
        seq,
        id: id(seq),
        kind: Kind::Envelope,
        at: rly_protocol::Timestamp(0),
        body: body(seq),
    }
}

fn empty() -> State {
    State::new(Vec::new())
}

fn stored(seqs: impl IntoIterator<Item = u64>) -> State {
    State::new(seqs.into_iter().map(place).collect())
}

/// Sends `seq` with itself as the reply; whether a live reader is given it.
fn send(state: &mut State, seq: u64) -> bool {
    let reply = match state.offer(id(seq), 256, seq as u32, QUOTA) {
        Offer::Fresh(reply) => reply,
        other => panic!("{other:?}"),
    };
    state.admit(place(seq), body(seq), reply).is_some()
}

fn write(state: &mut State, upto: u64) -> Vec<u64> {
    let mut seqs = Vec::new();
    state.start_writing(upto, |place, _| {
        seqs.push(place.seq);
        true
    });
    seqs
}

fn finish(state: &mut State, seq: u64) -> (Vec<u32>, bool) {
    let mut answered = Vec::new();
    let remove = state.stored(seq, |reply| answered.push(reply));
    (answered, remove)
}

fn ack(state: &mut State, number: u64, upto: u64) -> (Vec<u32>, Acknowledged) {
    let mut answered = Vec::new();
    let done = state.acknowledge(number, upto, |reply| answered.push(reply));
    (answered, done)
}

#[test]
fn what_is_acknowledged_while_queued_is_never_written() {
    let mut state = empty();
    assert!(!state.subscribe(1, "a").behind);
    assert!(send(&mut state, 5));
    let (answered, done) = ack(&mut state, 1, 5);
    assert_eq!(answered, [5]);
    assert_eq!((done.envelopes, done.elided, done.remove), (1, 1, false));
    assert!(write(&mut state, 5).is_empty());
    assert!(state.is_idle() || state.reader.is_some());
}

#[test]
fn what_is_acknowledged_while_it_is_written_is_answered_once_and_removed() {
    let mut state = empty();
    state.subscribe(1, "a");
    send(&mut state, 5);
    assert_eq!(write(&mut state, 5), [5]);
    assert_eq!(ack(&mut state, 1, 5).0, [5]);
    assert_eq!(finish(&mut state, 5), (vec![], true));
    assert_eq!(state.take_removals(), [5]);
}

#[test]
fn what_is_acknowledged_after_its_commit_failed_stays_answered() {
    let mut state = empty();
    state.subscribe(1, "a");
    send(&mut state, 5);
    write(&mut state, 5);
    assert_eq!(ack(&mut state, 1, 5).0, [5]);
    state.fail(|reply| panic!("{reply} was answered twice"));
    assert_eq!(state.offer(id(5), 256, 50, QUOTA), Offer::Known(50));
}

#[test]
fn a_repeated_envelope_is_taken_once_at_every_stage() {
    let mut state = empty();
    send(&mut state, 5);
    assert_eq!(state.offer(id(5), 256, 51, QUOTA), Offer::Joined);
    write(&mut state, 5);
    assert_eq!(state.offer(id(5), 256, 52, QUOTA), Offer::Joined);
    assert_eq!(finish(&mut state, 5).0, [5, 51, 52]);
    assert_eq!(state.offer(id(5), 256, 53, QUOTA), Offer::Known(53));
    state.subscribe(1, "a");
    let mut page = Page::read(vec![row(5)], 1, 5);
    assert!(matches!(state.next(1, &mut page), Next::Deliver(_)));
    state.delivered(1, 5);
    ack(&mut state, 1, 5);
    assert_eq!(state.offer(id(5), 256, 54, QUOTA), Offer::Known(54));
}

#[test]
fn recent_ids_are_bounded() {
    let mut state = empty();
    state.subscribe(1, "a");
    for seq in 1..=RECENT_MAX as u64 + 1 {
        send(&mut state, seq);
        ack(&mut state, 1, seq);
    }
    assert_eq!(state.recent.order.len(), RECENT_MAX);
    assert!(matches!(state.offer(id(1), 256, 0, QUOTA), Offer::Fresh(_)));
    assert!(matches!(state.offer(id(2), 256, 0, QUOTA), Offer::Known(_)));
}

#[test]
fn quotas_count_what_waits() {
    let mut state = stored(1..=3);
    let by_count = Quota {
        envelopes: 3,
        ..QUOTA
    };
    let by_bytes = Quota {
        bytes: 3 * 256 + 255,
        ..QUOTA
    };
    assert_eq!(state.offer(id(9), 256, 9, by_count), Offer::Full(9));
    assert_eq!(state.offer(id(9), 256, 9, by_bytes), Offer::Full(9));
    state.subscribe(1, "a");
    state.delivered(1, 1);
    ack(&mut state, 1, 1);
    assert_eq!(state.offer(id(9), 256, 9, by_count), Offer::Fresh(9));
    assert_eq!(state.offer(id(9), 256, 9, by_bytes), Offer::Fresh(9));
}

#[test]
fn a_failed_batch_refuses_also_what_is_queued_behind_it() {
    let mut state = empty();
    send(&mut state, 1);
    write(&mut state, 1);
    send(&mut state, 2);
    let mut refused = Vec::new();
    state.fail(|reply| refused.push(reply));
    refused.sort_unstable();
    assert_eq!(refused, [1, 2]);
    assert!(state.waiting.is_empty() && state.ids.is_empty());
    assert_eq!(state.bytes, 0);
}

#[test]
fn what_failed_but_was_given_is_not_given_again() {
    let mut state = empty();
    state.subscribe(1, "a");
    assert!(send(&mut state, 1));
    write(&mut state, 1);
    state.fail(|_| ());
    // Sent again: the same number, written, not given again.
    assert_eq!(state.offer(id(1), 256, 7, QUOTA), Offer::Again);
    assert_eq!(write(&mut state, 1), [1]);
    assert_eq!(finish(&mut state, 1), (vec![7], false));
    // Failed, and the reader leaves: it is nobody's any more.
    send(&mut state, 2);
    write(&mut state, 2);
    state.fail(|_| ());
    state.unsubscribe(1);
    assert_eq!(state.waiting.len(), 1);
    assert!(matches!(state.offer(id(2), 256, 8, QUOTA), Offer::Fresh(8)));
}

#[test]
fn only_the_present_reader_acknowledges_and_only_what_it_was_given() {
    let mut state = stored(1..=2);
    state.subscribe(1, "a");
    assert_eq!(ack(&mut state, 1, 2).1, Acknowledged::default());
    state.delivered(1, 1);
    assert_eq!(ack(&mut state, 1, u64::MAX).1.envelopes, 1);
    let subscribed = state.subscribe(2, "b");
    assert_eq!(subscribed.replaced, Some("a"));
    state.delivered(2, 2);
    assert_eq!(ack(&mut state, 1, 2).1, Acknowledged::default());
    assert!(!state.unsubscribe(1));
    assert_eq!(ack(&mut state, 2, 2).1.envelopes, 1);
}

#[test]
fn a_notice_under_way_holds_back_what_follows() {
    for stored in [true, false] {
        let mut state = empty();
        state.subscribe(1, "a");
        state.hold(place(1), body(1));
        assert!(!send(&mut state, 2), "2 must wait for 1");
        assert_eq!(write(&mut state, 2), [2]);
        assert_eq!(finish(&mut state, 2).0, [2]);
        assert!(state.ready().is_none());
        state.release(1, stored);
        let mut given = Vec::new();
        while let Some((number, _, envelope)) = state.ready() {
            assert_eq!(envelope.body, body(envelope.seq));
            state.delivered(number, envelope.seq);
            given.push(envelope.seq);
        }
        assert_eq!(given, if stored { vec![1, 2] } else { vec![2] });
        assert!(send(&mut state, 3));
    }
}

#[test]
fn a_page_that_lacks_what_was_stored_means_that_it_is_gone() {
    let mut state = stored(1..=3);
    state.subscribe(1, "a");
    let mut page = Page::default();
    assert_eq!(
        state.next(1, &mut page),
        Next::Fetch {
            after: 0,
            limit: 3,
            until: 3
        }
    );
    page = Page::read(vec![row(3)], 3, 3);
    let Next::Deliver(envelope) = state.next(1, &mut page) else {
        panic!("nothing came");
    };
    assert_eq!(envelope.seq, 3);
    state.delivered(1, 3);
    assert_eq!(state.next(1, &mut page), Next::Live);
}

#[test]
fn unknown_rows_never_make_it_turn_in_circles() {
    let mut state = stored([5]);
    state.subscribe(1, "a");
    let mut page = Page::default();
    assert!(matches!(
        state.next(1, &mut page),
        Next::Fetch {
            after: 0,
            limit: 1,
            ..
        }
    ));
    page = Page::read(vec![row(2)], 1, 5);
    assert!(matches!(
        state.next(1, &mut page),
        Next::Fetch {
            after: 2,
            limit: 1,
            ..
        }
    ));
    page = Page::read(vec![row(5)], 1, 5);
    assert!(matches!(
        state.next(1, &mut page),
        Next::Deliver(Deliverable { seq: 5, .. })
    ));
}

/// In a cluster: what other nodes have stored is learned in pages, which may overlap what is known.
#[test]
fn what_others_have_stored_is_given_in_order_and_once() {
    let mut state = stored([3]);
    assert_eq!(state.newest(), 3);
    state.learn(vec![row(3), row(5), row(8)]);
    assert_eq!(state.newest(), 8);
    let given = |state: &mut State| {
        let mut seqs = Vec::new();
        let mut page = Page::read(vec![row(3), row(5), row(8)], 9, 8);
        loop {
            match state.next(1, &mut page) {
                Next::Deliver(envelope) => {
                    state.delivered(1, envelope.seq);
                    seqs.push(envelope.seq);
                }
                Next::Fetch { .. } => page = Page::read(vec![row(3), row(5), row(8)], 9, 8),
                Next::Live => return seqs,
                other => panic!("{other:?}"),
            }
        }
    };
    state.subscribe(1, "reader");
    assert_eq!(given(&mut state), [3, 5, 8]);
    // Live: somebody has to be told, once, and until then nothing is given behind its back.
    assert_eq!(state.fall_behind(), Some((1, "reader")));
    assert_eq!(state.fall_behind(), None);
    let (_, done) = ack(&mut state, 1, 8);
    assert_eq!((done.envelopes, done.remove), (3, true));
    // A page that was read before the removal was written brings nothing back.
    state.learn(vec![row(5), row(8), row(9)]);
    assert_eq!(given(&mut state), [9]);
    assert_eq!(state.newest(), 9);
}

#[test]
fn deleting_refuses_what_is_under_way() {
    let mut state = empty();
    state.subscribe(1, "a");
    send(&mut state, 1);
    let mut refused = Vec::new();
    assert_eq!(state.delete(|reply| refused.push(reply)), Some("a"));
    assert_eq!(refused, [1]);
    assert_eq!(state.offer(id(2), 256, 2, QUOTA), Offer::Gone(2));
    assert!(write(&mut state, 9).is_empty());
}

/// A model of everything around the state: senders, writer (which may fail), store, readers that
/// come and go and acknowledge. Whatever happens, in any order: each reader is given each number
/// once and in order; what was confirmed is acknowledged or in the store; the store ends empty.
#[test]
fn any_interleaving_keeps_order_and_loses_nothing() {
    for seed in 0..400 {
        run_model(seed);
    }
}

#[derive(Default)]
struct Model {
    store: std::collections::BTreeMap<u64, Envelope>,
    confirmed: HashSet<u64>,
    acknowledged: HashSet<u64>,
    writing: Vec<u64>,
    given: Vec<u64>,
    page: Page,
    caught_up: bool,
    reader: u64,
}

impl Model {
    fn give(&mut self, seq: u64) {
        assert!(self.given.last().is_none_or(|last| *last < seq), "out of order");
        assert!(
            !self.acknowledged.contains(&seq),
            "given after it was acknowledged"
        );
        self.given.push(seq);
    }

    fn catch_up(&mut self, state: &mut State, steps: u32) {
        for _ in 0..steps {
            if self.reader == 0 || self.caught_up {
                return;
            }
            match state.next(self.reader, &mut self.page) {
                Next::Deliver(envelope) => {
                    assert_eq!(envelope.body, body(envelope.seq));
                    self.give(envelope.seq);
                    state.delivered(self.reader, envelope.seq);
                }
                Next::Fetch { after, limit, until } => {
                    let rows = self.store.range(after + 1..).take(limit as usize);
                    let rows = rows.map(|(_, row)| row.clone()).collect();
                    self.page = Page::read(rows, limit, until);
                }
                Next::Live => self.caught_up = true,
                Next::Wait => return,
                Next::Stop => panic!("the reader was forgotten"),
            }
        }
    }

    fn ready(&mut self, state: &mut State) {
        while let Some((number, _, envelope)) = state.ready() {
            self.give(envelope.seq);
            state.delivered(number, envelope.seq);
        }
    }

    fn commit(&mut self, state: &mut State, fails: bool) {
        let writing = std::mem::take(&mut self.writing);
        if fails {
            state.fail(|_| ());
            return;
        }
        for seq in writing {
            self.store.insert(seq, row(seq));
            state.stored(seq, |reply| {
                self.confirmed.insert(u64::from(reply));
            });
        }
    }

    fn acknowledge(&mut self, state: &mut State, seq: u64) {
        let confirmed = &mut self.confirmed;
        state.acknowledge(self.reader, seq, |reply| {
            confirmed.insert(u64::from(reply));
        });
        self.acknowledged
            .extend(self.given.iter().filter(|given| **given <= seq));
    }
}

fn run_model(seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut next = |n: u32| random.next_u32() % n;
    let (mut state, mut model) = (empty(), Model::default());
    let (mut seq, mut held) = (0, None);
    for _ in 0..600 {
        match next(12) {
            0..=2 => {
                seq += 1;
                if send(&mut state, seq) {
                    model.give(seq);
                }
            }
            3 => {
                if model.writing.is_empty() {
                    model.writing = write(&mut state, seq - u64::from(next(3)).min(seq));
                }
            }
            4 => {
                let fails = next(5) == 0;
                model.commit(&mut state, fails);
            }
            5 => {
                model.reader = seq * 1000 + u64::from(next(1000)) + 1;
                model.given.clear();
                model.page = Page::default();
                model.caught_up = false;
                state.subscribe(model.reader, "r");
            }
            6 if next(3) == 0 => {
                state.unsubscribe(model.reader);
                model.reader = 0;
                model.given.clear();
            }
            7 | 8 => {
                if let Some(last) = model.given.get(next(8) as usize).or(model.given.last()).copied() {
                    model.acknowledge(&mut state, last);
                }
            }
            9 => {
                for seq in state.take_removals() {
                    model.store.remove(&seq);
                }
            }
            10 => match held.take() {
                None => {
                    seq += 1;
                    state.hold(place(seq), body(seq));
                    held = Some(seq);
                }
                Some(seq) => {
                    let stored = next(2) == 0;
                    if stored {
                        model.store.insert(seq, row(seq));
                    }
                    state.release(seq, stored);
                    model.ready(&mut state);
                }
            },
            _ => {
                let steps = next(6);
                model.catch_up(&mut state, steps);
            }
        }
    }
    // Everything comes to rest: what was not acknowledged is read by one last reader.
    if let Some(seq) = held {
        state.release(seq, false);
        model.ready(&mut state);
    }
    model.commit(&mut state, false);
    model.writing = write(&mut state, seq);
    model.commit(&mut state, false);
    let wanted: HashSet<u64> = model.confirmed.difference(&model.acknowledged).copied().collect();
    model.reader = u64::MAX;
    (model.given, model.page, model.caught_up) = (Vec::new(), Page::default(), false);
    state.subscribe(model.reader, "last");
    model.catch_up(&mut state, 100_000);
    assert!(model.caught_up, "seed {seed}");
    let given: HashSet<u64> = model.given.iter().copied().collect();
    assert!(
        wanted.is_subset(&given),
        "seed {seed}: lost {:?}",
        wanted.difference(&given)
    );
    model.acknowledge(&mut state, u64::MAX);
    for seq in state.take_removals() {
        model.store.remove(&seq);
    }
    assert!(
        model.store.is_empty(),
        "seed {seed}: left {:?}",
        model.store.keys()
    );
    assert_eq!((state.bytes, state.held), (0, 0), "seed {seed}");
}
