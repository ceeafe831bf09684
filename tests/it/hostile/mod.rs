//! Hostile input: what the fuzz targets in fuzz/ hold, held here for a moment with every run of the tests.
//!
//! Each file has one `check`, which takes any bytes and fails if what they lead to is not as promised. `make fuzz` looks
//! longer, and by coverage.

mod access_tokens;
mod addresses;
mod bodies;
mod edits;
mod headers;
mod queries;
mod refresh_tokens;
mod service;
mod settings;

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

/// One change to a seed.
#[derive(Debug, Clone)]
enum Change {
    Byte(Index, u8),
    Insert(Index, Vec<u8>),
    Word(Index, Index),
    Remove(Index, usize),
    Repeat(Index, usize),
    Splice(Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        1 => (at(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        1 => (at(), vec(any::<u8>(), 1..8)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        3 => (at(), any::<Index>()).prop_map(|(at, word)| Change::Word(at, word)),
        1 => (at(), 1..16_usize).prop_map(|(at, count)| Change::Remove(at, count)),
        1 => (at(), 1..64_usize).prop_map(|(at, count)| Change::Repeat(at, count)),
        1 => (at(), any::<Index>()).prop_map(|(at, seed)| Change::Splice(at, seed)),
    ]
}

/// Checks every seed of a target, and thousands of changed ones.
fn hold(target: &str, cases: u32, check: fn(&[u8])) {
    let (seeds, words) = (seeds(target), words());
    for seed in &seeds {
        check(seed);
    }
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let changed = (any::<Index>(), vec(change(), 1..6));
    let outcome = runner.run(&changed, |(seed, changes)| {
        let mut bytes = seed.get(&seeds).clone();
        for change in &changes {
            apply(change, &mut bytes, &seeds, &words);
        }
        check(&bytes);
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{target}: {failure}"));
}

fn apply(change: &Change, bytes: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[Vec<u8>]) {
    let place = |at: &Index, bytes: &Vec<u8>| at.index(bytes.len() + 1);
    match change {
        Change::Byte(at, byte) => {
            let at = place(at, bytes);
            bytes.iter_mut().skip(at).take(1).for_each(|old| *old = *byte);
        }
        Change::Insert(at, more) => drop(bytes.splice(place(at, bytes)..place(at, bytes), more.iter().copied())),
        Change::Word(at, word) => {
            let at = place(at, bytes);
            drop(bytes.splice(at..at, word.get(words).iter().copied()));
        }
        Change::Remove(at, count) => {
            let at = place(at, bytes);
            drop(bytes.drain(at..(at + count).min(bytes.len())));
        }
        Change::Repeat(at, count) => {
            let at = place(at, bytes);
            let piece = bytes[at..(at + count).min(bytes.len())].repeat(3);
            drop(bytes.splice(at..at, piece));
        }
        Change::Splice(at, seed) => {
            bytes.truncate(place(at, bytes));
            let other = seed.get(seeds);
            bytes.extend(&other[at.index(other.len() + 1)..]);
        }
    }
}

fn fuzz_folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz"))
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(fuzz_folder().join("seeds").join(target)).unwrap();
    let seeds: Vec<Vec<u8>> = entries.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    assert!(seeds.len() >= 3, "{target} has few seeds");
    seeds
}

/// The words of the dictionary, which stand in quotation marks.
fn words() -> Vec<Vec<u8>> {
    let dictionary = fs::read_to_string(fuzz_folder().join("words.dict")).unwrap();
    let quoted = |line: &str| line.strip_prefix('"')?.strip_suffix('"').map(str::to_owned);
    let plain = |word: String| word.replace("\\\"", "\"").replace("\\x0A", "\n").replace("\\\\", "\\").into_bytes();
    dictionary.lines().filter_map(quoted).map(plain).collect()
}

#[test]
fn what_is_read_as_a_refresh_token_was_issued_byte_for_byte() {
    hold("refresh_tokens", 20_000, refresh_tokens::check);
}

#[test]
fn what_is_accepted_as_an_access_token_was_signed_by_us_and_says_what_it_must() {
    hold("access_tokens", 10_000, access_tokens::check);
}

#[test]
fn only_a_trusted_proxy_chooses_the_address_of_a_request() {
    hold("addresses", 10_000, addresses::check);
}

#[test]
fn a_configuration_that_loads_keeps_every_bound_and_none_shows_a_secret() {
    hold("settings", 1_000, settings::check);
}

#[test]
fn whatever_a_body_is_the_answer_is_documented() {
    hold("bodies", 3_000, bodies::check);
}

#[test]
fn whatever_the_headers_are_the_answer_is_documented() {
    hold("headers", 3_000, headers::check);
}

#[test]
fn whatever_a_query_is_the_answer_is_documented() {
    hold("queries", 3_000, queries::check);
}

#[test]
fn every_check_is_a_fuzz_target() {
    let targets = fs::read_dir(fuzz_folder().join("fuzz_targets")).unwrap();
    let mut targets: Vec<String> =
        targets.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    targets.sort();
    assert_eq!(targets, ["access_tokens", "addresses", "bodies", "headers", "queries", "refresh_tokens", "settings"]);
    let makefile = fs::read_to_string(fuzz_folder().join("../Makefile")).unwrap();
    let list = makefile.lines().find_map(|line| line.strip_prefix("FUZZ_TARGETS ?= ")).unwrap();
    assert_eq!(list.split(' ').collect::<Vec<_>>(), targets);
}
