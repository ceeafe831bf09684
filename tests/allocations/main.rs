//! How often a request asks for memory: a bound for each call, so that a copy or a box too many is noticed without a clock.
//!
//! A binary of its own, as the allocator that counts is the whole process's. In it are the real server, with its log as in
//! production, and a caller who allocates nothing; beside it a private Postgres.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that panics has done its work, and prints what it has counted"
)]

mod caller;
mod service;

use std::alloc::System;

use alloc_tracker::{Allocator, Session};

use caller::Caller;
use service::Service;

/// Calls, and how many allocations each may take at most, with reallocations: a tenth more than were counted.
const AT_MOST: [(&str, u64); 4] = [("check", 51), ("me", 79), ("refresh", 105), ("login", 258)];
/// Calls in one count.
const CALLS: u64 = 100;
/// Something else may happen in the process during one count, such as fetching the list of revocations.
const COUNTS: u32 = 3;

#[global_allocator]
static ALLOCATOR: Allocator<System> = Allocator::system();

#[test]
fn a_request_takes_no_more_allocations_than_are_known_of() {
    let service = Service::start();
    let mut caller = Caller::register(service.address);
    let mut beyond = Vec::new();
    for (call, at_most) in AT_MOST {
        let found = allocations(|| caller.make(call));
        println!("{call}: {found} allocations, {at_most} at most");
        if found > at_most {
            beyond.push(format!("{call} takes {found} allocations, {at_most} at most"));
        }
    }

    drop(service);
    assert!(
        beyond.is_empty(),
        "{}. Find what allocates, for example with heaptrack; or raise the number in AT_MOST, and say in the commit what it is for",
        beyond.join("; ")
    );
}

/// Of one call, rounded up.
fn allocations(mut call: impl FnMut()) -> u64 {
    // Connections, prepared statements, the buffers that are kept.
    (0..CALLS / 2).for_each(|_| call());
    let count = |_| {
        let session = Session::new().no_stdout().no_file();
        let counted = session.operation("calls").measure_process().iterations(CALLS);
        (0..CALLS).for_each(|_| call());
        drop(counted);
        let report = session.to_report();
        let (_, calls) = report.operations().next().expect("calls were counted");
        calls.total_allocations_count().div_ceil(CALLS)
    };
    (0..COUNTS).map(count).min().expect("something was counted")
}
