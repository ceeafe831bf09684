#![no_main]

#[path = "../../tests/it/hostile/addresses.rs"]
mod addresses;

libfuzzer_sys::fuzz_target!(|data: &[u8]| addresses::check(data));
