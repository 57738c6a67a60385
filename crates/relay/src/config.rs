//! What a relay may be told at its start.

use rly_protocol::limits::ENVELOPE_MAX;
use std::str::FromStr;
use thiserror::Error;

/// How often something may happen: `burst` at once, then `per_second`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Refill in events per second.
    pub per_second: f64,
    /// The most that may happen at one moment.
    pub burst: f64,
}

impl Rate {
    /// `burst` at once, then `per_second`.
    pub const fn new(per_second: f64, burst: f64) -> Self {
        Self { per_second, burst }
    }
}

/// Not a limit that there is, or not a value that it can have.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "'{0}' is no limit: write a rate as sends_per_peer=500/5000 (each second/at once), a number as connections=50000"
)]
pub struct LimitsError(String);

impl FromStr for Rate {
    type Err = LimitsError;

    /// `PER_SECOND/BURST`.
    fn from_str(text: &str) -> Result<Self, LimitsError> {
        let wrong = || LimitsError(text.into());
        let (per_second, burst) = text.split_once('/').ok_or_else(wrong)?;
        let parse = |text: &str| text.trim().parse::<u32>().ok().filter(|n| *n > 0).map(f64::from);
        match (parse(per_second), parse(burst)) {
            (Some(per_second), Some(burst)) => Ok(Self::new(per_second, burst)),
            _ => Err(wrong()),
        }
    }
}

/// What one peer or address may use. The defaults are generous for people and tight for floods.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Envelopes to one address.
    pub sends_per_address: Rate,
    /// Envelopes from one peer.
    pub sends_per_peer: Rate,
    /// Mailboxes made by one peer.
    pub registrations: Rate,
    /// Invites made by one peer.
    pub shares: Rate,
    /// Invites opened, or tried, by one peer.
    pub claims: Rate,
    /// Signatures of readers checked for one peer (tickets cost nothing).
    pub proofs: Rate,
    /// Vaults opened by one peer.
    pub vault_opens: Rate,
    /// Pages of vaults read, and writes to vaults, by one peer.
    pub vault_calls: Rate,
    /// Bytes that one peer has stored: envelopes, cards, what is written to vaults.
    pub bytes_per_peer: Rate,
    /// Bytes that must be free on the disk for anything new to be taken; 0: it does not matter.
    pub disk_free: u64,
    /// Rooms made by one peer.
    pub rooms: Rate,
    /// Rooms joined, or looked at, by one peer.
    pub joins: Rate,
    /// Messages of one person in a room.
    pub posts_per_person: Rate,
    /// Rooms of one peer that are open at most.
    pub rooms_per_peer: usize,
    /// Connections to this server at most.
    pub connections: usize,
    /// Of those, from one peer: behind one address there may be a whole school.
    pub connections_per_peer: usize,
    /// API calls of one peer that are under way at one time.
    pub calls_per_peer: usize,
    /// Envelopes that wait in one queue at most.
    pub queue_envelopes: u32,
    /// Bytes that wait in one queue at most.
    pub queue_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sends_per_address: Rate::new(50.0, 1_200.0),
            sends_per_peer: Rate::new(500.0, 5_000.0),
            registrations: Rate::new(10.0, 300.0),
            shares: Rate::new(10.0, 300.0),
            claims: Rate::new(20.0, 200.0),
            proofs: Rate::new(100.0, 5_000.0),
            vault_opens: Rate::new(5.0, 100.0),
            vault_calls: Rate::new(20.0, 500.0),
            bytes_per_peer: Rate::new(524_288.0, 134_217_728.0),
            disk_free: 256 << 20,
            rooms: Rate::new(1.0, 50.0),
            joins: Rate::new(50.0, 1_000.0),
            posts_per_person: Rate::new(5.0, 100.0),
            rooms_per_peer: 100,
            connections: 50_000,
            connections_per_peer: 500,
            calls_per_peer: 128,
            queue_envelopes: rly_protocol::limits::QUEUE_ENVELOPES,
            queue_bytes: rly_protocol::limits::QUEUE_BYTES,
        }
    }
}

impl FromStr for Limits {
    type Err = LimitsError;

    /// The defaults, but for those that are named: `sends_per_peer=500/5000,queue_envelopes=1000`.
    fn from_str(text: &str) -> Result<Self, LimitsError> {
        let mut limits = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            limits.set(part).ok_or_else(|| LimitsError(part.into()))?;
        }
        Ok(limits)
    }
}

