//! What a relay may be told at its start.

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

/// What one peer or address may use. The defaults are generous for people and tight for floods.
#[derive(Clone, Debug)]
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
    /// Connections to this server at most.
    pub connections: usize,
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
            connections: 50_000,
            queue_envelopes: rly_protocol::limits::QUEUE_ENVELOPES,
            queue_bytes: rly_protocol::limits::QUEUE_BYTES,
        }
    }
}

/// What a relay needs to know.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// The public origin, `https://host`: readers sign it.
    pub origin: String,
    /// Bounds on use.
    pub limits: Limits,
}
