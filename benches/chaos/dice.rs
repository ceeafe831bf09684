//! Chance. Each run is another, as faults should meet other moments each time.

use uuid::Uuid;

/// A small pseudo-random generator (xorshift).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new() -> Self {
        Self(Uuid::new_v4().as_u64_pair().0 | 1)
    }

    /// From 0 to less than `below`.
    pub(crate) fn up_to(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    pub(crate) fn below(&mut self, below: usize) -> usize {
        usize::try_from(self.up_to(below.try_into().unwrap())).unwrap()
    }
}
