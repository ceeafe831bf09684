//! Blowfish with bcrypt's key schedule ("eksblowfish", Provos and Mazières 1999), several of them in step.

#![expect(
    clippy::indexing_slicing,
    clippy::inline_always,
    reason = "every index is a byte or a loop's into an array of that length, which costs nothing; without the second it is slower"
)]

use std::array;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{LANES, pi};

/// Bytes as a schedule reads them: over and over, until they fill 18 words.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Words([u32; 18]);

impl Words {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut bytes = bytes.iter().copied().cycle();
        Self(array::from_fn(|_| u32::from_be_bytes(array::from_fn(|_| bytes.next().unwrap_or(0)))))
    }
}

/// What is done to a schedule.
pub(crate) struct Task {
    pub(crate) key: Words,
    pub(crate) salt: Words,
    pub(crate) rounds_left: u32,
}

/// What a key has become so far.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Schedule {
    subkeys: [u32; 18],
    boxes: [[u32; 256]; 4],
}

/// A block of each schedule: its left and its right half.
type Blocks<const N: usize> = [(u32, u32); N];

impl Default for Schedule {
    /// The digits of π.
    fn default() -> Self {
        let mut digits = pi::WORDS.into_iter();
        let mut next = || digits.next().unwrap_or_default();
        Self { subkeys: array::from_fn(|_| next()), boxes: array::from_fn(|_| array::from_fn(|_| next())) }
    }
}

impl Schedule {
    /// Mixes the key in, and the salt on the way.
    pub(crate) fn begin(&mut self, salt: &Words, key: &Words) {
        // 16 bytes of salt are two blocks, in turns.
        let [a, b, c, d, ..] = salt.0;
        let mut salts = [(a, b), (c, d)].into_iter().cycle();
        refill(array::from_mut(self), [key], |[(left, right)]| {
            let salt = salts.next().unwrap_or_default();
            *left ^= salt.0;
            *right ^= salt.1;
        });
    }

    /// bcrypt's hash, when all rounds are done.
    pub(crate) fn output(&self) -> [u8; 24] {
        let mut output = [0; 24];
        for (block, to) in b"OrpheanBeholderScryDoubt".as_chunks::<8>().0.iter().zip(output.as_chunks_mut::<8>().0) {
            let half = |bytes: &[u8]| u32::from_be_bytes(array::from_fn(|at| bytes[at]));
            let mut block = [(half(&block[..4]), half(&block[4..]))];
            for _ in 0..64 {
                block = encrypt(array::from_ref(self), block);
            }
            let [(left, right)] = block;
            *to = ((u64::from(left) << 32) | u64::from(right)).to_be_bytes();
        }
        output
    }

    /// The function F of Blowfish.
    #[inline]
    fn lookup(&self, half: u32) -> u32 {
        let [first, second, third, fourth] = &self.boxes;
        let [d, c, b, a] = half.to_le_bytes().map(usize::from);
        (first[a].wrapping_add(second[b]) ^ third[c]).wrapping_add(fourth[d])
    }
}

/// Runs all schedules for so many rounds, or until the first is done.
pub(crate) fn run(schedules: &mut [Schedule], tasks: &mut [Task], rounds: u32) {
    let soonest = tasks.iter().map(|task| task.rounds_left).min();
    let rounds = rounds.min(soonest.unwrap_or_default());
    match tasks.len() {
        1 => run_just::<1>(schedules, tasks, rounds),
        2 => run_just::<2>(schedules, tasks, rounds),
        3 => run_just::<3>(schedules, tasks, rounds),
        _ => run_just::<LANES>(schedules, tasks, rounds),
    }
}

fn run_just<const N: usize>(schedules: &mut [Schedule], tasks: &mut [Task], rounds: u32) {
    let (Ok(schedules), Ok(tasks)): (Result<&mut [_; N], _>, Result<&mut [_; N], _>) =
        (schedules.try_into(), tasks.try_into())
    else {
        return;
    };
    let (keys, salts) = (tasks.each_ref().map(|task| &task.key), tasks.each_ref().map(|task| &task.salt));
    for _ in 0..rounds {
        refill(schedules, keys, |_| ());
        refill(schedules, salts, |_| ());
    }
    for task in tasks {
        task.rounds_left -= rounds;
    }
}

/// Replaces all of each schedule by what it encrypts to itself under its key.
fn refill<const N: usize>(schedules: &mut [Schedule; N], keys: [&Words; N], mut mix: impl FnMut(&mut Blocks<N>)) {
    for (schedule, key) in schedules.iter_mut().zip(keys) {
        for (subkey, word) in schedule.subkeys.iter_mut().zip(key.0) {
            *subkey ^= word;
        }
    }
    let mut blocks = [(0, 0); N];
    for at in 0..9 {
        mix(&mut blocks);
        blocks = encrypt(schedules, blocks);
        for (schedule, (left, right)) in schedules.iter_mut().zip(blocks) {
            schedule.subkeys[2 * at] = left;
            schedule.subkeys[2 * at + 1] = right;
        }
    }
    for table in 0..4 {
        for at in 0..128 {
            mix(&mut blocks);
            blocks = encrypt(schedules, blocks);
            for (schedule, (left, right)) in schedules.iter_mut().zip(blocks) {
                schedule.boxes[table][2 * at] = left;
                schedule.boxes[table][2 * at + 1] = right;
            }
        }
    }
}

/// Encrypts a block under each schedule. The schedules take turns at every step: while one waits for its lookup, the others go on.
#[inline(always)]
fn encrypt<const N: usize>(schedules: &[Schedule; N], mut blocks: Blocks<N>) -> Blocks<N> {
    for (schedule, (left, _)) in schedules.iter().zip(&mut blocks) {
        *left ^= schedule.subkeys[0];
    }
    for step in 0..8 {
        for (schedule, (left, right)) in schedules.iter().zip(&mut blocks) {
            *right = (*right ^ schedule.subkeys[2 * step + 1]) ^ schedule.lookup(*left);
        }
        for (schedule, (left, right)) in schedules.iter().zip(&mut blocks) {
            *left = (*left ^ schedule.subkeys[2 * step + 2]) ^ schedule.lookup(*right);
        }
    }
    for (schedule, (left, right)) in schedules.iter().zip(&mut blocks) {
        (*left, *right) = (*right ^ schedule.subkeys[17], *left);
    }
    blocks
}
