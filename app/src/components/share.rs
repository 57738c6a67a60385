use super::{Alert, Dialog, LinkPanel, link_over};
use crate::{
    state::{Job, messenger},
    text::text,
};
use leptos::prelude::*;
use rly_protocol::limits::INVITE_TTL;
use rly_view::{Answer, Command, InviteView};

/// What the dialog is opened for.
#[derive(Clone)]
pub enum Share {
    /// A new link is made.
    New,
    /// A link that was made before.
    Shown(InviteView),
}

/// A link to one's contact, to give away.
#[component]
pub fn ShareDialog(
    /// Which link.
    share: Share,
    #[prop(into)] on_close: Callback<()>,
) -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let job = Job::new();
    let link = RwSignal::new(None::<(String, String, rly_protocol::Timestamp)>);
    let make = Callback::new(move |()| {
        let command = Command::CreateInvite {
            id: messenger.random_id(),
            letter: None,
            name: None,
            ttl_seconds: INVITE_TTL,
        };
        job.run(command, move |answer| {
            if let Answer::Invite {
                id,
                link: url,
                expires_at,
            } = answer
            {
                let _ = link.try_set(Some((id, url, expires_at)));
            }
        });
    });
    match share {
        Share::New => make.run(()),
        Share::Shown(invite) => link.set(invite.link.map(|url| (invite.id, url, invite.expires_at))),
    }
    let over = Memo::new(move |_| {
        let (id, _, _) = link.get()?;
        link_over(t, messenger, &id)
    });
    view! {
        <Dialog id="share-title" title=t.share_contact on_close=on_close>
            <p>{t.share_lead}</p>
            {move || match over.get() {
                Some((words, _)) => view! { <p role="status">{words}</p> }.into_any(),
                None => {
                    link.get()
                        .map(|(id, url, expires_at)| {
                            view! { <LinkPanel id=id link=url expires_at=expires_at on_withdrawn=on_close /> }
                        })
                        .into_any()
                }
            }}
            {move || job.busy.get().then(|| view! { <p class="hint" role="status">{t.loading}</p> })}
            <Alert words=job.error />
            {move || {
                job.error
                    .with(Option::is_some)
                    .then(|| {
                        view! {
                            <button type="button" class="button" on:click=move |_| make.run(())>
                                {t.try_again}
                            </button>
                        }
                    })
            }}
        </Dialog>
    }
}
