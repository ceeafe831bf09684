#![no_main]

#[path = "../../tests/it/hostile/headers.rs"]
mod headers;
#[path = "../../tests/it/hostile/service.rs"]
mod service;

libfuzzer_sys::fuzz_target!(|data: &[u8]| headers::check(data));
