//! Times as Graphite writes them, in any zone.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| graphite::fuzzing::instants(input));
