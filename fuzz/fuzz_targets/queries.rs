#![no_main]

#[path = "../../tests/it/hostile/queries.rs"]
mod queries;
#[path = "../../tests/it/hostile/service.rs"]
mod service;

libfuzzer_sys::fuzz_target!(|data: &[u8]| queries::check(data));
