//! How many of something each peer holds at one time: connections, calls in work.

use crate::peers::network;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::Arc,
};

/// Seats, so many for each peer (IPv4 address, or IPv6 /64). Memory: an entry for each peer that has one.
#[derive(Clone)]
pub struct Seats {
    most: usize,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A seat that is taken. Dropping it frees it.
pub struct Seat {
    of: IpAddr,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Seats {
    /// At most `most` for each peer.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            taken: Arc::default(),
        }
    }

    /// Takes one; `None`: this peer has as many as it may.
    pub fn take(&self, peer: IpAddr) -> Option<Seat> {
        let of = network(peer);
        let mut taken = self.taken.lock();
        let count = taken.get(&of).copied().unwrap_or_default();
        if count >= self.most {
            return None;
        }
        taken.insert(of, count + 1);
        Some(Seat {
            of,
            taken: self.taken.clone(),
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.taken.lock().entry(self.of) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_network_has_its_own_and_gets_them_back() {
        let seats = Seats::new(2);
        let take = |text: &str| seats.take(text.parse().unwrap());
        let (first, second) = (take("2001:db8::1"), take("2001:db8::2"));
        assert!(first.is_some() && second.is_some());
        assert!(take("2001:db8::3").is_none());
        let other = take("2001:db8:0:1::1");
        assert!(other.is_some());
        drop(first);
        assert!(take("2001:db8::3").is_some());
        drop((second, other));
        assert!(seats.taken.lock().is_empty());
    }
}
