#![no_main]

#[path = "../../tests/it/hostile/bodies.rs"]
mod bodies;
#[path = "../../tests/it/hostile/service.rs"]
mod service;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::check(data));
