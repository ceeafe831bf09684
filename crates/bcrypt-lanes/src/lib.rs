//! bcrypt for several passwords at once on one core.
//!
//! bcrypt is a chain: each of its steps looks up what the step before has computed, so a core spends most of a hash waiting for
//! its own cache. [`Lanes`] has it work on up to [`LANES`] hashes in turns, step by step, and four take little longer than
//! one. They may begin and end at different times and need not have the same cost.
//!
//! What comes out is what bcrypt is: the tests hold it equal to the crate `bcrypt` for any salts, keys and neighbours.

mod blowfish;
mod pi;

use blowfish::{Schedule, Task, Words, run};

/// How many hashes a core computes at once. More would gain little, and each would take longer.
pub const LANES: usize = 4;

/// What a hash is computed of.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// How often the key schedule is run: two to the power of bcrypt's cost. Any other number is as good for a decoy.
    pub rounds: u32,
    /// 16 random bytes.
    pub salt: &'a [u8; 16],
    /// The password, with bcrypt's NUL at its end. Bytes after the 72nd do not count; an empty key is one NUL.
    pub key: &'a [u8],
}

/// Hashes under way on one core, each with a name that its owner knows it by.
pub struct Lanes<T> {
    // The three are in one order. The schedules lie side by side, which makes them faster.
    schedules: Vec<Schedule>,
    tasks: Vec<Task>,
    names: Vec<T>,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self {
            schedules: Vec::with_capacity(LANES),
            tasks: Vec::with_capacity(LANES),
            names: Vec::with_capacity(LANES),
        }
    }
}

impl<T> Lanes<T> {
    /// How many hashes are under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Begins a hash.
    ///
    /// # Errors
    /// The name comes back when [`LANES`] are under way.
    pub fn start(&mut self, input: Input<'_>, name: T) -> Result<(), T> {
        if self.len() >= LANES {
            return Err(name);
        }
        let (key, salt) = (Words::of(input.key), Words::of(input.salt));
        self.schedules.push_mut(Schedule::default()).begin(&salt, &key);
        self.tasks.push(Task { key, salt, rounds_left: input.rounds });
        self.names.push(name);
        Ok(())
    }

    /// Runs all of them for so many rounds, or until the first ends; gives those that have ended.
    ///
    /// A round takes about 70 µs on a processor of 2023, and 80 µs with all lanes taken.
    pub fn advance(&mut self, rounds: u32) -> Vec<(T, [u8; 24])> {
        run(&mut self.schedules, &mut self.tasks, rounds);
        let mut ended = Vec::new();
        while let Some(at) = self.tasks.iter().position(|task| task.rounds_left == 0) {
            let last = self.tasks.len() - 1;
            self.schedules.swap(at, last);
            self.tasks.swap(at, last);
            let output = self.schedules.last().map(Schedule::output).unwrap_or_default();
            // Not taken out: where they are dropped they are overwritten, and nowhere else was a copy.
            self.schedules.truncate(last);
            self.tasks.truncate(last);
            ended.push((self.names.swap_remove(at), output));
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Hashes begin and end at any time beside others, and each comes out as if it were alone.
        #[test]
        fn as_the_crate_bcrypt(
            inputs in prop::collection::vec((4_u32..7, any::<[u8; 16]>(), prop::collection::vec(any::<u8>(), 1..=72)), 1..12),
            pauses in prop::collection::vec(1_u32..40, 1..5),
        ) {
            let mut lanes = Lanes::default();
            let mut outputs = vec![None; inputs.len()];
            let mut waiting = inputs.iter().enumerate().peekable();
            let mut pauses = pauses.into_iter().cycle();
            while waiting.peek().is_some() || !lanes.is_empty() {
                if lanes.len() < LANES && let Some((name, (cost, salt, key))) = waiting.next() {
                    lanes.start(Input { rounds: 1 << cost, salt, key }, name).unwrap();
                }
                for (name, output) in lanes.advance(pauses.next().unwrap()) {
                    prop_assert_eq!(outputs[name].replace(output), None);
                }
            }
            for ((cost, salt, key), output) in inputs.iter().zip(outputs) {
                prop_assert_eq!(output, Some(bcrypt::bcrypt(*cost, *salt, key)));
            }
        }
    }

    #[test]
    fn no_more_than_there_is_room_for() {
        let mut lanes = Lanes::default();
        let input = Input { rounds: 16, salt: &[7; 16], key: b"key\0" };
        for name in 0..LANES {
            lanes.start(input, name).unwrap();
        }
        assert_eq!(lanes.start(input, LANES), Err(LANES));
        assert_eq!(lanes.advance(u32::MAX).len(), LANES);
        assert!(lanes.is_empty() && lanes.advance(1).is_empty());
    }

    #[test]
    fn what_counts_of_a_key() {
        let hash = |key: &[u8]| {
            let mut lanes = Lanes::default();
            lanes.start(Input { rounds: 16, salt: &[7; 16], key }, ()).unwrap();
            lanes.advance(16).pop().unwrap().1
        };
        assert_eq!(hash(&[b'x'; 73]), hash(&[b'x'; 72]));
        assert_ne!(hash(b"x\0"), hash(b"x\0y\0"), "a NUL is a byte as any other");
        assert_eq!(hash(b""), hash(b"\0"));
    }
}
