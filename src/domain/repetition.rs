//! Who stands in a file twice: found exactly, in memory that hardly grows with the file.
//!
//! A first reading sifts out the few keys that may stand there twice; a second one notes those alone.

use std::collections::HashSet;

use aws_lc_rs::digest::{SHA256, digest};
use uuid::Uuid;

use super::email::Email;

/// An address or an id: SHA-256 of it, so that nobody finds two with the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key([u8; 16]);

/// Sixteen MiB of bits: of a million users hardly one is suspected without reason, of ten million one in a hundred.
const BITS_LOG2: u32 = 27;

/// Keys that were met, by four bits each (a Bloom filter): it forgets none, and takes a few for met that were not.
pub struct Sieve {
    words: Vec<u64>,
    suspects: HashSet<Key>,
}

/// What to notice in a file.
#[derive(Debug, Default)]
pub struct Repetitions {
    /// Those that may be there twice; none if that is not known, and any may be.
    suspects: Option<HashSet<Key>>,
    seen: HashSet<Key>,
}

impl Key {
    /// Of an address.
    #[must_use]
    pub fn of_email(email: &Email) -> Self {
        Self::of(b"email ", email.as_str().as_bytes())
    }

    /// Of an id.
    #[must_use]
    pub fn of_id(id: Uuid) -> Self {
        Self::of(b"id ", id.as_bytes())
    }

    fn of(what: &[u8], value: &[u8]) -> Self {
        let hash = digest(&SHA256, &[what, value].concat());
        Self(hash.as_ref().first_chunk().copied().unwrap_or_default())
    }

    /// Its bits in a sieve: word and mask.
    fn bits(&self) -> impl Iterator<Item = (usize, u64)> {
        self.0.chunks_exact(4).map(|chunk| {
            let number = chunk.iter().fold(0_u32, |number, byte| (number << 8) | u32::from(*byte));
            let bit = number >> (u32::BITS - BITS_LOG2);
            (usize::try_from(bit / u64::BITS).unwrap_or_default(), 1 << (bit % u64::BITS))
        })
    }
}

impl Default for Sieve {
    fn default() -> Self {
        Self { words: vec![0; 1 << (BITS_LOG2 - u64::BITS.trailing_zeros())], suspects: HashSet::new() }
    }
}

impl Sieve {
    /// Notes a key.
    pub fn meet(&mut self, key: Key) {
        let mut is_new = false;
        for (word, mask) in key.bits() {
            if let Some(word) = self.words.get_mut(word) {
                is_new |= *word & mask == 0;
                *word |= mask;
            }
        }
        if !is_new {
            self.suspects.insert(key);
        }
    }

    /// What to notice when the same keys are met again, from the first on.
    #[must_use]
    pub fn repetitions(self) -> Repetitions {
        Repetitions { suspects: Some(self.suspects), seen: HashSet::new() }
    }
}

impl Repetitions {
    /// Notes a key, and says whether it was met before.
    pub fn note(&mut self, key: Key) -> bool {
        self.suspects.as_ref().is_none_or(|suspects| suspects.contains(&key)) && !self.seen.insert(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u128) -> Key {
        Key::of_id(Uuid::from_u128(number))
    }

    #[test]
    fn what_is_there_twice_is_noticed_at_its_second_place_and_nothing_else_is() {
        let numbers = || (0..20_000).chain([7, 19_999, 7]);
        let mut sieve = Sieve::default();
        numbers().for_each(|number| sieve.meet(key(number)));
        assert!((2..50).contains(&sieve.suspects.len()), "{}", sieve.suspects.len());
        for mut repetitions in [sieve.repetitions(), Repetitions::default()] {
            let noticed: Vec<u128> = numbers().filter(|number| repetitions.note(key(*number))).collect();
            assert_eq!(noticed, [7, 19_999, 7]);
        }
    }

    #[test]
    fn a_sieve_suspects_few_without_reason() {
        let mut sieve = Sieve::default();
        (0..300_000).for_each(|number| sieve.meet(key(number)));
        assert!(sieve.suspects.len() < 5, "{}", sieve.suspects.len());
    }

    #[test]
    fn an_id_is_no_address() {
        let id = Uuid::from_u128(1);
        assert_ne!(Key::of_id(id), Key::of(b"email ", id.as_bytes()));
    }
}
