//! English.

use super::Text;
use crate::api::ApiError;
use rly_protocol::ErrorCode;
use rly_view::{FailureCode, Note};

const STORAGE_DAMAGED: &str = "What is kept in this browser is damaged. Nothing of it was changed. Restore your browser's \
                               data; or delete everything in this browser in the settings, and import your SIM.";

/// The texts in English.
pub static ENGLISH: Text = Text {
    app: "Rly Chat",
    pages: "Pages",
    skip: "Skip to the content",
    chats: "Chats",
    settings: "Settings",
    close: "Close",
    cancel: "Cancel",
    #[cfg(feature = "ssr")]
    no_script: "Rly Chat encrypts in your browser, so it needs JavaScript. Please switch it on for this page.",
    your_name: "Your name",
    name_hint: "Only those you write to see it.",
    password_optional: "Password (optional)",
    show_password: "Show password",
    copied: "Copied",
    copy_failed: "Your browser did not let us copy. Select the text and copy it by hand.",
    not_found_title: "Nothing here",
    not_found: "This page does not exist. Perhaps the address was cut on the way.",
    to_start: "To the start",

    months: [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ],
    today: "Today",
    yesterday: "Yesterday",
    date: |day, month, year| match year {
        Some(year) => format!("{day} {month} {year}"),
        None => format!("{day} {month}"),
    },
    clock_on_date: |clock, date| format!("{clock} on {date}"),

    start_title: "Private chat that starts with a letter",
    start_lead: "Write to somebody as if you handed them an envelope. They open your link in any browser, \
                 read, and answer. No sign-up, no app, no phone number, for neither of you.",
    write_letter: "Write a letter",
    create_sim: "Create SIM",
    import_sim: "Import SIM",
    to_chats: "Go to your chats",
    make_room: "Make a room",
    start_sim_hint: "A SIM is your identity here: a small key that lives in your browser and in a file that \
                     you can keep. It is made by itself with your first letter or reply.",
    steps_title: "How it works",
    steps: [
        (
            "You write",
            "Your letter is sealed in your browser. You get a link and a QR code, for one person.",
        ),
        (
            "They open",
            "The link opens once, for whoever opens it first. Previews and scanners do not use it up.",
        ),
        (
            "You both chat",
            "With the first reply a private conversation begins, encrypted from end to end.",
        ),
    ],
    facts_title: "What you can rely on",
    facts: [
        (
            "Nobody can look you up",
            "There is no number and no handle. Only who got your link can write to you.",
        ),
        (
            "The server cannot read",
            "It carries sealed envelopes. Names, texts and keys never reach it in the clear.",
        ),
        (
            "Nothing gets lost",
            "What was confirmed arrives once and in order, also when a browser or the server falls over.",
        ),
        (
            "Deleting deletes",
            "What was delivered leaves the server. Who is blocked cannot reach you any more.",
        ),
    ],

    letter_title: "Write a letter",
    letter_lead: "It is sealed here, in your browser. Only who opens your link can read it.",
    letter: "Letter",
    letter_placeholder: "Dear …",
    link_lives: "The link works for",
    lives: [
        ("1 hour", 3_600),
        ("1 day", 86_400),
        ("7 days", 7 * 86_400),
        ("30 days", 30 * 86_400),
    ],
    create_link: "Create link",
    creating_link: "Sealing your letter …",
    bytes_left: |n| format!("Room for about {n} more characters."),
    bytes_over: |n| format!("About {n} characters too long. Please shorten it a little."),
    link_ready_title: "Your letter is sealed",
    link_ready_lead: "Send this link, or let the code be scanned. The answer arrives in your chats.",
    another_letter: "Write another letter",
    needs_letter: "Your letter is still empty. Write a line or two first.",
    needs_name: "Please write your name, so that they know who it is from.",
    name_too_long: "This name is too long. Please shorten it a little.",

    invite_link: "Invite link",
    invite_qr: "Invite QR code",
    copy_link: "Copy link",
    share_link: "Share …",
    for_one: "For one person: whoever opens it first.",
    works_until: |when| format!("Works until {when}."),
    withdraw_link: "Withdraw link",
    withdraw_title: "Withdraw this link?",
    withdraw_body: "Whoever has it can then no longer open it. This cannot be undone.",
    only_here_title: "Works only on this computer",
    only_here: "This server is reached at a local address, which other devices do not find. Start it with \
                RLY_PUBLIC_URL set to an address that they can reach; the README tells how.",
    opened_at: |when| format!("Opened at {when}, not answered yet"),
    link_over: "Expired without being opened",
    link_unreadable: |when| format!("Answered at {when} by something unreadable. Make a new link."),
    link_gone: "The server no longer knows this link. Make a new one.",
    link_over_title: "Your link",
    link_answered: "This link was answered or withdrawn. Answers are in your chats.",
    link_answered_by: |name| format!("\u{2068}{name}\u{2069} answered."),
    open_chat: "Open the chat",
    link_withdrawn: "This link was withdrawn. Nobody can open it any more.",

    export_title: "Answers come only to this browser",
    export_body: "Save your SIM as a file. With it you get your contacts back when this browser forgets, and \
                  you can go on elsewhere.",
    download_sim: "Download SIM",

    open_title: "A letter for you",
    open_lead: "Somebody sent you a sealed letter. Open it to read it here; you need no account and no app.",
    open_once: "It opens once, for you: nobody else can open it after that.",
    open: "Open",
    opening: "Opening …",
    reply: "Reply",
    reply_placeholder: "Write back …",
    reply_note: "With your reply a private conversation begins. Your key is made now and stays in this browser.",
    send_reply: "Send reply",
    letter_from: |name| format!("From {name}"),
    invites_you: |name| format!("{name} would like to chat with you"),
    invites_lead: "Add them, and you can write to each other in private. No sign-up is needed.",
    add_contact: "Add contact",
    unverified: "Anybody can choose any name. When it matters, compare your safety codes later.",
    link_empty: "There is no letter in this address. Ask for the whole link: it is long and has a # in it.",
    link_mangled: "This link is not complete: a piece was cut off or changed on the way. Nothing was opened. \
                   Copy the whole link, or ask for it again.",
    link_used: |when| {
        match when {
        Some(when) => format!("This letter was already opened at {when}. A link works once, for whoever opens it first. If that was not you, ask for a new link."),
        None => "This letter was already opened. A link works once, for whoever opens it first. If that was not you, ask for a new link.".into(),
    }
    },
    ask_title: "You can send them this",
    ask_text: "Your link had already been opened when I came. Could you send me a new one?",
    copy_text: "Copy text",
    link_forged: "This letter is damaged or was changed on its way, so it is not shown. Ask for a new link.",
    link_storage: "Your browser does not let us keep anything, so the letter was not opened: you would lose it at \
                   once. Leave the private window or allow storage for this site, then try again.",
    link_not_kept: "This letter is no longer kept in this browser. It was answered, put away, or opened elsewhere.",
    try_again: "Try again",
    in_app_title: "Better in your browser: copy link",
    in_app: "You are inside an app, which forgets what you do here when it closes. Copy the link and open it in \
             your browser.",
    needs_reply: "Write a line first; then your reply can go.",

    lack_secure: "This page was not loaded over a secure connection, so it cannot encrypt. Open it with https://.",
    lack_storage: "Your browser refuses to keep anything for this site, perhaps because of a private window. Rly \
                   Chat keeps its keys only in your browser, so it cannot work here. Allow storage or use \
                   another window.",
    lack_features: "This browser is too old to encrypt safely. Please update it, or use another one.",

    chat_title: "Chats",
    conversations: "Conversations",
    share_contact: "Share contact",
    share_lead: "Who opens this link can write to you, and you to them.",
    new_letter: "New letter",
    messages: "Messages",
    message: "Message",
    send: "Send",
    back: "Back to all conversations",
    you_prefix: "You: ",
    unread: |n| {
        if n == 1 {
            "1 new message".into()
        } else {
            format!("{n} new messages")
        }
    },
    new_messages: "New messages",
    loading: "Loading …",
    not_loaded: "This page could not be loaded. Check your connection and try again.",
    no_sim_title: "Start with a letter",
    no_sim: "There is no SIM in this browser yet. It is made with your first letter, or right now. If you have \
             one already, bring its file.",
    no_conversations: "No conversations yet. Share your contact or write a letter: the answer appears here.",
    pick_title: "Your conversations",
    pick: "Choose one from the list, or write to somebody new.",
    no_messages: "Nothing was written here yet. Say hello.",
    gone_conversation: "This conversation is not in this browser (any more).",
    letters_waiting: "Letters to answer",
    contact_waits: "Would like to chat with you",
    links: "Your links",
    link_without_letter: "Contact link",
    show_link: "Show link",
    remove: "Remove",
    remove_title: "Remove this link?",
    remove_body: "Whoever opened it can then no longer answer. This cannot be undone.",
    blocked_note: "You blocked this contact. Nothing they write reaches you.",
    unreachable_note: "This contact cannot be reached here any more. To go on, send them a new link.",
    rejoining_note: "New keys are being agreed on. Your messages wait and go out by themselves.",
    sim_elsewhere: |origin| format!("This SIM belongs to another server: {origin}. Import it there."),
    restoring: "Fetching your contacts …",
    state_sending: "Sending",
    state_sent: "Sent",
    state_delivered: "Delivered",
    state_failed: "Not delivered",
    needs_newer_message: "This message needs a newer version. Reload the page.",
    note: |note| {
        match note {
        Note::Gap(1) => "One message before this did not arrive.".into(),
        Note::Gap(n) => format!("{n} messages before this did not arrive."),
        Note::Fork => "What came before differs on the two sides. Somebody may have interfered: compare your safety codes.".into(),
        Note::Rejoined => "Your contact uses a new browser or restored the SIM. New keys were agreed on.".into(),
        Note::RejoinedHere => "This browser restored your SIM. New keys were agreed on.".into(),
        Note::Unreadable => "A message could not be decrypted.".into(),
        // Isolated: either name may run from right to left.
        Note::Renamed { from, to } => format!("\u{2068}{from}\u{2069} is now called \u{2068}{to}\u{2069}."),
        Note::Damaged => "What is kept here of a message is damaged. It cannot be shown.".into(),
    }
    },

    online: "Connected",
    connecting: "Connecting …",
    offline: "Offline.",
    next_try: |when| format!("Next try at {when}"),
    reload_newer: "A newer version of Rly Chat is needed here. Reload the page to get it.",
    reload: "Reload",
    replaced: "This SIM is now used in another browser",
    replaced_body: "Nothing is sent from here, so that the two do not get in each other's way.",
    use_here: "Use here",
    storage_damaged: STORAGE_DAMAGED,
    storage_full: "Your browser's storage is full. Nothing new can be received or sent until there is room: free \
                   some space on this device.",

    create_title: "Create your SIM",
    create_lead: "A key pair is made in your browser. It is your identity here, and nobody else has it.",
    created_title: "Your SIM is ready",
    created_lead: "Keep its file in a safe place: it brings your contacts back in any browser.",
    password_hint: "Seals the SIM's download. If you forget it, nobody can help.",
    done: "Done",
    import_title: "Import your SIM",
    import_lead: "Choose the file that you saved, or paste its text. Your contacts come back with it.",
    sim_file: "SIM file",
    sim_text: "Or paste its text",
    needs_file: "Choose the file or paste its text first.",

    menu: "Conversation menu",
    safety_code: "Safety code",
    safety_lead: |name| {
        format!(
            "Compare these digits with {name}, face to face or on the phone. If they are the same on both sides, nobody listens in."
        )
    },
    mark_verified: "Mark as verified",
    mark_unverified: "Take the mark back",
    verified: "Verified",
    block: "Block",
    block_title: |name| format!("Block {name}?"),
    block_body: "They cannot reach you any more, and are not told. What was written stays here to read. To chat \
                 again you need a new link.",
    delete_conversation: "Delete conversation",
    delete_title: |name| format!("Delete the conversation with {name}?"),
    delete_body: "All its messages and the contact are deleted in this browser. This cannot be undone.",
    drop_letter: "Put away",
    drop_title: "Put this letter away?",
    drop_body: "It is deleted here, and its link cannot be opened again.",

    sim: "Your SIM",
    save_name: "Save name",
    saved: "Saved",
    password_set: "The download of your SIM is sealed with a password.",
    password_none: "The download of your SIM has no password: whoever finds the file can use it.",
    new_password: "New password",
    set_password: "Set password",
    remove_password: "Remove password",
    remove_password_title: "Remove the password?",
    remove_password_body: "Files of your SIM that you download from now on are not sealed: whoever finds one can use it.",
    backup: "Safe keeping",
    meter: "How safe your SIM is from being lost",
    meter_words: [
        "Not safe: it is only in this browser, which may clear it.",
        "Fair: one more step would help.",
        "Good: you have what you need to get it back.",
        "Very good: kept here, and saved by you lately.",
    ],
    export_never: "You have not downloaded your SIM yet.",
    export_age: |days| match days {
        0 => "You downloaded your SIM today.".into(),
        1 => "You downloaded your SIM yesterday.".into(),
        n => format!("You downloaded your SIM {n} days ago. It still brings back all contacts."),
    },
    vault_current: "The sealed copy of your contacts, links and letters is up to date. Your SIM brings it back.",
    vault_behind: "The newest changes are not in the sealed copy of your contacts yet. They follow once you are \
                   connected.",
    vault_full: "The sealed copy of your contacts is full, so some links or letters are not in it. Withdraw or \
                 remove links, and answer or put away letters, that you no longer need.",
    persisted_yes: "Your browser promised to keep its storage.",
    persisted_no: "Your browser may clear its storage when space gets short.",
    persisted_unknown: "Your browser was not asked yet whether it keeps its storage.",
    ask_persist: "Ask the browser to keep it",
    other_device: "Continue on another device",
    other_device_lead: "Your SIM is sealed with a password of your choice and shown as a code. Scan or copy it there, \
                        and import it. This browser then stops sending.",
    transfer_password: "Password for the other device",
    show_code: "Show code",
    code_lead: "On the other device: Import SIM, paste the text of this code, and enter the password.",
    sim_qr: "SIM QR code",
    sim_code: "SIM code",
    copy_code: "Copy code",
    look: "Look",
    look_system: "Like the system",
    look_light: "Light",
    look_dark: "Dark",
    language: "Language",
    contacts: "Contacts",
    no_contacts: "Nobody yet.",
    safety_code_named: |name| format!("Safety code with {name}"),
    block_named: |name| format!("Block {name}"),
    delete_named: |name| format!("Delete {name}"),
    danger: "Leave no trace",
    delete_all: "Delete everything in this browser",
    delete_all_title: "Delete everything in this browser?",
    delete_all_body: "Your SIM, contacts and messages are gone from here for good. With the saved SIM you can get \
                      the contacts back, but not the messages.",
    deleted: "Everything of Rly Chat was deleted in this browser.",

    failure: |code| match code {
        FailureCode::StorageRefused => {
            "Your browser refuses to keep anything for this site. Allow storage, then try again."
        }
        FailureCode::StorageFull => {
            "Your browser's storage is full. Free some space on this device, then try again."
        }
        FailureCode::StorageDamaged => STORAGE_DAMAGED,
        FailureCode::NoSim => "There is no SIM in this browser yet. Create or import one first.",
        FailureCode::SimExists => {
            "There is a SIM in this browser already. Delete it in the settings before you bring another one."
        }
        FailureCode::NameInvalid => "Please write a name, not longer than about 100 characters.",
        FailureCode::TextInvalid => "This text is empty or too long.",
        FailureCode::PasswordNeeded => "This SIM has a password. Please enter it.",
        FailureCode::PasswordWrong => "This password is wrong. Please try again.",
        FailureCode::FileInvalid => "This is not a SIM, or it is damaged.",
        FailureCode::FileNewer => "This SIM was saved by a newer version. Reload the page, then try again.",
        FailureCode::CardInvalid => "This letter is damaged or was changed on its way. Ask for a new link.",
        FailureCode::NotFound => "This is not here any more.",
        FailureCode::OwnLink => "This is your own link. Send it to somebody else.",
        FailureCode::Offline => {
            "The server cannot be reached right now. Check your connection, then try again."
        }
        FailureCode::Busy => "The server is busy. Wait a moment, then try again.",
        FailureCode::InviteUsed => "This link was opened in the meantime.",
        FailureCode::Replaced => "This SIM is now used in another browser. Use it here first.",
        FailureCode::Blocked => "You blocked this contact.",
        FailureCode::Refused => "The server did not accept this. Reload the page, then try again.",
        FailureCode::SimElsewhere => "This SIM belongs to another server.",
        FailureCode::Internal => "Something went wrong here. Reload the page, then try again.",
        FailureCode::RoomCodeInvalid => "This is not a whole room code. It has 26 letters and digits.",
        FailureCode::RoomGone => "There is no such room. It has ended, or its code was changed on the way.",
        FailureCode::RoomFull => "This room is full.",
        FailureCode::RoomSecretWrong => "This code does not fit the room. Ask for the link again.",
        FailureCode::RoomNotCreator => "Only who made the room can end it for all.",
        FailureCode::RoomLimitsInvalid => "A room cannot have these limits.",
        FailureCode::RoomsOff => "On this server you cannot make rooms.",
        FailureCode::RoomsTooMany => "Too many of your rooms are open. Wait until one has ended.",
        FailureCode::RoomNotJoined => "Join the room first.",
    },
    api: |error| {
        let Some(code) = error.code() else {
            return match error {
                ApiError::Network => {
                    "The server cannot be reached right now. Nothing was lost: try again when you are online."
                        .into()
                }
                ApiError::Refused { message, .. } => message.clone(),
            };
        };
        match code {
            ErrorCode::InviteExpired => "This link has expired. Nobody opened it in time: ask for a new link.",
            ErrorCode::InviteWithdrawn => "This link was withdrawn by who sent it. Ask for a new link.",
            ErrorCode::InviteInvalid => "This link is not from this server, or it was changed on the way. Check the address, or ask for a new link.",
            ErrorCode::NoQueue => "Who sent this can no longer be reached here.",
            ErrorCode::RateLimited => "That was a bit much at once. Wait a moment, then try again.",
            other => other.message(),
        }
        .into()
    },
};
