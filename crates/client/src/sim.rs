//! The SIM: made, imported, exported, renamed, deleted; and what goes with it.

use crate::{
    connection::{Link, LinkState},
    context::{Cx, SimState},
    inner,
    io::{CommandId, Effect},
    machine::Machine,
    parse::checked_name,
    record::{DeletionRecord, Errand, SimRecord, key, put},
    vault::VaultState,
};
use rly_crypto::{FileKey, Sim, SimFile, SimFileError};
use rly_protocol::{DeviceId, QueueId};
use rly_view::{Answer, Failure, FailureCode, name};
use std::collections::BTreeMap;
use zeroize::Zeroize;

impl Drop for SimRecord {
    fn drop(&mut self) {
        self.seed.zeroize();
    }
}

/// How long the deletion of a SIM waits for the server at most, in seconds.
const ENDING_SECONDS: u64 = 5;

/// A password, or none.
fn checked_password(password: Option<&str>) -> Option<&str> {
    password.filter(|password| !password.is_empty())
}

impl Machine {
    pub(crate) fn create_sim(
        &mut self,
        cx: &mut Cx,
        name: &str,
        password: Option<&str>,
    ) -> Result<Answer, FailureCode> {
        if self.sim.is_some() {
            return Err(FailureCode::SimExists);
        }
        let name = checked_name(name)?;
        let file_key = checked_password(password).map(|password| FileKey::derive(password, cx.rng));
        let sim = Sim::generate(cx.rng);
        let file = SimFile {
            sim,
            name,
            origin: self.origin.clone(),
            created_at: cx.now,
        };
        self.take_sim(cx, file, file_key, false);
        Ok(Answer::Done)
    }

    /// The SIM, made now if there is none and a name is given.
    pub(crate) fn sim_for_use(&mut self, cx: &mut Cx, name: Option<&str>) -> Result<(), FailureCode> {
        match (&self.sim, name) {
            (Some(sim), _) if sim.record.replaced => Err(FailureCode::Replaced),
            (Some(_), _) => Ok(()),
            (None, Some(name)) => self.create_sim(cx, name, None).map(|_| ()),
            (None, None) => Err(FailureCode::NoSim),
        }
    }

    pub(crate) fn import_sim(
        &mut self,
        cx: &mut Cx,
        file: &str,
        password: Option<&str>,
    ) -> Result<Answer, Failure> {
        let (mut file, file_key) =
            SimFile::open(file, checked_password(password)).map_err(|error| match error {
                SimFileError::PasswordNeeded => FailureCode::PasswordNeeded,
                SimFileError::PasswordWrong => FailureCode::PasswordWrong,
                SimFileError::Newer => FailureCode::FileNewer,
                SimFileError::NotASimFile => FailureCode::FileInvalid,
            })?;
        if let Some(sim) = &self.sim {
            // The same SIM again: there is nothing to do.
            let same = sim.sim.public_key() == file.sim.public_key();
            return if same {
                Ok(Answer::Done)
            } else {
                Err(FailureCode::SimExists.into())
            };
        }
        // Its contacts are there, and nobody here knows it.
        if file.origin != self.origin {
            return Err(Failure {
                code: FailureCode::SimElsewhere,
                about: Some(file.origin),
            });
        }
        file.name = name::cleaned(&file.name);
        self.take_sim(cx, file, file_key, true);
        Ok(Answer::Done)
    }

    fn take_sim(&mut self, cx: &mut Cx, file: SimFile, file_key: Option<FileKey>, restoring: bool) {
        let record = SimRecord {
            seed: *file.sim.seed(),
            name: file.name,
            origin: self.origin.clone(),
            created_at: file.created_at,
            // Whoever imports a file has one.
            exported_at: restoring.then_some(cx.now),
            file_key: file_key.map(|key| key.to_bytes().to_vec().into()),
            device: DeviceId(cx.random()),
            persisted: None,
            generation: 0,
            counter: 0,
            pending: Vec::new(),
            restoring,
            replaced: false,
            incarnation: None,
        };
        self.sim = Some(SimState {
            sim: file.sim,
            record,
        });
        self.save_sim(cx);
        self.vault.dirty = true;
        self.connect_if_due(cx);
    }

    fn sim_file(&self, file_key: Option<&FileKey>, cx: &mut Cx) -> Result<Answer, FailureCode> {
        let state = self.sim.as_ref().ok_or(FailureCode::NoSim)?;
        let file = SimFile {
            sim: state.sim.clone(),
            name: state.record.name.clone(),
            origin: state.record.origin.clone(),
            created_at: state.record.created_at,
        };
        let plain: String = state
            .record
            .name
            .chars()
            .filter(|c| c.is_alphanumeric())
            .take(24)
            .collect();
        let name = if plain.is_empty() {
            "rly.sim".to_owned()
        } else {
            format!("{plain}.rly.sim")
        };
        Ok(Answer::SimFile {
            name,
            text: file.seal(file_key, cx.rng),
        })
    }

    pub(crate) fn export_sim(&mut self, cx: &mut Cx) -> Result<Answer, FailureCode> {
        let state = self.sim.as_ref().ok_or(FailureCode::NoSim)?;
        let file_key = match &state.record.file_key {
            Some(bytes) => Some(FileKey::from_bytes(bytes).map_err(|_| FailureCode::Internal)?),
            None => None,
        };
        let answer = self.sim_file(file_key.as_ref(), cx)?;
        if let Some(state) = &mut self.sim {
            state.record.exported_at = Some(cx.now);
        }
        self.save_sim(cx);
        Ok(answer)
    }

