//! From a link to a letter: stored, then claimed, then read and checked.
//!
//! What a crash leaves behind is always enough to go on: before the claim there is the link and the
//! key to claim it with, and the same key may claim it again for ten minutes.

use rly_app::{
    api::{ApiError, import_contact},
    browser::fragment,
    platform::{OpenError, Opened, OpenedView},
};
use rly_browser::{
    Store, StoreError, clock,
    letters::{self, CardError},
};
use rly_protocol::{ErrorCode, from_base64url, to_base64url};
use rly_view::{AnsweredLetter, Link, OpenedLetter};
use wasm_bindgen::JsValue;
use web_sys::window;

/// Opens a link.
pub(crate) async fn open(link: Link) -> Result<Opened, OpenError> {
    let store = Store::open().await.map_err(storage)?;
    let answered = letters::answered(&store, |answered| answered.secret == link.secret)
        .await
        .map_err(storage)?;
    if let Some(answered) = answered {
        return Ok(conversation(&answered));
    }
    let letter = letters::keep(&store, &link, clock::now())
        .await
        .map_err(storage)?;
    // From here on the address bar holds nothing that another person could use.
    // Another link may have been put into the address meanwhile: it stays.
    if Link::from_fragment(&fragment()).is_ok_and(|shown| shown == link) {
        show_address(&format!("/i#~{}", to_base64url(&letter.id)));
    }
    claim_and_read(store, letter).await
}

/// Goes on with a link that was opened in this browser.
pub(crate) async fn reopen(id: String) -> Result<Opened, OpenError> {
    let id: [u8; 16] = from_base64url(&id)
        .ok()
        .and_then(|id| id.try_into().ok())
        .ok_or(OpenError::NotKept)?;
    let store = Store::open().await.map_err(storage)?;
    if let Some(letter) = letters::find(&store, &id).await.map_err(storage)? {
        return claim_and_read(store, letter).await;
    }
    let answered = letters::answered(&store, |answered| answered.id == id)
        .await
        .map_err(storage)?;
    answered.as_ref().map(conversation).ok_or(OpenError::NotKept)
}

fn conversation(answered: &AnsweredLetter) -> Opened {
    Opened::Answered(to_base64url(&answered.conversation))
}

async fn claim_and_read(store: Store, mut letter: OpenedLetter) -> Result<Opened, OpenError> {
    if letter.claimed.is_none() {
        let claimed = import_contact(letter.invite.clone(), letter.claim_key).await;
        // Everything may have been deleted meanwhile, the key that sealed it too.
        drop(store);
        let store = Store::open().await.map_err(storage)?;
        match claimed {
            Ok(imported) => letters::complete(&store, &mut letter, imported.address, imported.card.0)
                .await
                .map_err(storage)?,
            Err(error) => {
                if is_final(&error) {
                    give_up(&store, &letter).await;
                }
                return Err(error.into());
            }
        }
    }
    let card = letters::read_card(&letter, &origin())
        .await
        .map_err(|error| match error {
            CardError::Unclaimed => OpenError::NotKept,
            CardError::Damaged | CardError::Signature | CardError::Elsewhere => OpenError::Forged,
        })?;
    Ok(Opened::Letter(OpenedView {
        id: to_base64url(&letter.id),
        name: card.name,
        letter: card.letter,
    }))
}

/// Whether this link can never be opened here.
fn is_final(error: &ApiError) -> bool {
    matches!(
        error.code(),
        Some(
            ErrorCode::InviteInvalid
                | ErrorCode::InviteUsed
                | ErrorCode::InviteExpired
                | ErrorCode::InviteWithdrawn
        )
    )
}

/// Puts the link back into the address bar, so that a reload says again what became of it.
async fn give_up(store: &Store, letter: &OpenedLetter) {
    let link = Link {
        invite: letter.invite.clone(),
        secret: letter.secret,
    };
    if fragment().strip_prefix('~') == Some(&to_base64url(&letter.id)) {
        show_address(&format!("/i#{}", link.to_fragment()));
    }
    // A row that stays is tried again by whoever opens the link again, and takes no harm.
    let _ = letters::forget(store, letter).await;
}

fn show_address(address: &str) {
    if let Some(history) = window().and_then(|window| window.history().ok()) {
        // A browser refuses this only after hundreds of calls in a few seconds.
        let _ = history.replace_state_with_url(&JsValue::NULL, "", Some(address));
    }
}

fn origin() -> String {
    window()
        .and_then(|window| window.location().origin().ok())
        .unwrap_or_default()
}

fn storage(_: StoreError) -> OpenError {
    OpenError::Storage
}
