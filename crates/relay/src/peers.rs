//! What each peer (IPv4 address, or IPv6 /64) has used of its rates, in bounded memory.

use crate::{Limits, Rate, Refusal, bucket::Bucket};
use parking_lot::Mutex;
use rly_protocol::{ErrorCode, Timestamp};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

/// Peers remembered at most. Each costs about 250 bytes.
const PEERS_MAX: usize = 65_536;

/// What a rate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Send,
    Register,
    Share,
    Claim,
    Proof,
    Vault,
    VaultCall,
    /// Bytes to be stored.
    Bytes,
    Room,
    Join,
}

const USES: [Use; 10] = [
    Use::Send,
    Use::Register,
    Use::Share,
    Use::Claim,
    Use::Proof,
    Use::Vault,
    Use::VaultCall,
    Use::Bytes,
    Use::Room,
    Use::Join,
];

impl Use {
    fn rate(self, limits: &Limits) -> Rate {
        match self {
            Self::Send => limits.sends_per_peer,
            Self::Register => limits.registrations,
            Self::Share => limits.shares,
            Self::Claim => limits.claims,
            Self::Proof => limits.proofs,
            Self::Vault => limits.vault_opens,
            Self::VaultCall => limits.vault_calls,
            Self::Bytes => limits.bytes_per_peer,
            Self::Room => limits.rooms,
            Self::Join => limits.joins,
        }
    }
}

/// One peer's buckets.
#[derive(Default)]
pub(crate) struct Peer(Mutex<[Bucket; USES.len()]>);

impl Peer {
    /// Takes one of a rate.
    pub fn take(&self, what: Use, now: Timestamp, limits: &Limits) -> Result<(), Refusal> {
        self.0.lock()[what as usize]
            .take(now, what.rate(limits))
            .map_err(|wait| Refusal::later(ErrorCode::RateLimited, wait))
    }

    /// Takes one of a rate, and so many bytes that it asks to be stored.
    pub fn take_bytes(
        &self,
        what: Use,
        bytes: usize,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<(), Refusal> {
        let mut buckets = self.0.lock();
        buckets[what as usize]
            .take(now, what.rate(limits))
            .and_then(|()| buckets[Use::Bytes as usize].take_many(now, limits.bytes_per_peer, bytes as f64))
            .map_err(|wait| Refusal::later(ErrorCode::RateLimited, wait))
    }

    fn is_fresh(&self, now: Timestamp, limits: &Limits) -> bool {
        let buckets = self.0.lock();
        USES.iter()
            .all(|what| buckets[*what as usize].is_full(now, what.rate(limits)))
    }
}

/// All peers.
#[derive(Default)]
pub(crate) struct Peers(Mutex<HashMap<IpAddr, Arc<Peer>>>);

impl Peers {
    /// The peer with this address.
    pub fn of(&self, address: IpAddr) -> Arc<Peer> {
        let mut peers = self.0.lock();
        let key = network(address);
        if peers.len() >= PEERS_MAX && !peers.contains_key(&key) {
            // The sweeper keeps this rare. Somebody's bucket starts full again, nothing worse.
            let victim = peers.keys().next().copied();
            victim.map(|victim| peers.remove(&victim));
        }
        peers.entry(key).or_default().clone()
    }

    /// Forgets those whose buckets are full again.
    pub fn sweep(&self, now: Timestamp, limits: &Limits) {
        self.0
            .lock()
            .retain(|_, peer| Arc::strong_count(peer) > 1 || !peer.is_fresh(now, limits));
    }
}

/// Who has one IPv6 address has its /64.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn neighbours_in_a_network_share_and_others_do_not() {
        let peers = Peers::default();
        let of = |text: &str| peers.of(text.parse().unwrap());
        assert!(Arc::ptr_eq(&of("2001:db8::1"), &of("2001:db8::ffff")));
        assert!(!Arc::ptr_eq(&of("2001:db8::1"), &of("2001:db8:0:1::1")));
        assert!(Arc::ptr_eq(&of("::ffff:192.0.2.1"), &of("192.0.2.1")));
    }

    #[test]
    fn memory_is_bounded_and_swept() {
        let (peers, limits) = (Peers::default(), Limits::default());
        for n in 0..PEERS_MAX as u32 + 10 {
            peers.of(IpAddr::V4(n.into()));
        }
        assert_eq!(peers.0.lock().len(), PEERS_MAX);
        let busy = peers.of(IpAddr::V4(7.into()));
        busy.take(Use::Claim, Timestamp(0), &limits).unwrap();
        drop(busy);
        peers.sweep(Timestamp(0), &limits);
        assert_eq!(peers.0.lock().len(), 1);
        peers.sweep(Timestamp(1000), &limits);
        assert_eq!(peers.0.lock().len(), 0);
    }
}
