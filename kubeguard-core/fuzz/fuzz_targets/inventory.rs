#![no_main]

#[path = "../clean.rs"]
#[allow(dead_code)]
mod clean;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| clean::inventory(bytes));
