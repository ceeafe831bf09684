//! What each part of a request takes that needs neither a socket nor a database: tokens and JSON, in nanoseconds and allocations.
//!
//! `make micro`, or `cargo bench --bench micro -- refresh` for those whose names contain a word. What a whole request takes is
//! measured by `make bench`; that no part grows unnoticed is for `tests/instructions` and `tests/allocations`.

#![expect(clippy::expect_used, reason = "a benchmark that panics has failed")]

mod bodies;
#[path = "../../tests/instructions/issuer.rs"]
mod issuer;

use divan::{AllocProfiler, Bencher, black_box};

use bodies::{Pair, RefreshRequest, me};
use issuer::Issuer;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench]
fn access_token_sign(bencher: Bencher) {
    let issuer = Issuer::new();
    bencher.bench_local(|| black_box(&issuer).sign_access_token());
}

#[divan::bench]
fn access_token_verify(bencher: Bencher) {
    let issuer = Issuer::new();
    bencher.bench_local(|| black_box(&issuer).verify_access_token());
}

#[divan::bench]
fn refresh_token_parse(bencher: Bencher) {
    let issuer = Issuer::new();
    bencher.bench_local(|| black_box(&issuer).parse_refresh_token());
}

#[divan::bench]
fn refresh_token_successors(bencher: Bencher) {
    let issuer = Issuer::new();
    bencher.bench_local(|| black_box(&issuer).successors_of_refresh_token());
}

#[divan::bench]
fn refresh_token_encode(bencher: Bencher) {
    let issuer = Issuer::new();
    bencher.bench_local(|| black_box(&issuer).encode_refresh_token());
}

#[divan::bench]
fn json_write_token_pair(bencher: Bencher) {
    let pair = Pair::of(&Issuer::new());
    bencher.bench_local(|| serde_json::to_string(black_box(&pair)).expect("JSON"));
}

#[divan::bench]
fn json_write_me(bencher: Bencher) {
    let me = me();
    bencher.bench_local(|| serde_json::to_string(black_box(&me)).expect("JSON"));
}

#[divan::bench]
fn json_read_refresh_request(bencher: Bencher) {
    let body = serde_json::to_string(&RefreshRequest::of(&Issuer::new())).expect("JSON");
    bencher.bench_local(|| serde_json::from_str::<RefreshRequest>(black_box(&body)).expect("a request"));
}
