//! Bodies of requests, in both formats and all encodings.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| collector::fuzzing::bodies(input));
