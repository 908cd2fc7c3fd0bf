#![no_main]

libfuzzer_sys::fuzz_target!(|content: &[u8]| caviar_fuzz::run("arrow", content));