    pub(crate) fn export_sealed(&mut self, cx: &mut Cx, password: &str) -> Result<Answer, FailureCode> {
        let password = checked_password(Some(password)).ok_or(FailureCode::PasswordNeeded)?;
        let file_key = FileKey::derive(password, cx.rng);
        self.sim_file(Some(&file_key), cx)
    }

    pub(crate) fn set_password(
        &mut self,
        cx: &mut Cx,
        password: Option<&str>,
    ) -> Result<Answer, FailureCode> {
        let state = self.sim.as_mut().ok_or(FailureCode::NoSim)?;
        let file_key = checked_password(password).map(|password| FileKey::derive(password, cx.rng));
        state.record.file_key = file_key.map(|key| key.to_bytes().to_vec().into());
        self.save_sim(cx);
        Ok(Answer::Done)
    }

    pub(crate) fn set_name(&mut self, cx: &mut Cx, name: &str) -> Result<Answer, FailureCode> {
        let name = checked_name(name)?;
        let state = self.sim.as_mut().ok_or(FailureCode::NoSim)?;
        state.record.name.clone_from(&name);
        self.save_sim(cx);
        self.vault.dirty = true;
        for conversation in self.conversations.values_mut() {
            conversation.contact.own_name.clone_from(&name);
            conversation.contact_dirty = true;
            if conversation.is_ready() {
                conversation.push_unnumbered(cx, Errand::Name, inner::NAME, name.clone().into_bytes());
            }
        }
        Ok(Answer::Done)
    }

    pub(crate) fn set_persisted(&mut self, cx: &mut Cx, persisted: bool) -> Result<Answer, FailureCode> {
        let state = self.sim.as_mut().ok_or(FailureCode::NoSim)?;
        state.record.persisted = Some(persisted);
        self.save_sim(cx);
        Ok(Answer::Done)
    }

    pub(crate) fn use_here(&mut self, cx: &mut Cx) -> Result<Answer, FailureCode> {
        let state = self.sim.as_mut().ok_or(FailureCode::NoSim)?;
        if state.record.replaced {
            state.record.replaced = false;
            // Read the vault as after an import: the other device may have changed anything.
            state.record.restoring = true;
            self.save_sim(cx);
            self.connect_if_due(cx);
        }
        Ok(Answer::Done)
    }

    /// Deletes everything. Mailboxes that the server is just told to delete need the SIM for a moment
    /// longer: without it nobody ever can.
    pub(crate) fn delete_sim(&mut self, cx: &mut Cx, from: CommandId) {
        let until = cx.now.plus_seconds(ENDING_SECONDS);
        let (waiting, _) = self.ending.get_or_insert_with(|| (Vec::new(), until));
        waiting.push(from);
    }

    /// Does it, once there is nothing to wait for.
    pub(crate) fn finish_ending(&mut self, cx: &mut Cx) {
        let busy = self.link.state == LinkState::Online && !self.deletions.is_empty();
        if let Some((waiting, _)) = self.ending.take_if(|(_, until)| !busy || *until <= cx.now) {
            self.end_sim(cx);
            for from in waiting {
                cx.answer(from, Ok(Answer::Done));
            }
            self.state_dirty = true;
        }
    }

    fn end_sim(&mut self, cx: &mut Cx) {
        cx.out.changes.delete_all();
        cx.out.effects.push(Effect::CloseSocket);
        self.sim = None;
        self.conversations = BTreeMap::new();
        self.invites = BTreeMap::new();
        self.letters = BTreeMap::new();
        self.deletions = BTreeMap::new();
        self.deleted = BTreeMap::new();
        self.http = BTreeMap::new();
        self.vault = VaultState::default();
        self.link = Link::default();
    }

    pub(crate) fn block(&mut self, cx: &mut Cx, name: &str) -> Result<Answer, FailureCode> {
        let id = self.named(name)?;
        let Some(conversation) = self.conversations.get_mut(&id) else {
            return Err(FailureCode::NotFound);
        };
        if conversation.contact.blocked {
            return Ok(Answer::Done);
        }
        for n in conversation.outbox.keys().copied().collect::<Vec<_>>() {
            conversation.fail(cx, n);
        }
        for route in 0..conversation.contact.routes.len() {
            conversation.drop_group(cx, route);
        }
        conversation.contact.blocked = true;
        conversation.contact_dirty = true;
        let mailboxes: Vec<_> = conversation
            .contact
            .routes
            .iter()
            .map(|r| (r.queue, r.reader_salt))
            .collect();
        for (queue, reader_salt) in mailboxes {
            self.delete_mailbox(cx, queue, reader_salt);
        }
        self.vault.dirty = true;
        Ok(Answer::Done)
    }

    pub(crate) fn delete_conversation(&mut self, cx: &mut Cx, name: &str) -> Result<Answer, FailureCode> {
        let id = self.named(name)?;
        self.block(cx, name)?;
        if let Some(conversation) = self.conversations.remove(&id) {
            conversation.delete_rows(cx);
            self.note_deleted(cx, id);
            if let Some(id) = conversation.contact.began_with {
                self.note_deleted(cx, id);
            }
        }
        Ok(Answer::Done)
    }

    /// Has the server delete a mailbox, now or when it can be reached.
    pub(crate) fn delete_mailbox(&mut self, cx: &mut Cx, queue: QueueId, reader_salt: [u8; 16]) {
        let record = DeletionRecord { reader_salt };
        put(
            &mut cx.out.changes,
            key(crate::table::DELETIONS, &[&queue.0]),
            &record,
        );
        self.deletions.insert(queue, record);
    }
}
