#![no_main]

#[path = "../../tests/it/hostile/access_tokens.rs"]
mod access_tokens;
#[path = "../../tests/it/hostile/edits.rs"]
mod edits;

libfuzzer_sys::fuzz_target!(|data: &[u8]| access_tokens::check(data));