impl Limits {
    /// No rate stands in the way.
    #[cfg(any(test, rly_fuzz))]
    pub(crate) fn free() -> Self {
        let any = Rate::new(1e9, 1e9);
        Self {
            sends_per_address: any,
            sends_per_peer: any,
            registrations: any,
            shares: any,
            claims: any,
            proofs: any,
            vault_opens: any,
            vault_calls: any,
            bytes_per_peer: Rate::new(1e15, 1e15),
            connections_per_peer: usize::MAX,
            calls_per_peer: usize::MAX,
            rooms: any,
            joins: any,
            posts_per_person: any,
            rooms_per_peer: usize::MAX,
            ..Self::default()
        }
    }

    fn set(&mut self, part: &str) -> Option<()> {
        let (name, value) = part.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        let rate = match name {
            "sends_per_address" => &mut self.sends_per_address,
            "sends_per_peer" => &mut self.sends_per_peer,
            "registrations" => &mut self.registrations,
            "shares" => &mut self.shares,
            "claims" => &mut self.claims,
            "proofs" => &mut self.proofs,
            "vault_opens" => &mut self.vault_opens,
            "vault_calls" => &mut self.vault_calls,
            "bytes_per_peer" => &mut self.bytes_per_peer,
            "rooms" => &mut self.rooms,
            "joins" => &mut self.joins,
            "posts_per_person" => &mut self.posts_per_person,
            _ => return self.set_number(name, value),
        };
        *rate = value.parse().ok()?;
        Some(())
    }

    fn set_number(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "disk_free" => self.disk_free = value.parse().ok()?,
            "rooms_per_peer" => self.rooms_per_peer = value.parse().ok().filter(|n| *n > 0)?,
            "connections" => self.connections = value.parse().ok().filter(|n| *n > 0)?,
            "connections_per_peer" => self.connections_per_peer = value.parse().ok().filter(|n| *n > 0)?,
            "calls_per_peer" => self.calls_per_peer = value.parse().ok().filter(|n| *n > 0)?,
            "queue_envelopes" => self.queue_envelopes = value.parse().ok().filter(|n| *n > 0)?,
            // Less would refuse envelopes that the protocol allows, for ever.
            "queue_bytes" => self.queue_bytes = value.parse().ok().filter(|n| *n >= ENVELOPE_MAX as u64)?,
            _ => return None,
        }
        Some(())
    }
}

/// Who may make rooms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RoomMakers {
    /// Everybody.
    #[default]
    Anyone,
    /// Whoever has an account here.
    Accounts,
    /// Nobody.
    Off,
}

/// What a relay needs to know.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// The public origin, `https://host`: readers sign it.
    pub origin: String,
    /// Bounds on use.
    pub limits: Limits,
    /// Who may make rooms. Those that there are can be joined all the same.
    pub rooms: RoomMakers,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn limits_are_read_by_name_and_the_rest_stays() {
        let limits: Limits = "sends_per_peer=7/70, queue_envelopes=2000,connections=9"
            .parse()
            .unwrap();
        assert_eq!(limits.sends_per_peer, Rate::new(7.0, 70.0));
        assert_eq!((limits.queue_envelopes, limits.connections), (2000, 9));
        assert_eq!(limits.sends_per_address, Limits::default().sends_per_address);
        assert_eq!(
            "".parse::<Limits>().unwrap().connections,
            Limits::default().connections
        );
    }

    #[test]
    fn every_limit_has_its_name() {
        for name in [
            "sends_per_address",
            "sends_per_peer",
            "registrations",
            "shares",
            "claims",
            "proofs",
            "vault_opens",
            "vault_calls",
            "bytes_per_peer",
            "rooms",
            "joins",
            "posts_per_person",
        ] {
            let limits: Limits = format!("{name}=123/456").parse().unwrap();
            assert!(
                format!("{limits:?}")
                    .contains(&format!("{name}: Rate {{ per_second: 123.0, burst: 456.0 }}"))
            );
        }
        for name in [
            "disk_free",
            "rooms_per_peer",
            "connections",
            "connections_per_peer",
            "calls_per_peer",
            "queue_envelopes",
            "queue_bytes",
        ] {
            let limits: Limits = format!("{name}=123456").parse().unwrap();
            assert!(format!("{limits:?}").contains(&format!("{name}: 123456")));
        }
    }

    #[test]
    fn mistakes_are_refused() {
        for wrong in [
            "sends=1/1",
            "claims",
            "claims=5",
            "claims=0/5",
            "claims=5/0",
            "claims=inf/5",
            "claims=-1/5",
            "connections=0",
            "connections=1/2",
            "queue_bytes=65535",
        ] {
            assert_eq!(wrong.parse::<Limits>().err(), Some(LimitsError(wrong.into())));
        }
    }
}
