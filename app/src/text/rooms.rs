//! The texts of rooms. They are not among the others so that they come with the module of rooms, and not with a
//! letter.

use super::Language;
use leptos::prelude::*;
use rly_view::RoomEndView;

/// The texts of rooms in the language that is shown.
pub fn room_text() -> &'static RoomText {
    let language = use_context::<RwSignal<Language>>();
    match language.map_or(Language::English, |language| language.get_untracked()) {
        Language::English => &ENGLISH,
    }
}

/// The texts of one language. `fn`s are for texts with something in them.
pub struct RoomText {
    // `/rooms`
    pub make_title: &'static str,
    pub make_lead: &'static str,
    pub preset: &'static str,
    pub preset_room: &'static str,
    pub preset_two: &'static str,
    pub idle_minutes: &'static str,
    pub idle_hint: &'static str,
    pub life_hours: &'static str,
    pub life_hint: &'static str,
    pub people_most: &'static str,
    pub people_hint: &'static str,
    pub history_most: &'static str,
    pub history_hint: &'static str,
    pub create: &'static str,
    pub creating: &'static str,
    pub whole_numbers: &'static str,
    pub made_title: &'static str,
    pub made_lead: &'static str,
    pub link: &'static str,
    pub qr: &'static str,
    pub for_all: &'static str,
    pub code_aloud: &'static str,
    pub enter: &'static str,
    pub another: &'static str,
    pub shown_again: &'static str,

    // `/r`, outside.
    pub title: &'static str,
    pub code_lead: &'static str,
    pub code: &'static str,
    pub code_hint: &'static str,
    pub open: &'static str,
    pub join_title: &'static str,
    pub join_lead: &'static str,
    pub name: &'static str,
    pub name_hint: &'static str,
    pub name_again: fn(&str) -> String,
    pub join: &'static str,
    pub joining: &'static str,
    pub idle_limit: fn(u32) -> String,
    pub life_limit: fn(&str) -> String,
    pub people_limit: fn(u16) -> String,
    pub history_limit: fn(u16) -> String,
    pub sealed: &'static str,

    // Inside.
    pub closes: &'static str,
    pub closes_in: &'static str,
    pub people_group: &'static str,
    pub people_here: &'static str,
    pub people_away: &'static str,
    pub you: &'static str,
    pub share: &'static str,
    pub share_lead: &'static str,
    pub leave: &'static str,
    pub delete: &'static str,
    pub delete_title: &'static str,
    pub delete_body: &'static str,
    pub end: &'static str,
    pub end_title: &'static str,
    pub end_body: &'static str,
    pub empty: &'static str,
    pub joined: fn(&str, u16) -> String,
    pub forged: fn(&str, u16) -> String,
    pub missing: fn(&str, u16, u32) -> String,
    pub too_long: &'static str,
    pub counted: fn(usize, usize) -> String,
    pub over: fn(usize) -> String,

    // Staying in contact.
    pub keep: &'static str,
    pub keep_lead: &'static str,
    pub keep_asked: &'static str,
    pub keep_agreed: &'static str,
    pub kept: &'static str,
    pub contact: &'static str,
    pub asks: fn(&str, u16) -> String,
    pub refuse: &'static str,

    // Afterwards.
    pub ended_title: &'static str,
    pub ended_why: fn(Option<RoomEndView>) -> &'static str,
    pub ended_body: &'static str,
    pub deleted_title: &'static str,
    pub deleted_body: &'static str,
    pub deleting: &'static str,
    pub make_new: &'static str,
    pub other_code: &'static str,
}

/// A name with its number, each isolated: a name may run from right to left.
pub fn named(name: &str, number: u16) -> String {
    match number {
        0 | 1 => format!("\u{2068}{name}\u{2069}"),
        n => format!("\u{2068}{name}\u{2069} {n}"),
    }
}

/// A length of time in whole words.
fn span(seconds: u32) -> String {
    match seconds {
        60 => "a minute".into(),
        n if n % 60 == 0 => format!("{} minutes", n / 60),
        n => format!("{n} seconds"),
    }
}

