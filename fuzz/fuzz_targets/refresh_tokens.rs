#![no_main]

#[path = "../../tests/it/hostile/refresh_tokens.rs"]
mod refresh_tokens;
#[path = "../../tests/it/hostile/edits.rs"]
mod edits;

libfuzzer_sys::fuzz_target!(|data: &[u8]| refresh_tokens::check(data));
