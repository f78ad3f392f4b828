//! Files of tokens.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| gate::fuzzing::tokens(input));
