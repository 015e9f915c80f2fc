#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| walpost_fuzz::ledgers(data));