static ENGLISH: RoomText = RoomText {
    make_title: "Make a room",
    make_lead: "A room is a talk by link, for a short time. Nobody needs a SIM, and everything of it is deleted \
                at its end.",
    preset: "Kind of room",
    preset_room: "Room",
    preset_two: "Two-person session",
    idle_minutes: "Idle minutes",
    idle_hint: "It ends when nobody said anything for so long.",
    life_hours: "Hours at most",
    life_hint: "It ends then in any case. At most 24.",
    people_most: "People at most",
    people_hint: "From 2 to 500.",
    history_most: "Messages kept",
    history_hint: "Who comes late reads so many. At most 500.",
    create: "Create room",
    creating: "Creating …",
    whole_numbers: "Please give whole numbers: 1 to 1,440 minutes and not more than the hours, 1 to 24 hours, 2 to \
                    500 people, 0 to 500 messages.",
    made_title: "Your room is open",
    made_lead: "Give this link to everybody who should come. Its code is the key to all that is said there.",
    link: "Room link",
    qr: "Room QR code",
    for_all: "For as many people as the room holds, until it ends.",
    code_aloud: "To be typed:",
    enter: "Go to the room",
    another: "Make another room",
    shown_again: "Until somebody says something, the time runs.",

    title: "A room",
    code_lead: "Open the whole link that you got, or type the code of the room.",
    code: "Room code",
    code_hint: "26 letters and digits. Spaces, dashes and capitals do not matter.",
    open: "Open room",
    join_title: "Join the room",
    join_lead: "You need no account and no SIM. Choose any name; everybody in the room sees it.",
    name: "Name in this room",
    name_hint: "If somebody has the same name, yours gets a number.",
    name_again: |name| format!("You come back as \u{2068}{name}\u{2069}."),
    join: "Join room",
    joining: "Joining …",
    idle_limit: |seconds| format!("It ends after {} without a word.", span(seconds)),
    life_limit: |when| format!("It ends at {when} at the latest."),
    people_limit: |n| format!("At most {n} people."),
    history_limit: |n| match n {
        0 => "Who comes late reads nothing of what was said before.".into(),
        1 => "Who comes late reads the last message.".into(),
        n => format!("Who comes late reads the last {n} messages."),
    },
    sealed: "What is said here is encrypted with the code in the link. The server cannot read it.",

    closes: "Room closes",
    closes_in: "Closes in",
    people_group: "Who belongs to the room",
    people_here: "People here",
    people_away: "Away",
    you: "you",
    share: "Share room",
    share_lead: "Who opens this link can join and read what the room keeps.",
    leave: "Leave",
    delete: "Delete everything",
    delete_title: "Delete everything of yours?",
    delete_body: "Your messages and your name are deleted for everybody in the room, and all of the room in this \
                  browser. This cannot be undone.",
    end: "End for all",
    end_title: "End the room for all?",
    end_body: "Everything that was said is deleted, on the server and in every open browser. This cannot be undone.",
    empty: "Nothing was said here yet. Say hello.",
    joined: |name, number| format!("{} has joined.", named(name, number)),
    forged: |name, number| {
        format!(
            "Something came here in the name of {} that is not signed by them. It is not shown.",
            named(name, number)
        )
    },
    missing: |name, number, count| {
        let name = named(name, number);
        match count {
            1 => format!(
                "A message of {name} before this one is missing: kept back, or older than what is kept."
            ),
            n => format!(
                "{n} messages of {name} before this one are missing: kept back, or older than what is kept."
            ),
        }
    },
    too_long: "Longer than a message may be: cut.",
    counted: |n, most| format!("{} / {}", thousands(n), thousands(most)),
    over: |n| match n {
        1 => "One character too long. Please shorten it a little.".into(),
        n => format!(
            "{} characters too long. Please shorten it a little.",
            thousands(n)
        ),
    },

    keep: "Keep as contact",
    keep_lead: "If both of you want it, you can write to each other when the room is gone. Your SIM is used for \
                it, or made if you have none.",
    keep_asked: "You have asked. It happens as soon as they want it too.",
    keep_agreed: "Both of you want it. The link is on its way.",
    kept: "You find each other in your chats.",
    contact: "contact",
    asks: |name, number| format!("{} would like to stay in contact.", named(name, number)),
    refuse: "No, thank you",

    ended_title: "This room has ended",
    ended_why: |why| match why {
        Some(RoomEndView::Idle) => "Nobody said anything for the time that was set.",
        Some(RoomEndView::Life) => "Its time was over.",
        Some(RoomEndView::Creator) => "Who made it has ended it for all.",
        None => "It is not on the server any more.",
    },
    ended_body: "Everything that was said in it is gone, on the server and in this browser.",
    deleted_title: "Everything of yours was deleted",
    deleted_body: "Your messages and your name are gone from the room, and all of the room from this browser.",
    deleting: "Deleting … It will be done as soon as the server is reached.",
    make_new: "Make a room",
    other_code: "Type another code",
};

fn thousands(n: usize) -> String {
    if n < 1_000 {
        n.to_string()
    } else {
        format!("{},{:03}", n / 1_000, n % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_numbers_are_in_words() {
        assert_eq!(
            (span(60), span(300), span(10)),
            ("a minute".into(), "5 minutes".into(), "10 seconds".into())
        );
        assert_eq!((ENGLISH.counted)(12, 1_000), "12 / 1,000");
        assert_eq!(
            (ENGLISH.over)(1_234),
            "1,234 characters too long. Please shorten it a little."
        );
        assert_eq!((ENGLISH.joined)("Ada", 2), "\u{2068}Ada\u{2069} 2 has joined.");
        assert_eq!((ENGLISH.joined)("Ada", 1), "\u{2068}Ada\u{2069} has joined.");
    }
}
