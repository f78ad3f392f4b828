//! Wrong secrets, counted by the address that they come from.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use model::Timestamp;
use twox_hash::XxHash3_64;

use crate::ClientKey;

/// Wrong secrets that an address may send at once; after that one in a second.
const BURST: u32 = 100;

/// Milliseconds after which an address may send one more.
const INTERVAL_MS: i64 = 1_000;

/// Places for addresses. Those that share one share its limit: nobody who has a token is asked for it.
const PLACES: usize = 4_096;

/// An address has sent so many wrong secrets that its next ones are not answered as such.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManyAttempts;

/// The wrong secrets of each address. A right one is let in however many wrong ones came before, since a proxy or a translation of
/// addresses may stand in front of many clients: 32 random bytes are not found by trying, and this only keeps an attempt cheap.
#[derive(Debug)]
pub(crate) struct Attempts {
    seed: u64,
    /// When each place will be as if nothing had come, in unix milliseconds.
    places: Mutex<Vec<i64>>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            seed: rand::random(),
            places: Mutex::new(vec![0; PLACES]),
        }
    }
}

impl Attempts {
    /// Counts a wrong secret.
    ///
    /// # Errors
    /// `TooManyAttempts` where too many came from that address.
    pub(crate) fn count(&self, address: IpAddr, now: Timestamp) -> Result<(), TooManyAttempts> {
        let mut hasher = XxHash3_64::with_seed(self.seed);
        ClientKey::of_address(address).hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % PLACES as u64).unwrap_or(0);
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now.unix_ms();
        let over = places[at].clamp(now, now + i64::from(BURST) * INTERVAL_MS);
        let is_over = over - now > i64::from(BURST - 1) * INTERVAL_MS;
        places[at] = if is_over { over } else { over + INTERVAL_MS };
        if is_over { Err(TooManyAttempts) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_secrets_are_limited_by_address() {
        let attempts = Attempts {
            seed: 7,
            ..Attempts::default()
        };
        let now = Timestamp::from_unix_ms(1_763_787_600_000);
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::2".parse().unwrap();
        let other: IpAddr = "192.0.2.7".parse().unwrap();
        for _ in 0..BURST {
            assert_eq!(attempts.count(one, now), Ok(()));
        }
        assert_eq!(attempts.count(neighbour, now), Err(TooManyAttempts));
        assert_eq!(attempts.count(other, now), Ok(()));
        assert_eq!(attempts.count(one, now.plus_ms(INTERVAL_MS)), Ok(()));
        assert_eq!(
            attempts.count(one, now.plus_ms(INTERVAL_MS)),
            Err(TooManyAttempts)
        );
        // A clock that was set back locks nobody out for longer than a burst takes.
        assert_eq!(
            attempts.count(one, now.plus_ms(-86_400_000)),
            Err(TooManyAttempts)
        );
        assert_eq!(
            attempts.count(one, now.plus_ms(-86_400_000 + INTERVAL_MS)),
            Ok(())
        );
    }
}
