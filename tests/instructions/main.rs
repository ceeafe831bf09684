//! How many instructions it takes to make and to read tokens: a bound for each operation, so that work that is done twice is
//! noticed without a clock.
//!
//! A small binary of its own, which runs itself under valgrind. It is built as all tests are, hardly optimised: to build the
//! dependencies once more for it would take minutes, and the numbers are compared with those of a commit ago and with nothing else.
//! (`make micro` measures what is shipped.) From run to run they differ by a few instructions; another compiler, or other versions
//! of libraries, may need other bounds. Much of it is SHA-256, for which aws-lc has routines for several kinds of processors: as
//! valgrind shows them to programs they have AVX or SSSE3, between which parsing differs by 2 percent.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that panics has done its work, and prints what it has counted"
)]

mod issuer;
#[path = "../it/support/programs.rs"]
#[expect(dead_code, clippy::as_conversions, reason = "made for tests/it, which uses all of it")]
mod programs;

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;

use issuer::Issuer;
use programs::{find_program, left_out, skipped};

/// A name, what is done, and how many instructions it may take at most: a tenth more than were counted.
type Operation = (&'static str, fn(&Issuer), u64);

const OPERATIONS: [Operation; 5] = [
    ("signing an access token", |issuer| _ = black_box(issuer.sign_access_token()), 69_200),
    ("verifying an access token", |issuer| _ = black_box(issuer.verify_access_token()), 62_200),
    ("parsing a refresh token", |issuer| _ = black_box(issuer.parse_refresh_token()), 14_800),
    ("finding what follows a refresh token", |issuer| _ = black_box(issuer.successors_of_refresh_token()), 11_700),
    ("encoding a refresh token", |issuer| _ = black_box(issuer.encode_refresh_token()), 14_100),
];
const TIMES: u64 = 100;

#[test]
fn making_and_reading_tokens_takes_no_more_instructions_than_are_known_of() {
    if !cfg!(target_arch = "x86_64") {
        left_out("x86-64", "other processors take other numbers of instructions");
        return;
    }
    let Some(valgrind) = find_program(&["valgrind"], &[]) else {
        return skipped("VALGRIND", "apt-get install valgrind");
    };
    let mut beyond = Vec::new();
    for ((operation, _, at_most), counted) in OPERATIONS.into_iter().zip(count(&valgrind)) {
        let found = counted / TIMES;
        println!("{operation}: {found} instructions, {at_most} at most");
        if found > at_most {
            beyond.push(format!("{operation} takes {found} instructions, {at_most} at most"));
        }
    }
    assert!(
        beyond.is_empty(),
        "{}. Find what is done more than before, for example with callgrind_annotate; or raise the number in OPERATIONS, and say \
         in the commit what it is for",
        beyond.join("; ")
    );
}

/// What valgrind looks at.
#[test]
fn every_operation_comes_to_its_end() {
    let issuer = Issuer::new();
    for (_, operation, _) in OPERATIONS {
        // What is done once for all.
        operation(&issuer);
        repeat(operation, &issuer);
    }
}

/// Valgrind counts in here and nowhere else.
#[inline(never)]
fn repeat(operation: fn(&Issuer), issuer: &Issuer) {
    for _ in 0..TIMES {
        operation(issuer);
    }
}

/// What valgrind calls that.
const COUNTED: &str = "instructions::repeat";

/// Runs the test above under valgrind; gives the instructions of all repetitions of each operation.
fn count(valgrind: &Path) -> Vec<u64> {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("part");
    let mut command = Command::new(valgrind);
    command.args(["--tool=callgrind", &format!("--toggle-collect={COUNTED}"), &format!("--dump-after={COUNTED}")]);
    command.arg(format!("--callgrind-out-file={}", out.display()));
    command.arg(std::env::current_exe().expect("this program"));
    let output = command.args(["--exact", "every_operation_comes_to_its_end"]).output().expect("valgrind starts");
    let total = |nth: usize| -> Option<u64> {
        let part = fs::read_to_string(out.with_extension((nth + 1).to_string())).ok()?;
        part.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok())
    };
    let totals: Option<Vec<u64>> = (0..OPERATIONS.len()).map(total).collect();
    totals.unwrap_or_else(|| panic!("valgrind did not count: {}", String::from_utf8_lossy(&output.stderr)))
}
