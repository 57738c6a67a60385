//! What has to be true after each run.

use crate::{
    cast::{Cast, name, note_of, text_of},
    run::Kind,
};
use rly_view::{MessageState, MessageView, Note};
use std::collections::{BTreeMap, BTreeSet};

pub fn check(cast: &mut Cast, kind: Kind) {
    let people = cast.people.len();
    for p in 0..people {
        for q in (0..people).filter(|q| *q != p) {
            for d in cast.people[q].devices.clone() {
                let shown = cast.shown(d, p);
                nothing_twice(&shown);
                nothing_forged(cast, p, q, &shown);
                // A profile of before misses what it had received since, does not know what it said, and uses
                // keys once more: until that is noticed it may say something that is read, after something
                // that is not.
                let put_back = [p, q].iter().any(|who| cast.was_put_back(*who));
                let honest = kind.is_honest() && !put_back;
                in_order(cast, p, q, &shown, honest);
                if honest {
                    nothing_to_notice(&shown, kind);
                }
            }
            delivered_is_shown(cast, p, q);
        }
    }
    for (a, b) in cast.pairs.clone() {
        nothing_is_lost(cast, a, b, kind);
        nothing_is_lost(cast, b, a, kind);
        one_safety_code(cast, a, b);
    }
    // Nobody reads what comes by a link, or from a contact, that only a lost device knew, or one that was left
    // too early, or a profile that was put back.
    let links_known = (0..people).all(|p| !cast.was_put_back(p) && !cast.people[p].hasty)
        && cast
            .world
            .devices
            .iter()
            .all(|device| !device.closed || device.state.invites.is_empty());
    if kind.is_honest() && links_known {
        assert_eq!(cast.world.relay.waiting(), 0, "everything is acknowledged");
    }
}

fn nothing_twice(shown: &[MessageView]) {
    let mut texts = BTreeSet::new();
    for text in shown.iter().filter_map(text_of) {
        assert!(texts.insert(text.clone()), "{text:?} is shown twice");
    }
}

fn nothing_forged(cast: &Cast, from: usize, to: usize, shown: &[MessageView]) {
    let said: BTreeSet<&str> = cast
        .said
        .iter()
        .filter(|said| said.from == from && said.to == to)
        .map(|said| said.text.as_str())
        .collect();
    for text in shown.iter().filter(|m| !m.own).filter_map(text_of) {
        assert!(said.contains(text.as_str()), "{from} never said {text:?} to {to}");
    }
}

/// What one device has sent is shown in its order. Where something was lost and came again, a gap
/// or new keys are shown before it.
fn in_order(cast: &Cast, from: usize, to: usize, shown: &[MessageView], honest: bool) {
    let places: BTreeMap<&str, (usize, usize)> = cast
        .said
        .iter()
        .enumerate()
        .filter(|(_, said)| said.from == from && said.to == to && !said.retried)
        .map(|(place, said)| (said.text.as_str(), (said.device, place)))
        .collect();
    let mut last: BTreeMap<usize, usize> = BTreeMap::new();
    let mut explained = false;
    for message in shown {
        explained |= note_of(message).is_some();
        let Some(text) = text_of(message).filter(|_| !message.own) else {
            continue;
        };
        let Some((device, place)) = places.get(text.as_str()) else {
            continue;
        };
        let last = last.entry(*device).or_insert(*place);
        if honest || !explained {
            assert!(place >= last, "{text:?} is out of order\n{}", brief(shown));
        }
        *last = (*last).max(*place);
    }
}

/// Where the relay is honest there is nothing to be told, but that there are new keys.
fn nothing_to_notice(shown: &[MessageView], kind: Kind) {
    for note in shown.iter().filter_map(note_of) {
        let new_keys = matches!(note, Note::Rejoined | Note::RejoinedHere);
        assert!(kind.devices && new_keys, "{note:?}\n{}", brief(shown));
    }
}

/// "Delivered" is never said of what was not shown.
fn delivered_is_shown(cast: &mut Cast, from: usize, to: usize) {
    let shown = cast.ever_shown(to, from);
    for at in 0..cast.said.len() {
        let said = &cast.said[at];
        if said.from != from || said.to != to || shown.contains(&said.text) {
            continue;
        }
        let text = said.text.clone();
        let state = cast.state_of(at);
        assert_ne!(
            state,
            Some(MessageState::Delivered),
            "{text:?} was not shown to {to}"
        );
    }
}

