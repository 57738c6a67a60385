//! A group: one speaks, with few messages on the way, and everybody reads each. With the product it is a
//! room, where a message is stored, once for all, before anybody is given it.

use super::{Figures, Meter, Place, Used, figure};
use crate::{
    Failure,
    member::{Group, Member},
    message::{self, Message, percentile},
    server::{Server, Target},
};
use std::{
    cell::{Cell, RefCell},
    time::Instant,
};
use tokio::sync::Notify;

/// Messages on the way.
const WINDOW: usize = 4;
/// Messages before it counts.
const WARM_UP: usize = 20;

/// How far everybody is.
struct Progress {
    people: usize,
    /// Of each message that was said: when, and how many have it.
    said: RefCell<Vec<(Instant, usize)>>,
    /// Messages that everybody has.
    done: Cell<usize>,
    changed: Notify,
    /// Microseconds from saying to reading.
    ages: RefCell<Vec<f32>>,
}

pub(super) async fn run(place: &Place, target: Target) -> Result<Figures, Failure> {
    let server = place.start(target)?;
    let (people, total) = (place.scale.people, WARM_UP + place.scale.said);
    let group = Group::make(&server).await?;
    let mut members = Vec::new();
    for number in 1..=people {
        members.push(Member::join(&server, &group, number).await?);
    }
    let mut speaker = members.remove(0);
    // Signed before: what a client computes is not what is measured.
    let mut message = Message::new();
    let frames: Vec<_> = (0..total as u64)
        .map(|number| speaker.prepare(message.stamped(number)))
        .collect();
    let progress = Progress {
        people: 1 + members.len(),
        said: RefCell::default(),
        done: Cell::new(0),
        changed: Notify::new(),
        ages: RefCell::default(),
    };
    let reading = members.iter_mut().map(|member| read(member, total, &progress));
    let (_, used) = tokio::try_join!(
        futures_util::future::try_join_all(reading),
        speak(&mut speaker, &frames, &progress, &server)
    )?;
    let deliveries = progress.people * place.scale.said;
    let mut ages = progress.ages.into_inner();
    let mut figures = vec![
        figure("deliveries/s", deliveries as f64 / used.seconds),
        figure("p50 us", percentile(&mut ages, 0.50)),
        figure("p99 us", percentile(&mut ages, 0.99)),
    ];
    let costs = used.figures(deliveries as u64).into_iter();
    figures.extend(costs.map(|(name, value)| (name.replace("/message", "/delivery"), value)));
    Ok(figures)
}

/// Says everything, and reads it as well. It counts from when everybody has what was to warm up.
async fn speak(
    speaker: &mut Member,
    frames: &[Vec<u8>],
    progress: &Progress,
    server: &Server,
) -> Result<Used, Failure> {
    let (mut got, mut said) = (0, 0);
    let mut meter = Meter::start([server]);
    for end in [WARM_UP, frames.len()] {
        meter = Meter::start([server]);
        progress.ages.borrow_mut().clear();
        while progress.done.get() < end {
            while said < end.min(progress.done.get() + WINDOW) {
                speaker.put(&frames[said]);
                progress.said.borrow_mut().push((Instant::now(), 0));
                said += 1;
            }
            tokio::select! {
                arrived = speaker.pump() => {
                    arrived?;
                    progress.take(speaker, &mut got)?;
                }
                () = progress.changed.notified() => {}
            }
        }
    }
    Ok(meter.stop([server]))
}

/// Reads all that is said.
async fn read(member: &mut Member, total: usize, progress: &Progress) -> Result<(), Failure> {
    let mut got = 0;
    while got < total {
        member.pump().await?;
        progress.take(member, &mut got)?;
    }
    Ok(())
}

impl Progress {
    /// Takes what has arrived for somebody who had so many messages before.
    fn take(&self, member: &mut Member, got: &mut usize) -> Result<(), Failure> {
        let mut said = self.said.borrow_mut();
        let mut ages = self.ages.borrow_mut();
        let mut wrong = false;
        member.take(|body| {
            let expected = message::number(body) == Some(*got as u64);
            match said.get_mut(*got).filter(|_| expected) {
                Some((at, have)) => {
                    ages.push(at.elapsed().as_nanos() as f32 / 1e3);
                    *have += 1;
                    *got += 1;
                    if *have == self.people {
                        self.done.set(*got);
                        self.changed.notify_one();
                    }
                }
                None => wrong = true,
            }
        })?;
        if wrong {
            return Err(format!("message {got} was lost, doubled or overtaken").into());
        }
        Ok(())
    }
}
