#![no_main]

#[path = "../../tests/it/hostile/settings.rs"]
mod settings;

libfuzzer_sys::fuzz_target!(|data: &[u8]| settings::check(data));