/// All that was said on a device that is still in use has arrived; what was confirmed on another
/// one as well, if the relay is honest and the other side never lost its keys.
fn nothing_is_lost(cast: &mut Cast, from: usize, to: usize, kind: Kind) {
    let (d, e) = (cast.people[from].active, cast.people[to].active);
    // A vault that was rolled back may forget how far re-joins were numbered. With a clock that is
    // behind, the contact then takes none until the clock is there; the page says that keys are awaited.
    let waits = kind.rolls_back && kind.devices;
    let told = |d: usize, with: usize| {
        let line = cast.world.line(d, &name(with));
        line.is_none_or(|line| line.unreachable || waits && line.rejoining)
    };
    if told(d, to) || told(e, from) {
        // Only a relay that has forgotten mailboxes or vaults does that, and both can see it; or there
        // never was a conversation but on a device that is no more.
        assert!(
            !kind.is_honest() || answer_was_lost(cast, from, to),
            "{from} and {to} do not reach each other"
        );
        return;
    }
    let shown = cast.ever_shown(to, from);
    for at in 0..cast.said.len() {
        let said = &cast.said[at];
        if said.from != from || said.to != to {
            continue;
        }
        let (text, device) = (said.text.clone(), said.device);
        let state = cast.state_of(at);
        let confirmed = matches!(state, Some(MessageState::Sent | MessageState::Delivered));
        let must = if device == d {
            // An old profile that was put back does not know what it said since.
            state.is_some()
        } else {
            kind.is_honest() && confirmed && cast.people[to].devices.len() == 1 && !kind.devices
        };
        if must && !shown.contains(&text) {
            let (one, other) = (cast.shown(d, to), cast.shown(e, from));
            let (line, other_line) = (cast.world.line(d, &name(to)), cast.world.line(e, &name(from)));
            panic!(
                "{text:?} of {from} to {to} is lost: {state:?}\n{line:?}\n{other_line:?}\n{}\n{}",
                brief(&one),
                brief(&other)
            );
        }
        if must && device == d {
            assert_eq!(state, Some(MessageState::Delivered), "{text:?} of {from} to {to}");
        }
    }
}

/// The conversation was never there, and nobody was told otherwise. Either neither side has it, as the answer
/// that would have made it stayed on a device which was lost before it could send: of an old profile that was
/// put back that cannot be asked any more. Or the link was made, and answered, before the profile that knew it
/// had told the vault of it, and was put back, or its device was left for another one. Or it was the answering
/// device that was left so, although it said that it had not told the vault. Or the relay's clock leapt past the
/// end of the link, or of what waited behind it, while its answer was on the way. Then who answered sees that:
/// nothing since was delivered, and the contact cannot be reached, or new keys are awaited where the profile or
/// the device that had written is no more.
fn answer_was_lost(cast: &mut Cast, one: usize, other: usize) -> bool {
    let has = |of: usize, with: usize| cast.world.line(cast.people[of].active, &name(with)).is_some();
    let (has_one, has_other) = (has(one, other), has(other, one));
    let answer = cast.said.iter().position(|said| {
        said.text.starts_with("answer") && [(one, other), (other, one)].contains(&(said.from, said.to))
    });
    let Some(at) = answer else { return false };
    let (from, to, device) = (cast.said[at].from, cast.said[at].to, cast.said[at].device);
    let (has_from, has_to) = if from == one {
        (has_one, has_other)
    } else {
        (has_other, has_one)
    };
    match (has_from, has_to, cast.state_of(at)) {
        (false, false, Some(state)) => state == MessageState::Sending && device != cast.people[from].active,
        (false, false, None) => cast.was_put_back(from),
        // It waits on a device that was left.
        (true, false, Some(MessageState::Sending)) if device != cast.people[from].active => true,
        (true, false, _) => {
            let letter = cast.said[..at]
                .iter()
                .rfind(|said| said.from == to && said.to == from);
            let left = letter.is_some_and(|letter| letter.device != cast.people[to].active);
            left || cast.was_put_back(to)
                || cast.world.relay_clock_leapt() && sees_nothing_arrive(cast, from, to)
        }
        (false, true, _) => cast.people[from].hasty && device != cast.people[from].active,
        _ => false,
    }
}

/// Whether the page says so: the last words were not delivered, and why.
fn sees_nothing_arrive(cast: &mut Cast, from: usize, to: usize) -> bool {
    let active = cast.people[from].active;
    let last = cast.shown(active, to).into_iter().rfind(|message| message.own);
    let last = last.and_then(|message| message.state);
    let line = cast.world.line(active, &name(to));
    let why =
        line.is_some_and(|line| line.unreachable || line.rejoining) || last == Some(MessageState::Failed);
    why && last != Some(MessageState::Delivered)
}

/// A conversation in few words.
fn brief(shown: &[MessageView]) -> String {
    let words = shown.iter().map(|message| {
        let side = if message.own { '>' } else { '<' };
        match (text_of(message), note_of(message)) {
            (Some(text), _) => format!("{side} {text} {:?}", message.state),
            (_, note) => format!("{note:?}"),
        }
    });
    words.collect::<Vec<_>>().join("\n")
}

fn one_safety_code(cast: &Cast, a: usize, b: usize) {
    let code = |of: usize, with: usize| {
        let line = cast.world.line(cast.people[of].active, &name(with));
        line.map(|line| line.safety_code.clone())
    };
    if let (Some(one), Some(other)) = (code(a, b), code(b, a)) {
        assert_eq!(one, other);
        assert_eq!(one.len(), 60);
    }
}
